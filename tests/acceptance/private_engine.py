"""An engine of a test's own, which may be stopped and started: beside the one that everybody else uses."""

import json
import os
import shutil
import subprocess
import time
import uuid
from pathlib import Path

import pytest

from tests.acceptance.engine import BASE, docker
from tests.acceptance.processes import Running, eventually

START_SECONDS = 60.0


class PrivateEngine:
    """A dockerd with its own data, socket and bridge; containers run in the host's network (--network host).

    The bridge is there for the other engine's sake: a dockerd without one removes docker0 when it starts.
    """

    def __init__(self, home: Path, *, live_restore: bool) -> None:
        self.home = home
        self.socket = home / "e.sock"
        self.live_restore = live_restore
        self.bridge = f"mha{uuid.uuid4().hex[:8]}"
        self.number = 0
        self.process: Running | None = None

    @property
    def host(self) -> str:
        return f"unix://{self.socket}"

    def docker(self, *arguments: str, timeout: float = 60) -> str:
        return docker("--host", self.host, *arguments, timeout=timeout)

    def start(self) -> None:
        if self.number == 0:
            ip("link", "add", self.bridge, "type", "bridge")
            ip("address", "add", "198.51.100.1/29", "dev", self.bridge)
        self.number += 1
        command = [
            *("dockerd", "--host", self.host, "--data-root", self.home / "data", "--exec-root", self.home / "exec"),
            *("--pidfile", self.home / "pid", "--bridge", self.bridge, "--iptables=false", "--ip-masq=false"),
            *(("--live-restore",) if self.live_restore else ()),
            *_runtimes(),
        ]
        self.process = Running(command, self.home / f"dockerd-{self.number}.log")
        eventually(self._answers, within=START_SECONDS, what="the engine answers", story=self.process.output)

    def _answers(self) -> bool:
        if self.process is None or self.process.exited():
            raise AssertionError(f"dockerd ended:\n{self.process.output()[-3000:] if self.process else ''}")
        try:
            self.docker("info", timeout=5)
        except (AssertionError, subprocess.TimeoutExpired):
            return False
        return True

    def stop(self) -> None:
        if self.process is not None:
            self.process.process.terminate()
            self.process.wait(60)
            self.process = None

    def take_over(self, image: str) -> None:
        """An image of the other engine."""
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as save:
            assert save.stdout is not None
            subprocess.run(
                ["docker", "--host", self.host, "load"], stdin=save.stdout, check=True, timeout=120, capture_output=True
            )

    def end(self) -> None:
        """Stop it with everything that ran in it, and unmount what it left."""
        if self.process is not None:
            names = self.docker("ps", "--all", "--quiet").split()
            if names:
                self.docker("rm", "--force", *names, timeout=60)
            self.stop()
        for _ in range(50):
            mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
            ours = [mount for mount in mounts if mount.startswith(str(self.home))]
            for mount in reversed(ours):
                subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)
            if not ours:
                break
            time.sleep(0.1)
        ip("link", "delete", self.bridge)
        shutil.rmtree(self.home, ignore_errors=True)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=10)


def _runtimes() -> list[str]:
    """The low-level runtimes that the other engine has to use here, with the default one."""
    known = json.loads(docker("info", "--format", "{{json .}}", timeout=20))
    added = [f"--add-runtime={name}={told['path']}" for name, told in known["Runtimes"].items()
             if name not in ("runc", "io.containerd.runc.v2", "io.containerd.runtime.v1.linux")]  # fmt: skip
    return [*added, f"--default-runtime={known['DefaultRuntime']}", f"--storage-driver={known['Driver']}"]


def need_dockerd() -> None:
    """Skips where no dockerd can be started, and fails in CI."""
    if shutil.which("dockerd") and shutil.which("ip") and os.geteuid() == 0:
        return
    missing = "an engine that may be stopped needs dockerd, ip and root (on Debian: apt-get install docker.io iproute2)"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


def private_engine(home: Path, *, live_restore: bool) -> PrivateEngine:
    """A running one, with the base image."""
    need_dockerd()
    engine = PrivateEngine(home, live_restore=live_restore)
    engine.start()
    engine.take_over(BASE)
    return engine
