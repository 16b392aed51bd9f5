"""The Compose projects of deploy/ on a real engine, with a real mosec server: hung, it is restarted once, and ready."""

import json
import os
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.config.compose_files import BLOCK
from tests.acceptance.engine import BASE, ROOT, docker, inspect, log
from tests.acceptance.model_servers import MOSEC
from tests.acceptance.processes import always, eventually, free_port
from tests.containers import SOCKET, compose

pytestmark = pytest.mark.docker

PROJECTS = ROOT / "deploy" / "compose"
MOSEC_IMAGE = "model-health-agent-mosec:acceptance"  # one name, kept: its layers are the next build's cache
SERVER = {
    "image": MOSEC_IMAGE,
    "command": ["python", "/srv/vllm.py", "--address", "0.0.0.0", "--port", "8000"],  # what the projects look for
    "environment": {
        "MODEL_LOAD_SECONDS": "2",
        "MODEL_WORKER_PID_FILE": "/tmp/worker.pid",
        "MODEL_DEADLOCK_FILE": "/tmp/deadlock",
    },
    "volumes": [f"{MOSEC.program()}:/srv/vllm.py:ro"],
}
HANG = "for one in /proc/[0-9]*; do grep -q 'bin/mose[c]' $one/cmdline && kill -STOP ${one#/proc/}; done; true"
"""Stops mosec's process that listens: it accepts connections and answers none, and the one that started it lives on.

Not `docker kill`: after that the engine takes the container for stopped by hand, and does not start it again.
"""

QUICK = {"period_seconds": 1, "timeout_seconds": 1, "failure_threshold": 2}
"""The checks of deploy/ would take minutes."""


class Project:
    """A project of deploy/ as it is, but for images, ports, and the numbers and paths of its checks."""

    def __init__(self, name: str, image: str, folder: Path) -> None:
        self.file = folder / "compose.yaml"
        self.name = f"mha-test-{uuid.uuid4().hex[:8]}"
        self.port = free_port()
        document = yaml.safe_load((PROJECTS / name / "compose.yaml").read_text(encoding="utf-8"))
        services = document["services"]
        for service in ("health-agent", "processes"):
            if service in services:
                services[service]["image"] = image
        services["health-agent"]["ports"] = [f"127.0.0.1:{self.port}:9809"]
        server = services["model"]
        server |= SERVER
        server.pop("ports", None)
        if BLOCK in server:
            quicken(server[BLOCK])
        environment = services["health-agent"]["environment"]
        if "HEALTH_AGENT_CONFIG" in environment:
            config = yaml.safe_load(environment["HEALTH_AGENT_CONFIG"])
            quicken(config["containers"][0])
            environment["HEALTH_AGENT_CONFIG"] = yaml.safe_dump(config)
        self.file.write_text(yaml.safe_dump(document, sort_keys=False))
        (folder / ".env").write_text(f"DOCKER_GROUP_ID={os.stat(SOCKET).st_gid}\n")  # noqa: PTH116  (one number)

    def run(self, *words: str) -> str:
        return compose(self.file, "--project-name", self.name, *words)

    def container(self, service: str) -> str:
        return self.run("ps", "--quiet", service).strip()

    def model(self) -> dict[str, Any]:
        """What the agent tells of the server; nothing where it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/status", timeout=5) as answer:
                found: dict[str, Any] = json.loads(answer.read())["containers"][0]
                return found
        except OSError:
            return {}

    def ready(self) -> bool:
        return bool(self.model().get("ready"))

    def story(self) -> str:
        return log(self.container("health-agent"))[-4000:]


def quicken(container: dict[str, Any]) -> None:
    for check in ("startup_check", "readiness_check", "liveness_check"):
        container[check] |= QUICK
        container[check]["http_get"]["path"] = MOSEC.health
    container["startup_check"]["failure_threshold"] = 60


@pytest.fixture(scope="session")
def mosec_image(image: str) -> None:
    """A real model server's image, on the agent's base."""
    assert image, "the engine answers"
    lines = f"FROM {BASE}\nRUN pip install --no-cache-dir --root-user-action=ignore {MOSEC.requirement}\n"
    docker("build", "--quiet", "--tag", MOSEC_IMAGE, "-", timeout=300, feed=lines)


@pytest.fixture(params=["signal", "companion", "network", "one-file"])
def project(request: pytest.FixtureRequest, image: str, mosec_image: None, tmp_path: Path) -> Iterator[Project]:
    """One project after the other, up; gone with its volumes when the test is over."""
    made = Project(request.param, image, tmp_path)
    try:
        made.run("up", "--detach")
        yield made
    finally:
        made.run("down", "--volumes", "--timeout", "1")


def test_a_hung_server_is_restarted_once_and_ready_again(project: Project) -> None:
    eventually(project.ready, within=60, what="ready at first", story=project.story)
    server = project.container("model")
    first = inspect(server, ".State.StartedAt")

    docker("exec", server, "sh", "-c", HANG)
    eventually(lambda: project.model().get("restarts"), within=30, what="a restart is decided", story=project.story)
    eventually(
        lambda: project.ready() and project.model()["restarts"][-1]["outcome"] == "succeeded",
        within=60,
        what="ready again",
        story=project.story,
    )
    second = inspect(server, ".State.StartedAt")
    assert second != first
    always(lambda: project.model().get("ready"), during=3, what="it stays ready")
    assert (inspect(server, ".State.StartedAt"), len(project.model()["restarts"])) == (second, 1)
    assert inspect(project.container("health-agent"), ".RestartCount") == 0
