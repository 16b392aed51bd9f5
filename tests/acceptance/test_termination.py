"""SIGTERM in every phase of a container's life: the agent leaves promptly, in order, and with exit status 0."""

import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.agents import Agent
from tests.acceptance.conftest import StartAgent, StartServer
from tests.acceptance.model_servers import Kind, ModelServer
from tests.acceptance.processes import eventually
from tests.acceptance.test_real_servers import guard

PROMPTLY_SECONDS = 5


@pytest.fixture
def server(mosec: Kind, start_server: StartServer) -> ModelServer:
    """A running mosec server."""
    return start_server(mosec)


def with_action(server: ModelServer, script: str, *arguments: object) -> dict[str, Any]:
    """The server's guard whose restart action is a Python script."""
    document = guard(server)
    command = [sys.executable, "-c", script, *map(str, arguments)]
    document["containers"][0]["restart"]["action"] = {"exec": {"command": command}}
    return document


def terminate(agent: Agent, *, within: float = PROMPTLY_SECONDS) -> None:
    agent.running.send(signal.SIGTERM)
    assert agent.running.wait(within) == 0, agent.running.output()


def test_sigterm_while_the_server_loads(mosec: Kind, start_server: StartServer, start_agent: StartAgent) -> None:
    """Nothing is waited for: the server goes on loading, untouched."""
    server = start_server(mosec, load_seconds=30)
    agent = start_agent(guard(server))
    agent.await_status("/startupz/model", 503, within=5)
    terminate(agent)
    assert server.instances() == 1


def test_sigterm_while_ready_takes_the_server_out_of_rotation_first(
    server: ModelServer, start_agent: StartAgent
) -> None:
    """For shutdown_delay_seconds /ready says 503 while /healthz stays 200; then the agent exits."""
    agent = start_agent(guard(server) | {"shutdown_delay_seconds": 1.5})
    agent.await_status("/ready/model", 200, within=30)
    agent.running.send(signal.SIGTERM)
    agent.await_status("/ready/model", 503, within=1)
    assert agent.ask("/healthz/model") == 200
    assert agent.running.wait(PROMPTLY_SECONDS) == 0
    assert server.instances() == 1


def test_sigterm_during_an_action_lets_it_finish(server: ModelServer, start_agent: StartAgent, tmp_path: Path) -> None:
    """A restart that has begun is completed: half of one would leave no server at all."""
    begun, finished = tmp_path / "begun", tmp_path / "finished"
    script = (
        "import pathlib, sys, time; p = [*map(pathlib.Path, sys.argv[1:])]; p[0].touch(); time.sleep(2); p[1].touch()"
    )
    agent = start_agent(with_action(server, script, begun, finished))
    agent.await_status("/ready/model", 200, within=30)
    server.kill()
    eventually(begun.exists, within=15, what="the action runs", story=agent.running.output)
    assert not finished.exists()
    terminate(agent, within=2 + PROMPTLY_SECONDS)
    assert finished.exists()


def test_sigterm_during_a_hold(server: ModelServer, start_agent: StartAgent) -> None:
    """The new instance that never comes is not waited for."""
    agent = start_agent(with_action(server, ""))
    agent.await_status("/ready/model", 200, within=30)
    server.kill()
    eventually(lambda: agent.model()["state"] == "holding", within=15, what="holding", story=agent.running.output)
    terminate(agent)
