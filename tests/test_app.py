"""The agent as a process: reload, shutdown order, a configuration that can't be used, a port that is taken."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from agent.app.reloading import Known, Reloader
from tests.acceptance.agents import COMMAND, Agent
from tests.acceptance.processes import always, eventually, free_port


class Server(ThreadingHTTPServer):
    """A model server that counts how often each path was asked for and answers ``status``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 200
        self.asked: dict[str, int] = {}

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked[self.path] = self.server.asked.get(self.path, 0) + 1
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for agent in AGENTS:
        agent.running.kill()
    AGENTS.clear()


AGENTS: list[Agent] = []


def start(home: Path, document: dict[str, Any], *arguments: str) -> Agent:
    AGENTS.append(Agent(home, document, *arguments))
    return AGENTS[-1]


def checked(server: Server, **blocks: Any) -> dict[str, Any]:
    """A container named model with a quick readiness check, and what else is given."""
    ready = {"http_get": {"path": "/ready"}, "period_seconds": 0.2}
    return {"name": "model", "port": server.port, "readiness_check": ready, **blocks}


def rewrite(agent: Agent, home: Path, document: dict[str, Any]) -> None:
    document = {**document, "server": {"host": "127.0.0.1", "port": agent.port, "details": "full"}}
    (home / "config.yaml").write_text(json.dumps(document))


def reloads(agent: Agent) -> int:
    return agent.running.output().count('"config.reloaded"')


def test_a_reload_keeps_what_did_not_change_and_its_counters(home: Path, server: Server) -> None:
    """SIGHUP: the unchanged check keeps its run; the changed one keeps its published result; a new container begins."""
    live = {"http_get": {"path": "/live"}, "period_seconds": 0.2, "failure_threshold": 1000}
    agent = start(home, {"containers": [checked(server, liveness_check=live)]})
    agent.await_status("/ready/model", 200, within=5)
    eventually(lambda: agent.model()["checks"][1]["run"] >= 3, within=5, what="a run of three")
    before = agent.model()
    slower = {"http_get": {"path": "/ready"}, "period_seconds": 100, "initial_delay_seconds": 1000}
    other = {**checked(server), "name": "other"}
    rewrite(agent, home, {"containers": [checked(server, liveness_check=live, readiness_check=slower), other]})
    agent.running.send(signal.SIGHUP)
    agent.await_status("/ready/other", 200, within=5)
    after = agent.model()
    assert after["checks"][1]["run"] >= before["checks"][1]["run"]
    assert after["instance"] == before["instance"]
    assert after["checks"][0]["published"] == "Success"  # though the changed check will not look for a long time
    assert agent.ask("/ready/model") == 200


def test_a_removed_container_is_no_longer_probed(home: Path, server: Server) -> None:
    """What is gone from the configuration is gone from the endpoints and leaves the server alone."""
    other = {
        **checked(server, readiness_check={"http_get": {"path": "/other"}, "period_seconds": 0.1}),
        "name": "other",
    }
    agent = start(home, {"containers": [checked(server), other]})
    agent.await_status("/ready", 200, within=5)
    rewrite(agent, home, {"containers": [checked(server)]})
    agent.running.send(signal.SIGHUP)
    agent.await_status("/ready/other", 404, within=5)
    asked = server.asked["/other"]
    always(lambda: server.asked["/other"] == asked, during=0.5, what="nobody asks /other any more")
    assert agent.ask("/ready/model") == 200


def test_a_bad_file_changes_nothing_and_says_so(home: Path, server: Server) -> None:
    """The metric falls to 0, the log names the place, and the old configuration goes on."""
    agent = start(home, {"containers": [checked(server)]})
    agent.await_status("/ready/model", 200, within=5)
    (home / "config.yaml").write_text("containers: [{name: model, prot: 1}]")
    agent.running.send(signal.SIGHUP)
    metric = "health_agent_config_last_reload_successful"
    eventually(lambda: f"{metric} 0.0" in agent.fetch("/metrics")[1], within=5, what="the metric says so")
    told = "containers[0].prot: unknown key, did you mean 'port'?"
    eventually(lambda: told in agent.running.output(), within=5, what="the log's own thread writes it")
    assert agent.ask("/ready/model") == 200
    rewrite(agent, home, {"containers": [checked(server)]})
    agent.running.send(signal.SIGHUP)
    eventually(lambda: f"{metric} 1.0" in agent.fetch("/metrics")[1], within=5, what="the metric is 1 again")


def test_a_changed_listener_needs_a_restart_and_is_told(home: Path, server: Server) -> None:
    agent = start(home, {"containers": [checked(server)]})
    document = {"containers": [checked(server)], "server": {"host": "127.0.0.1", "port": free_port()}}
    (home / "config.yaml").write_text(json.dumps(document))
    agent.running.send(signal.SIGHUP)
    eventually(lambda: reloads(agent) == 1, within=5, what="the reload", story=agent.running.output)
    told = "W-RELOAD-RESTART"
    eventually(lambda: told in agent.running.output(), within=5, what="it is told", story=agent.running.output)
    assert agent.ask("/-/ready") == 200  # still where it was


def test_watch_config_follows_a_configmap_that_is_swapped(home: Path, server: Server) -> None:
    """The kubelet swaps a symbolic link to a folder; the file's own path never changes."""
    mount = home / "mount"
    for version, path in (("v1", "/one"), ("v2", "/two")):
        (mount / version).mkdir(parents=True)
        check = {"http_get": {"path": path}, "period_seconds": 0.2}
        document = {"containers": [checked(server, readiness_check=check)]}
        (mount / version / "overlay.yaml").write_text(json.dumps(document))
    (mount / "..data").symlink_to("v1")
    (mount / "overlay.yaml").symlink_to("..data/overlay.yaml")
    agent = start(home, {"containers": [checked(server)]}, "--config", str(mount / "overlay.yaml"), "--watch-config")
    eventually(lambda: server.asked.get("/one"), within=5, what="the first version is used")
    (mount / "..tmp").symlink_to("v2")
    (mount / "..tmp").replace(mount / "..data")
    eventually(lambda: server.asked.get("/two"), within=10, what="the second version is used")
    assert reloads(agent) == 1


def test_a_bad_configuration_is_served_until_it_is_mended(home: Path, server: Server) -> None:
    """--serve-on-config-error: alive, not ready, no action; a reload of the mended file begins to probe."""
    (home / "config.yaml").write_text("containers: [{nam: model}]")
    port = free_port()
    env = {**os.environ, "HEALTH_AGENT_SERVER__PORT": str(port)}
    process = subprocess.Popen(
        [COMMAND, "run", "-c", home / "config.yaml", "--serve-on-config-error"], env=env, stderr=subprocess.DEVNULL
    )
    agent = Agent.__new__(Agent)
    agent.port = port
    try:
        eventually(lambda: agent.ask("/-/healthy") == 200, within=10, what="the agent listens")
        answers = {path: agent.ask(path) for path in ("/healthz", "/healthz/any", "/startupz/any", "/livez/any")}
        assert set(answers.values()) == {200}
        assert {agent.ask(path) for path in ("/ready", "/ready/any", "/readyz", "/-/ready")} == {503}
        (home / "config.yaml").write_text(json.dumps({"containers": [checked(server)]}))
        process.send_signal(signal.SIGHUP)
        eventually(lambda: agent.ask("/ready/model") == 200, within=5, what="the mended configuration is used")
        assert agent.ask("/healthz/any") == 404
    finally:
        process.terminate()
        assert process.wait(5) == 0


def test_without_that_option_a_bad_configuration_starts_nothing(home: Path) -> None:
    (home / "config.yaml").write_text("containers: [{name: model, prot: 1}]")
    done = subprocess.run(
        [COMMAND, "run", "-c", home / "config.yaml"], capture_output=True, text=True, timeout=10, check=False
    )
    assert done.returncode == 2
    assert done.stderr == f"{home}/config.yaml:1: containers[0].prot: unknown key, did you mean 'port'?\n"


def test_sigterm_makes_it_unready_but_alive_for_the_delay(home: Path, server: Server) -> None:
    """Liveness checks stop at once, readiness says no, and a second signal cuts the delay short."""
    live = {"http_get": {"path": "/live"}, "period_seconds": 0.1, "failure_threshold": 1}
    agent = start(home, {"containers": [checked(server, liveness_check=live)], "shutdown_delay_seconds": 60})
    agent.await_status("/ready", 200, within=5)
    agent.running.send(signal.SIGTERM)
    agent.await_status("/ready", 503, within=5)
    server.status = 500
    asked = server.asked["/live"]
    always(lambda: agent.ask("/healthz") == 200, during=0.5, what="/healthz is 200")
    assert server.asked["/live"] <= asked + 1
    agent.running.send(signal.SIGTERM)
    assert agent.running.wait(5) == 0


def test_a_port_that_is_taken_is_named_with_the_remedy(home: Path, server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        document = {"containers": [checked(server)], "server": {"host": "127.0.0.1", "port": port}}
        (home / "config.yaml").write_text(json.dumps(document))
        done = subprocess.run(
            [COMMAND, "run", "-c", home / "config.yaml"], capture_output=True, text=True, timeout=10, check=False
        )
    assert done.returncode == 1
    line = json.loads(done.stderr.splitlines()[-1])
    assert line["event"] == "agent.failed"
    assert str(port) in line["detail"]
    assert "server.port" in line["detail"]


def test_the_exit_action_leaves_in_order_with_its_code(home: Path) -> None:
    check = {"tcp_socket": {}, "period_seconds": 0.1, "failure_threshold": 1}
    restart = {"action": {"exit": {"code": 7}}}
    document = {
        "containers": [{"name": "model", "port": free_port(), "liveness_check": check, "restart": restart}],
        "state_file": str(home / "state.json"),
    }
    (home / "config.yaml").write_text(json.dumps({**document, "server": {"port": 0}}))
    done = subprocess.run(
        [COMMAND, "run", "-c", home / "config.yaml"], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 7
    remembered = json.loads((home / "state.json").read_text())["containers"]["model"]
    assert len(remembered["spent"]) == 1
    assert remembered["hold"] is None


def test_exit_is_not_taken_where_its_cost_could_not_be_remembered(home: Path) -> None:
    """Else the next agent would find its whole budget again, and leave again, without end."""
    check = {"tcp_socket": {}, "period_seconds": 0.1, "failure_threshold": 1}
    restart = {"action": {"exit": {"code": 7}}, "backoff": {"initial_seconds": 0.1, "max_seconds": 0.1}}
    document = {
        "containers": [{"name": "model", "port": free_port(), "liveness_check": check, "restart": restart}],
        "state_file": str(home / "nowhere" / "state.json"),
    }
    (home / "config.yaml").write_text(json.dumps({**document, "server": {"port": 0}}))
    with subprocess.Popen([COMMAND, "run", "-c", home / "config.yaml"], stderr=subprocess.PIPE, text=True) as agent:
        assert agent.stderr is not None
        told = []
        for line in agent.stderr:
            told.append(json.loads(line))
            if told[-1]["event"] == "restart.given_up":
                agent.terminate()
    assert agent.returncode == 0
    events = [line["event"] for line in told]
    assert events.index("state.unwritable") < events.index("agent.started")
    assert events.count("restart.failed") == 5
    assert "state_file can't be written" in next(line["detail"] for line in told if line["event"] == "restart.failed")


async def test_a_file_that_changed_while_the_agent_started_is_read_again(tmp_path: Path) -> None:
    """Between the first reading and the first look at the files: nothing later would tell of it."""
    file = tmp_path / "config.yaml"
    file.write_text("containers: [{name: one, port: 1}]")
    known = Known.of([str(file)])
    file.write_text("containers: [{name: two, port: 1}]")
    reloaded = asyncio.Event()

    class Noting(Reloader):
        async def reload(self) -> list[str]:
            reloaded.set()
            return []

    reloader = Noting.__new__(Noting)
    task = asyncio.create_task(reloader.follow(known))
    try:
        await asyncio.wait_for(reloaded.wait(), 5)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
