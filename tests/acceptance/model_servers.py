"""Real model servers from PyPI, each in its own cached virtual environment, with a model that misbehaves on demand."""

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

from tests.acceptance.processes import eventually, free_port

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

    def python(self) -> Path:
        return CACHE / self.requirement.replace("==", "-") / "bin" / "python"


MOSEC = Kind("mosec", "mosec==0.9.8", "/", "/inference", lambda port: ["--address", "127.0.0.1", "--port", str(port)])
LITSERVE = Kind("litserve", "litserve==0.2.19", "/health", "/predict", lambda port: [str(port)])
KINDS = (MOSEC, LITSERVE)


def install(kind: Kind, say: Callable[[str], None]) -> None:
    """Make the server's environment unless it is there; test runs side by side wait for each other."""
    CACHE.mkdir(parents=True, exist_ok=True)
    home = kind.python().parents[1]
    with (CACHE / f"{kind.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (home / "complete").exists():
            return
        say(f"installing {kind.requirement} into {home} (once, under a minute) ...")
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", home], check=True, timeout=INSTALL_SECONDS)
        pip = [str(kind.python()), "-I", "-m", "pip", "install", "-qq", "--disable-pip-version-check", kind.requirement]
        subprocess.run(pip, check=True, timeout=INSTALL_SECONDS)
        (home / "complete").touch()


class ModelServer:
    """One server with its model; the test restarts it, or the agent's exec action, both by ``restart_command``."""

    def __init__(self, kind: Kind, home: Path, *, load_seconds: float = 0.0) -> None:
        self.kind = kind
        self.home = home
        self.port = free_port()
        home.mkdir()
        command = [str(kind.python()), str(HERE / "models" / f"{kind.name}_model.py"), *kind.arguments(self.port)]
        env = {
            "MODEL_LOAD_SECONDS": str(load_seconds),
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
        os.killpg(int((self.home / "pid").read_text()), signal.SIGKILL)

    def kill_worker(self) -> None:
        """SIGKILL only the process that holds the model."""
        worker = self.home / "worker.pid"
        os.kill(int(worker.read_text()), signal.SIGKILL)
        worker.unlink()

    def await_loaded(self) -> None:
        eventually((self.home / "worker.pid").exists, within=30, what="the model is loaded", story=self.story)

    def deadlock(self) -> None:
        (self.home / "deadlock").touch()

    def release(self) -> None:
        (self.home / "deadlock").unlink()

    def story(self) -> str:
        return (self.home / "server.log").read_text(errors="replace")[-4000:]
