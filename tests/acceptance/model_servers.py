"""Real model servers from PyPI, each in its own cached virtual environment, with a model that misbehaves on demand."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.processes import eventually, free_port, free_ports
from tests.acceptance.supervise import members

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache" / "servers"
SUPERVISE = HERE / "supervise.py"
INSTALL_SECONDS = 300


@dataclass(frozen=True)
class Kind:
    """One server program: what to install, how to run it on a port, how it is asked."""

    name: str
    requirement: str
    health: str
    predict: str
    arguments: Callable[[int], list[str]]
    model: str = ""  # the file under models/, without _model.py, where it is not named like the server
    also: tuple[str, ...] = ()  # requirements beside it
    body: str = '{"input": 3}'
    ports: int = 1  # that it listens on, one after the other

    def python(self) -> Path:
        return CACHE / self.requirement.replace("==", "-") / "bin" / "python"

    def program(self) -> Path:
        return HERE / "models" / f"{self.model or self.name}_model.py"


INFER = '{"inputs": [{"name": "input", "shape": [1], "datatype": "FP64", "data": [3]}]}'

MOSEC = Kind("mosec", "mosec==0.9.8", "/", "/inference", lambda port: ["--address", "127.0.0.1", "--port", str(port)])
LITSERVE = Kind("litserve", "litserve==0.2.19", "/health", "/predict", lambda port: [str(port)])
MLSERVER_POOL = Kind(
    "mlserver-pool", "mlserver==1.7.1", "/v2/health/live", "/v2/models/square/infer", lambda port: [str(port), "1"],
    model="mlserver", also=("uvloop<0.22",), body=INFER, ports=3,
)  # fmt: skip
MLSERVER_ALONE = Kind(
    "mlserver-in-process", "mlserver==1.7.1", "/v2/health/live", "/v2/models/square/infer",
    lambda port: [str(port), "0"], model="mlserver", also=("uvloop<0.22",), body=INFER, ports=3,
)  # fmt: skip
BENTOML = Kind("bentoml", "bentoml==1.4.40", "/livez", "/predict", lambda port: [str(port)])
KINDS = (MOSEC, LITSERVE)
"""Those that every acceptance test meets; the others are heavier, and for the fault matrix."""


def install(kind: Kind, say: Callable[[str], None]) -> None:
    """Make the server's environment unless it is there; test runs side by side wait for each other."""
    CACHE.mkdir(parents=True, exist_ok=True)
    home = kind.python().parents[1]
    with (CACHE / f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (home / "complete").exists():
            return
        say(f"installing {kind.requirement} into {home} (once, under a minute) ...")
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", home], check=True, timeout=INSTALL_SECONDS)
        pip = [str(kind.python()), "-I", "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([*pip, kind.requirement, *kind.also], check=True, timeout=INSTALL_SECONDS)
        (home / "complete").touch()


class ModelServer:
    """One server with its model; the test restarts it, or the agent's exec action, both by ``restart_command``."""

    def __init__(self, kind: Kind, home: Path, *, load_seconds: float = 0.0, predict_seconds: float = 0.0) -> None:
        self.kind = kind
        self.home = home
        self.port = free_port() if kind.ports == 1 else free_ports(kind.ports)
        home.mkdir()
        command = [str(kind.python()), str(kind.program()), *kind.arguments(self.port)]
        env = {
            "MODEL_HOME": str(home / "model"),
            "MODEL_LOAD_SECONDS": str(load_seconds),
            "MODEL_PREDICT_SECONDS": str(predict_seconds),
            "MODEL_DEADLOCK_FILE": str(home / "deadlock"),
            "MODEL_WORKER_PID_FILE": str(home / "worker.pid"),
        }
        (home / "server.json").write_text(json.dumps({"command": command, "env": env}))

    @property
    def restart_command(self) -> list[str]:
        return [sys.executable, str(SUPERVISE), "restart", str(self.home)]

    def start(self) -> None:
        subprocess.run(self.restart_command, check=True, timeout=30)

    def stop(self) -> None:
        subprocess.run([sys.executable, SUPERVISE, "stop", self.home], check=True, timeout=30)

    def instances(self) -> int:
        """How many times the server was started."""
        return len((self.home / "instances").read_text().split())

    def kill(self) -> None:
        """SIGKILL everything the server consists of, as the kernel does when memory runs out."""
        for pid in members(self.home):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def kill_worker(self) -> None:
        """SIGKILL only the process that holds the model."""
        worker = self.home / "worker.pid"
        os.kill(int(worker.read_text()), signal.SIGKILL)
        worker.unlink()

    def stop_worker(self) -> None:
        """SIGSTOP the process that holds the model."""
        os.kill(int((self.home / "worker.pid").read_text()), signal.SIGSTOP)

    def await_loaded(self) -> None:
        eventually((self.home / "worker.pid").exists, within=30, what="the model is loaded", story=self.story)

    def deadlock(self) -> None:
        (self.home / "deadlock").touch()

    def release(self) -> None:
        (self.home / "deadlock").unlink()

    def story(self) -> str:
        return (self.home / "server.log").read_text(errors="replace")[-4000:]
