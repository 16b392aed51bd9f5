"""Containers of a real Docker Engine for tests: names that nobody else has, and nothing left behind."""

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.engine import BASE, docker, need_engine

SOCKET = "/var/run/docker.sock"
NO_COMPOSE = "no Compose: install it (on Debian: apt-get install docker-compose)"


def missing(what: str) -> None:
    """A test can't be run here: skipped on a contributor's machine, a failure in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


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
    need_engine()
    return SOCKET


@pytest.fixture
def containers(engine: str) -> Iterator[Containers]:
    """Starts containers; they are gone when the test is over."""
    found = Containers()
    yield found
    found.remove()
