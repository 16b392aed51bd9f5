"""A real Docker Engine for tests: every command bounded, names that nobody else has, and nothing left behind."""

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
BASE = "python:3.12-slim-bookworm"
IMAGE = "model-health-agent:acceptance"  # one name, kept: its layers are the next build's cache
SOCKET = "/var/run/docker.sock"
MISSING = "no Docker Engine answers: install and start one (on Debian: apt-get install docker.io)"
NO_COMPOSE = "no Compose: install it (on Debian: apt-get install docker-compose)"


def missing(what: str) -> None:
    """A test can't be run here: skipped on a contributor's machine, a failure in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


def docker(*arguments: str, timeout: float = 60) -> str:
    """Standard output of one docker command; fails with its words where it fails, and never waits for ever."""
    run = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=timeout, check=False, cwd=ROOT)
    assert run.returncode == 0, f"docker {' '.join(arguments)}:\n{run.stdout[-3000:]}{run.stderr[-3000:]}"
    return run.stdout.strip()


def inspect(name: str, expression: str) -> Any:
    return json.loads(docker("inspect", "--format", f"{{{{json {expression}}}}}", name))


def logs(name: str) -> str:
    """What a container has printed, to both its streams."""
    run = subprocess.run(["docker", "logs", name], capture_output=True, text=True, timeout=20, check=False)
    return run.stdout + run.stderr


def compose(file: Path, *arguments: str) -> str:
    """One command of Compose, of either generation."""
    words = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
    run = subprocess.run([*words, "--file", file, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout


class Containers:
    """Containers of one test."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.networks: list[str] = []

    def name(self) -> str:
        """A name that will be removed."""
        self.names.append(f"mha-test-{uuid.uuid4().hex[:12]}")
        return self.names[-1]

    def run(self, *options: str, image: str = BASE, command: tuple[str, ...] = ("sleep", "300")) -> str:
        """Start one, in the background and without a network unless the options name one; its name."""
        name = self.name()
        network = () if "--network" in options else ("--network", "none")
        docker("run", "--detach", "--name", name, *network, *options, image, *command)
        return name

    def network(self) -> str:
        """A network of the test's own; its name, under which containers find each other by theirs."""
        self.networks.append(f"mha-test-{uuid.uuid4().hex[:12]}")
        docker("network", "create", self.networks[-1])
        return self.networks[-1]

    def create(self, *options: str) -> str:
        name = self.name()
        docker("create", "--name", name, "--network", "none", *options, BASE, "sleep", "300")
        return name

    def remove(self) -> None:
        for name in reversed(self.names):
            subprocess.run(["docker", "rm", "--force", "--volumes", name], capture_output=True, timeout=60, check=False)
        for network in self.networks:
            subprocess.run(["docker", "network", "rm", network], capture_output=True, timeout=60, check=False)


@pytest.fixture(scope="session")
def engine() -> str:
    """The engine's socket; the test is skipped where there is none, and fails in CI."""
    try:
        docker("info", timeout=20)
    except (AssertionError, OSError, subprocess.TimeoutExpired):
        missing(MISSING)
    return SOCKET


@pytest.fixture
def containers(engine: str) -> Iterator[Containers]:
    """Starts containers; they are gone when the test is over."""
    found = Containers()
    yield found
    found.remove()


@pytest.fixture(scope="session")
def image(engine: str) -> str:
    """The agent's image of this checkout, by its id: another checkout may take the name over."""
    return docker("build", "--quiet", "--tag", IMAGE, ".", timeout=300)
