"""Companions that share a namespace with the server, on a real engine: what dies with it, and how it comes back."""

import json
from typing import Any

import pytest

from tests.acceptance.processes import eventually
from tests.containers import Containers, docker, inspect, logs

pytestmark = pytest.mark.docker

SERVER = ("python", "-m", "http.server", "8000")
CHECK = {"http_get": {"path": "/"}, "period_seconds": 0.5, "timeout_seconds": 1, "failure_threshold": 2}


def document(**container: Any) -> str:
    return json.dumps({"containers": [{"name": "model", "port": 8000, "readiness_check": CHECK, **container}]})


def answers(agent: str, *question: str) -> bool:
    """What the agent says of itself, asked inside its container; False where nothing answers."""
    try:
        docker("exec", agent, "health-agent", "healthcheck", *question, timeout=20)
    except AssertionError:
        return False
    return True


def test_an_agent_in_the_network_of_a_restarted_server_says_so_and_comes_back(
    containers: Containers, image: str
) -> None:
    """Surprise 1: without this it would be refused for ever, and have the healthy server restarted again and again."""
    server = containers.run("--network", "bridge", command=SERVER)
    environment = f"HEALTH_AGENT_CONFIG={document(liveness_check=CHECK)}"
    shared = ("--network", f"container:{server}", "--restart", "always")
    agent = containers.run(*shared, "--env", environment, image=image, command=())
    eventually(lambda: answers(agent, "--ready"), within=20, what="ready", story=lambda: logs(agent))
    docker("restart", "--time", "0", server)
    eventually(lambda: inspect(agent, ".RestartCount") == 1, within=40, what="it leaves", story=lambda: logs(agent))
    eventually(lambda: answers(agent, "--ready"), within=20, what="ready again", story=lambda: logs(agent))
    told = logs(agent)
    assert '"event":"agent.stranded"' in told
    assert "network_mode: service:AGENT" in told
    assert '"restart.requested"' not in told, "nobody was blamed for it"
    assert inspect(agent, ".State.Running")


def test_a_server_in_the_agents_network_may_come_and_go(containers: Containers, image: str) -> None:
    """The remedy of surprise 1: the agent owns the namespace, and sees the server's restart as what it is."""
    environment = f"HEALTH_AGENT_CONFIG={document()}"
    agent = containers.run("--network", "bridge", "--env", environment, image=image, command=())
    server = containers.run("--network", f"container:{agent}", command=SERVER)
    eventually(lambda: answers(agent, "--ready"), within=20, what="ready", story=lambda: logs(agent))
    docker("stop", "--time", "0", server)
    eventually(lambda: not answers(agent, "--ready"), within=20, what="not ready", story=lambda: logs(agent))
    docker("start", server)
    eventually(lambda: answers(agent, "--ready"), within=20, what="ready again", story=lambda: logs(agent))
    assert "agent.stranded" not in logs(agent)
    assert inspect(agent, ".RestartCount") == 0
