"""Companions that share a namespace with the server, on a real engine: what dies with it, and how it comes back."""

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.acceptance.engine import BASE, docker, inspect, log
from tests.acceptance.processes import eventually
from tests.containers import Containers

pytestmark = pytest.mark.docker

SERVER = ("python", "-m", "http.server", "8000")
CHECK = {"http_get": {"path": "/"}, "period_seconds": 0.5, "timeout_seconds": 1, "failure_threshold": 2}

Start = Callable[..., str]


@pytest.fixture
def start(image: str) -> Iterator[Start]:
    """Starts a container of these options, image and command; all are gone when the test is over."""
    names: list[str] = []

    def run(*words: str) -> str:
        name = f"health-agent-{uuid.uuid4().hex[:12]}"
        names.append(name)
        docker("run", "--detach", "--name", name, "--label", "health-agent-test", *words)
        return name

    yield run
    for name in reversed(names):
        docker("rm", "--force", "--volumes", name)


def document(**container: Any) -> str:
    return json.dumps({"containers": [{"name": "model", "port": 8000, "readiness_check": CHECK, **container}]})


def answers(agent: str, *question: str) -> bool:
    """What the agent says of itself, asked inside its container; False where nothing answers."""
    try:
        docker("exec", agent, "health-agent", "healthcheck", *question, timeout=20)
    except AssertionError:
        return False
    return True


def test_an_agent_in_the_network_of_a_restarted_server_says_so_and_comes_back(start: Start, image: str) -> None:
    """Surprise 1: without this it would be refused for ever, and have the healthy server restarted again and again."""
    server = start(BASE, *SERVER)
    environment = f"HEALTH_AGENT_CONFIG={document(liveness_check=CHECK)}"
    agent = start("--network", f"container:{server}", "--restart", "always", "--env", environment, image)
    eventually(lambda: answers(agent, "--ready"), within=20, what="ready", story=lambda: log(agent))
    docker("restart", "--time", "0", server)
    eventually(lambda: inspect(agent, ".RestartCount") == 1, within=40, what="it leaves", story=lambda: log(agent))
    eventually(lambda: answers(agent, "--ready"), within=20, what="ready again", story=lambda: log(agent))
    told = log(agent)
    assert '"event":"agent.stranded"' in told
    assert "network_mode: service:AGENT" in told
    assert '"restart.requested"' not in told, "nobody was blamed for it"
    assert inspect(agent, ".State.Running")


def test_a_server_in_the_agents_network_may_come_and_go(start: Start, image: str) -> None:
    """The remedy of surprise 1: the agent owns the namespace, and sees the server's restart as what it is."""
    agent = start("--env", f"HEALTH_AGENT_CONFIG={document()}", image)
    server = start("--network", f"container:{agent}", BASE, *SERVER)
    eventually(lambda: answers(agent, "--ready"), within=20, what="ready", story=lambda: log(agent))
    docker("stop", "--time", "0", server)
    eventually(lambda: not answers(agent, "--ready"), within=20, what="not ready", story=lambda: log(agent))
    docker("start", server)
    eventually(lambda: answers(agent, "--ready"), within=20, what="ready again", story=lambda: log(agent))
    assert "agent.stranded" not in log(agent)
    assert inspect(agent, ".RestartCount") == 0


def test_an_agent_in_the_servers_own_pid_namespace_refuses_to_forget(containers: Containers, image: str) -> None:
    """Surprise 2: a signal to the server would end the agent too, and its budget with it; the remedy is named."""
    server = containers.run("--network", "bridge", command=SERVER)
    failing = {"tcp_socket": {"port": 1}, "period_seconds": 0.5, "failure_threshold": 2}
    told = document(
        runtime={"process": {"command_contains": "http.server"}},
        liveness_check=failing,
        restart={"action": {"signal": {}}, "grace_period_seconds": 1},
    )
    agent = containers.run(
        *("--pid", f"container:{server}", "--network", "bridge", "--user", "0"),
        *("--env", f"HEALTH_AGENT_CONFIG={told}"),
        image=image,
        command=(),
    )
    eventually(lambda: "needs state_file" in log(agent), within=30, what="it refuses", story=lambda: log(agent))
    assert "third container" in log(agent)
    assert inspect(server, ".State.Running")
    assert inspect(server, ".RestartCount") == 0


def test_in_a_third_containers_pid_namespace_each_ends_alone_and_the_budget_is_kept(
    containers: Containers, image: str
) -> None:
    """The remedy of surprise 2: the server is signalled and comes back, and so does an agent that is killed."""
    third = containers.run("--init", "--entrypoint", "sleep", image=image, command=("300",))
    shared = ("--pid", f"container:{third}", "--restart", "always")
    server = containers.run(*shared, "--network", "bridge", command=SERVER)
    sick = {"exec": {"command": ["test", "!", "-e", "/tmp/sick"]}, "period_seconds": 0.5, "failure_threshold": 2}
    told = json.dumps(
        {
            "state_file": "/var/lib/health-agent/state.json",
            "containers": [
                {
                    "name": "model",
                    "port": 8000,
                    "runtime": {"process": {"command_contains": "http.server"}},
                    "liveness_check": sick,
                    "restart": {"action": {"signal": {}}, "grace_period_seconds": 1},
                }
            ],
        }
    )
    agent = containers.run(
        *shared, "--network", "bridge", "--user", "0", "--volume", "/var/lib/health-agent",
        "--env", f"HEALTH_AGENT_CONFIG={told}", image=image, command=(),
    )  # fmt: skip
    eventually(lambda: answers(agent, "--live"), within=20, what="it runs", story=lambda: log(agent))
    docker("exec", agent, "touch", "/tmp/sick")
    eventually(lambda: inspect(server, ".RestartCount") == 1, within=30, what="restarted", story=lambda: log(agent))
    docker("exec", agent, "rm", "/tmp/sick")
    docker("kill", agent)
    docker("start", agent)
    eventually(lambda: answers(agent, "--live"), within=20, what="it runs again", story=lambda: log(agent))
    status = docker("exec", agent, "health-agent", "status", "--format", "json")
    assert json.loads(status)["containers"][0]["budget_remaining"] == 4
    assert inspect(server, ".RestartCount") == 1
