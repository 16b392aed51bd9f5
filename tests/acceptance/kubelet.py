"""Plays the kubelet of one container whose three probes point at the agent, as in kubelet-pull mode."""

import http.client
import time
from collections.abc import Callable

from tests.acceptance.processes import Running


class Kubelet:
    """Probes the agent on a grid, kills and restarts the server when /healthz says so or when it has exited.

    Rules as the kubelet's: startup first, then liveness and readiness; a restart at once (the first crash has no
    back-off); every restart begins with startup again.
    """

    def __init__(
        self,
        agent_port: int,
        start: Callable[[], Running],
        *,
        period: float = 0.3,
        failures: int = 3,
        container: str = "model",
    ) -> None:
        self.agent_port = agent_port
        self.start = start
        self.period = period
        self.failures = failures
        self.container = container
        self.restarts: list[str] = []  # what caused each: "liveness" or "exit"
        self.server = start()
        self.begin()

    def begin(self) -> None:
        self.started = False
        self.ready = False
        self.refused = 0

    def ask(self, path: str) -> int:
        """The status of one probe; 0 where the agent does not answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.agent_port, timeout=2)
        try:
            connection.request("GET", path, headers={"User-Agent": "kube-probe/1.36", "Connection": "close"})
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def restart(self, cause: str) -> None:
        self.server.kill()
        self.restarts.append(cause)
        self.server = self.start()
        self.begin()

    def beat(self) -> None:
        """One period of all three probes."""
        if self.server.exited():
            self.restart("exit")
        elif not self.started:
            self.started = self.ask(f"/startupz/{self.container}") == 200
        else:
            self.ready = self.ask(f"/ready/{self.container}") == 200
            self.refused = 0 if self.ask(f"/healthz/{self.container}") == 200 else self.refused + 1
            if self.refused >= self.failures:
                self.restart("liveness")

    def play(self, until: Callable[[], bool], *, within: float, what: str) -> None:
        """Beat on until the condition holds; fail after ``within`` seconds."""
        deadline = time.monotonic() + within
        while not until():
            assert time.monotonic() < deadline, f"not within {within:g} s: {what}; restarts so far: {self.restarts}"
            due = time.monotonic() + self.period
            self.beat()
            time.sleep(max(0.0, due - time.monotonic()))
