"""Kubelet-pull mode: the server's own probes point at the agent, and a restarted server is left to load in peace."""

import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.agents import Agent
from tests.acceptance.conftest import StartAgent
from tests.acceptance.kubelet import Kubelet
from tests.acceptance.processes import Running, free_port

TOY = Path(__file__).with_name("toy_server.py")
LOAD_SECONDS = (
    3.0  # longer than the agent needs to see a failure (0.6 s) and the kubelet to act on it (0.9 s), together
)


class ToyServers:
    """Starts one instance after the other on the same port; with a ``listener`` they take over its socket."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.listener: socket.socket | None = None
        self.instances: list[Running] = []

    def listen(self) -> None:
        """From now on the port never refuses a connection, whatever becomes of the instances."""
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=64)

    def start(self) -> Running:
        log = self.home / "toy.log"
        command = [sys.executable, str(TOY), "--load-seconds", str(LOAD_SECONDS)]
        if self.listener is None:
            server = Running([*command, "--port", str(self.port)], log)
        else:
            fd = self.listener.fileno()
            server = Running([*command, "--fd", str(fd)], log, pass_fds=(fd,))
        self.instances.append(server)
        return server

    def close(self) -> None:
        for server in self.instances:
            server.kill()
        if self.listener is not None:
            self.listener.close()


@pytest.fixture
def toys(tmp_path: Path) -> Iterator[ToyServers]:
    """No instance outlives the test."""
    servers = ToyServers(tmp_path)
    yield servers
    servers.close()


def document(port: int) -> dict[str, Any]:
    """The checks of the server as the agent runs them; what to do about a failure is the kubelet's part."""
    health = {"http_get": {"path": "/health"}, "period_seconds": 0.3, "timeout_seconds": 0.3}
    return {
        "containers": [
            {
                "name": "model",
                "port": port,
                "startup_check": {**health, "failure_threshold": 100},
                "liveness_check": {**health, "failure_threshold": 2},
                "readiness_check": {**health, "failure_threshold": 1},
            }
        ]
    }


def play_until_ready(kubelet: Kubelet, agent: Agent, what: str) -> None:
    """The kubelet believes the server started and ready, and the agent asks for nothing."""
    ready: Callable[[], bool] = lambda: kubelet.ready and agent.ask("/healthz/model") == 200  # noqa: E731  named for its reader
    kubelet.play(ready, within=30, what=what)


def test_a_restarted_server_that_still_loads_is_never_killed_again(toys: ToyServers, start_agent: StartAgent) -> None:
    """Three restarts: one the agent asked for, one a crash, one too short for any connection to be refused.

    The agent must see each of them as a new instance. Where it does not, it goes on judging the loading server by its
    liveness check and the kubelet kills it before it has loaded, for ever.
    """
    agent = start_agent(document(toys.port))
    kubelet = Kubelet(agent.port, toys.start)
    play_until_ready(kubelet, agent, "the first instance is ready")

    kubelet.server.send(signal.SIGUSR1)  # it hangs: connections are accepted and nothing is answered
    kubelet.play(lambda: kubelet.restarts == ["liveness"], within=20, what="the agent asks for a restart")
    play_until_ready(kubelet, agent, "ready again after the restart that the agent asked for")

    kubelet.server.kill()
    kubelet.play(lambda: len(kubelet.restarts) == 2, within=20, what="the crash is noticed by the kubelet")
    play_until_ready(kubelet, agent, "ready again after the crash")

    kubelet.server.kill()
    toys.listen()
    kubelet.play(lambda: len(kubelet.restarts) == 3, within=20, what="the crash is noticed by the kubelet")
    play_until_ready(kubelet, agent, "ready on the inherited socket")

    kubelet.server.kill()  # connections wait in the backlog until the next instance takes the socket over
    kubelet.play(lambda: len(kubelet.restarts) == 4, within=20, what="the crash is noticed by the kubelet")
    play_until_ready(kubelet, agent, "ready again after a restart without a connection edge")

    assert kubelet.restarts == ["liveness", "exit", "exit", "exit"]
    assert [record["action"] for record in agent.model()["restarts"]] == ["none"]


def test_a_server_without_a_startup_check_may_load_for_longer_than_the_kubelet_waits(
    toys: ToyServers, start_agent: StartAgent
) -> None:
    """Its liveness check has a delay instead. It is asked for its start all the same, as `render` writes it: by that
    question the agent learns of the new instance; else it would ask for restarts until the server listens again.
    """
    check = {"http_get": {"path": "/health"}, "period_seconds": 0.3, "timeout_seconds": 0.3}
    liveness = {**check, "failure_threshold": 2, "initial_delay_seconds": 2 * LOAD_SECONDS}
    agent = start_agent({"containers": [{"name": "model", "port": toys.port, "liveness_check": liveness}]})
    kubelet = Kubelet(agent.port, toys.start)
    awake: Callable[[], bool] = lambda: agent.model()["checks"][0]["last_result"] == "success"  # noqa: E731
    kubelet.play(awake, within=30, what="the first instance has loaded and is probed")

    kubelet.server.send(signal.SIGUSR1)
    kubelet.play(lambda: kubelet.restarts == ["liveness"], within=20, what="the agent asks for a restart")
    kubelet.play(lambda: agent.model()["instance"] == 2, within=5, what="the question shows the new instance")
    kubelet.play(awake, within=30, what="the second instance has loaded and is probed")
    assert kubelet.restarts == ["liveness"]
