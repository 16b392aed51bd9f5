"""The agent's image beside servers on a real engine: restarts through the engine, and what goes wrong around them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.engine import docker, inspect, log
from tests.acceptance.processes import always, eventually
from tests.containers import SOCKET, Containers

pytestmark = pytest.mark.docker

SERVER = """
import http.server, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/hang":
            time.sleep(600)  # the only thread there is
        self.send_response(200)
        self.end_headers()
    def log_message(self, *words): pass
http.server.HTTPServer(("", 8000), Handler).serve_forever()
"""
FETCH = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=3).read().decode())"
HANG = "import socket; s = socket.create_connection(('127.0.0.1', 8000)); s.sendall(b'GET /hang HTTP/1.0\\r\\n\\r\\n')"
READ_ONLY = ("--volume", f"{SOCKET}:{SOCKET}:ro")  # which protects nothing

StartAgent = Callable[..., str]


@pytest.fixture
def group(engine: str) -> str:
    """The group whose members may use the engine's socket."""
    return str(Path(engine).stat().st_gid)


@pytest.fixture
def start_agent(containers: Containers, image: str, group: str) -> StartAgent:
    """Starts the agent with the engine's socket, its group, and a document."""

    def start(document: dict[str, Any], *options: str, rights: bool = True) -> str:
        given = ("--group-add", group) if rights else ()
        environment = ("--env", f"HEALTH_AGENT_CONFIG={json.dumps(document)}")
        return containers.run(*READ_ONLY, *given, *environment, *options, image=image, command=())

    return start


def guard(server: str, **more: Any) -> dict[str, Any]:
    """A document that has a server restarted within seconds."""
    container = {
        "name": "model", "host": server, "port": 8000, "runtime": {"docker": {"container": server}},
        "startup_check": {"http_get": {}, "period_seconds": 0.5, "failure_threshold": 60},
        "liveness_check": {"http_get": {}, "period_seconds": 0.5, "timeout_seconds": 1, "failure_threshold": 2},
        "readiness_check": {"http_get": {}, "period_seconds": 0.5},
        "restart": {"action": {"docker": {}}, "grace_period_seconds": 1, **more.pop("restart", {})},
    }  # fmt: skip
    return {"containers": [{**container, **more.pop("container", {})}], **more}


def status(agent: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker("exec", agent, "python", "-c", FETCH, "http://127.0.0.1:9809/status"))
    model: dict[str, Any] = found["containers"][0]
    return model


def ready(agent: str) -> None:
    docker("exec", agent, "health-agent", "wait", "--for", "ready", "--timeout", "30", timeout=40)


def hang(server: str) -> None:
    docker("exec", server, "python", "-c", HANG)


def starts(name: str) -> str:
    found: str = inspect(name, ".State.StartedAt")
    return found


def restarted(server: str, before: str, agent: str) -> None:
    eventually(lambda: starts(server) != before, within=20, what="the server is restarted", story=lambda: log(agent))


def test_a_server_that_hangs_is_restarted_once_and_ready_again(containers: Containers, start_agent: StartAgent) -> None:
    network = containers.network()
    server = containers.run("--network", network, command=("python", "-c", SERVER))
    agent = start_agent(guard(server), "--network", network)
    ready(agent)
    before = starts(server)
    hang(server)
    restarted(server, before, agent)
    before = starts(server)
    ready(agent)
    assert [record["outcome"] for record in status(agent)["restarts"]] == ["succeeded"]
    always(lambda: starts(server) == before, during=2, what="it is restarted once")
    docker("restart", "--time", "0", server)
    eventually(lambda: status(agent)["instance"] == 3, within=15, what="somebody else's restart is seen")
    assert len(status(agent)["restarts"]) == 1


def test_an_agent_that_dies_with_the_server_comes_back_and_remembers(
    containers: Containers, start_agent: StartAgent
) -> None:
    """In a shared pid namespace it never sees the answer to its own call.

    Docker tries once to start it again, at a moment when the server may still be down; else somebody has to.
    """
    server = containers.run("--restart", "always", "--network", containers.network(), command=("python", "-c", SERVER))
    shared = ("--network", f"container:{server}", "--pid", f"container:{server}", "--restart", "always")
    document = guard(server, container={"host": "127.0.0.1"}, state_file="/var/lib/health-agent/state.json")
    agent = start_agent(document, *shared)
    ready(agent)
    before, spent = starts(server), status(agent)["budget_remaining"]
    hang(server)
    restarted(server, before, agent)
    before = starts(server)
    eventually(lambda: inspect(agent, ".RestartCount") == 1, within=10, what="the agent has ended")
    docker("start", agent)
    ready(agent)
    assert (status(agent)["budget_remaining"], status(agent)["instance"]) == (spent - 1, 2)
    assert "W-ACTION-CAUTION" in log(agent)
    always(lambda: starts(server) == before, during=2, what="it is restarted once")


def test_an_agent_that_would_die_with_the_server_needs_a_state_file(
    containers: Containers, start_agent: StartAgent
) -> None:
    server = containers.run()
    agent = start_agent(guard(server), "--pid", f"container:{server}")
    assert docker("wait", agent, timeout=20) == "2"
    assert "restart.action.docker: needs state_file" in log(agent)


def test_a_server_that_is_process_1_is_shielded_and_an_init_is_the_remedy(
    containers: Containers, start_agent: StartAgent
) -> None:
    """From inside a shared pid namespace the kernel lets no SIGKILL through to the first process."""
    network = containers.network()
    told = {}
    for init in (False, True):
        options = ("--network", network, *(("--init",) if init else ()))
        server = containers.run(*options, command=("python", "-c", SERVER))
        document = guard(
            "127.0.0.1",
            container={"runtime": {"process": {"command_contains": "serve_forever"}}},
            restart={"action": {"signal": {}}},
        )
        document["state_file"] = "/var/lib/health-agent/state.json"
        joined = ("--network", f"container:{server}", "--pid", f"container:{server}", "--user", "0")
        agent = start_agent(document, *joined)
        ready(agent)
        hang(server)
        if init:
            eventually(
                lambda name=server: not inspect(name, ".State.Running"),
                within=20, what="the server is ended", story=lambda name=agent: log(name),
            )  # fmt: skip
        else:
            eventually(
                lambda name=agent: "restart.failed" in log(name),
                within=20, what="the restart fails", story=lambda name=agent: log(name),
            )  # fmt: skip
            assert inspect(server, ".State.Running")
        told[init] = log(agent)
    assert "`init: true` (docker run --init)" in told[False]
    assert "init: true" not in told[True]


def test_a_socket_of_another_group_is_told_with_that_group(
    containers: Containers, start_agent: StartAgent, group: str
) -> None:
    """And the checks that do not need the engine go on."""
    network = containers.network()
    server = containers.run("--network", network, command=("python", "-c", SERVER))
    agent = start_agent(guard(server), "--network", network, rights=False)
    ready(agent)
    assert f"docker run --group-add {group}" in log(agent)
    before = starts(server)
    hang(server)
    eventually(lambda: "restart.failed" in log(agent), within=20, what="the restart fails", story=lambda: log(agent))
    assert starts(server) == before


ACT = """
import asyncio, sys
from agent.actions import ActionError, Order
from agent.actions.docker import DockerRestart
from agent.runtimes.docker import Docker
order = Order(type="action", container="model", runtime=Docker(container=sys.argv[1]), grace_seconds=0)
try:
    asyncio.run(DockerRestart().act(order))
except ActionError as problem:
    print(problem)
else:
    print("restarted")
"""


@pytest.mark.parametrize(
    "options",
    [
        ("--hostname", "something"),
        ("--cgroupns", "private"),
        ("--network", "container:SERVER"),
        ("--network", "container:SERVER", "--cgroupns", "private"),
        ("--network", "host", "--cgroupns", "private"),
    ],
)
def test_the_agent_never_restarts_itself_and_knows_itself_whatever_it_shares(
    options: tuple[str, ...], containers: Containers, image: str, group: str
) -> None:
    """In the server's network namespace its host name and its /etc/hosts are the server's."""
    server = containers.run("--network", containers.network())
    shared = [word.replace("SERVER", server) for word in options]
    common = ("--rm", *READ_ONLY, "--group-add", group, *shared, "--entrypoint", "python")
    me = containers.name()
    assert "is the agent's own container" in docker("run", "--name", me, *common, image, "-c", ACT, me)
    before = starts(server)
    assert docker("run", "--name", containers.name(), *common, image, "-c", ACT, server) == "restarted"
    assert starts(server) != before


ASK = """
import asyncio
from agent.runtimes.docker import Docker
print(asyncio.run(Docker(service="model").instance()).identity)
"""


@pytest.mark.parametrize("namespace", ["host", "private"])
def test_a_service_is_looked_for_in_the_agents_own_project(
    namespace: str, containers: Containers, image: str, group: str
) -> None:
    project = ("--label", f"com.docker.compose.project={containers.name()}")
    model = ("--label", "com.docker.compose.service=model")
    server = containers.run(*project, *model)
    containers.run("--label", "com.docker.compose.project=another", *model)
    common = ("--rm", *READ_ONLY, "--group-add", group, "--cgroupns", namespace, "--entrypoint", "python")
    found = docker("run", "--name", containers.name(), *common, *project, image, "-c", ASK)
    assert inspect(server, ".Id").startswith(found.split()[1])
