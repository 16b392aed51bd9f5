"""Programs under measurement: separate processes, their processor time and memory as the kernel counts them."""

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
AGENT = Path(sys.executable).with_name("health-agent")
ANSWERS_WITHIN_SECONDS = 20.0
STOPS_WITHIN_SECONDS = 10.0


class Program:
    """One running process."""

    def __init__(self, command: Sequence[str | Path], port: int) -> None:
        self.port = port
        self.started = time.monotonic()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def cpu_seconds(self) -> float:
        """Of all its threads so far, to the nanosecond: the clock that clock_getcpuclockid(3) gives for the process."""
        return time.clock_gettime((~self.process.pid << 3) | 2)

    def resident_bytes(self) -> int:
        rollup = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text(encoding="ascii")
        return next(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Rss:"))

    def await_answer(self, path: str = "/ready") -> float:
        """Seconds from its start to its first 200 on ``path``."""
        while time.monotonic() < self.started + ANSWERS_WITHIN_SECONDS:
            if status(self.port, path) == 200:
                return time.monotonic() - self.started
            if self.process.poll() is not None:
                break
            time.sleep(0.001)
        raise RuntimeError(f"no 200 on {path} from {self.process.args!r} (exit status {self.process.poll()})")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOPS_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def running(command: Sequence[str | Path], port: int = 0, *, answers: str = "/ready") -> Iterator[Program]:
    """The program, once it answers (where it has a port), until the block ends."""
    program = Program(command, port)
    try:
        if port:
            program.await_answer(answers)
        yield program
    finally:
        program.stop()


def script(name: str, *arguments: object) -> list[str | Path]:
    """The command line of a plain program of this folder."""
    return [sys.executable, HERE / name, *map(str, arguments)]


def agent(home: Path, containers: Sequence[dict[str, Any]], port: int) -> list[str | Path]:
    """The command line of an agent that guards these containers; JSON is YAML."""
    path = home / f"agent-{port}.yaml"
    document = {"server": {"host": "127.0.0.1", "port": port}, "log": {"level": "warning"}, "containers": containers}
    path.write_text(json.dumps(document), encoding="utf-8")
    return [AGENT, "run", "--config", path]


def watched(target_port: int, count: int, period: float) -> list[dict[str, Any]]:
    """So many containers, each probed by HTTP once a period."""
    check = {"http_get": {"path": "/"}, "period_seconds": period}
    return [{"name": f"model-{k}", "port": target_port, "readiness_check": check} for k in range(count)]


def get(port: int, path: str) -> tuple[int, str]:
    """Status and body of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def status(port: int, path: str) -> int:
    """0 where nothing answers yet."""
    try:
        return get(port, path)[0]
    except OSError:
        return 0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
