"""Real processes for acceptance tests: started in their own session, watched with bounded waits, never left behind."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

POLL_SECONDS = 0.05


def eventually(condition: Callable[[], object], *, within: float, what: str, story: Callable[[], str] = str) -> None:
    """Return as soon as ``condition`` holds; fail after ``within`` seconds, with the ``story`` so far."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {what}\n{story()}")
        time.sleep(POLL_SECONDS)


def always(condition: Callable[[], object], *, during: float, what: str) -> None:
    """Fail as soon as ``condition`` does not hold; return after ``during`` seconds."""
    deadline = time.monotonic() + during
    while time.monotonic() < deadline:
        assert condition(), f"not all the time: {what}"
        time.sleep(POLL_SECONDS)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def free_ports(count: int) -> int:
    """The first of so many in a row, below those that connections are given and may have taken by now."""
    while True:
        first = random.randrange(20000, 32000)  # noqa: S311 - no secret
        with contextlib.ExitStack() as listeners:
            try:
                for port in range(first, first + count):
                    listeners.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
        return first


def alive(pid: int) -> bool:
    """False once the process is gone or only waits to be reaped."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


class Running:
    """A process and its children, in a session of their own; what they print goes to ``log``."""

    def __init__(
        self, command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None, **popen: object
    ) -> None:
        self.log = log
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
                **popen,  # type: ignore[call-overload]
            )

    @property
    def pid(self) -> int:
        pid: int = self.process.pid
        return pid

    def exited(self) -> bool:
        return self.process.poll() is not None

    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, within: float) -> int:
        """The exit status. Fails, with everything the process printed, when it does not come in time."""
        try:
            status: int = self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {within:g} s: {self.process.args}\n{self.output()}") from None
        return status

    def kill(self) -> None:
        """End the whole session's process group, now."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait(10)
