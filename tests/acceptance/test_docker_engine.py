"""The agent beside a container that it restarts through the engine's API: engines that come and go, many restarts."""

import os
import tempfile
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.agents import Agent
from tests.acceptance.conftest import StartAgent
from tests.acceptance.engine import BASE, docker, need_engine
from tests.acceptance.private_engine import PrivateEngine, private_engine
from tests.acceptance.processes import always, eventually, free_port

pytestmark = pytest.mark.docker

PROGRAM = (Path(__file__).parent / "hanging_server.py").read_text(encoding="utf-8")
RESTARTS = int(os.environ.get("RESTARTS", "10"))
WARM_UP = 4  # restarts after which the agent has imported and allocated what it ever will


@pytest.fixture
def name() -> str:
    return f"health-agent-{uuid.uuid4().hex[:12]}"


@pytest.fixture(params=[True, False], ids=["containers survive it", "containers stop with it"])
def engine(request: pytest.FixtureRequest) -> Iterator[PrivateEngine]:
    need_engine()
    found = private_engine(Path(tempfile.mkdtemp(prefix="e-", dir="/tmp")), live_restore=request.param)
    yield found
    found.end()


def server(port: int) -> tuple[str, ...]:
    return (BASE, "python", "-c", PROGRAM, str(port))


def hang(port: int) -> None:
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/hang", timeout=2):
        pass


def document(name: str, port: int, host: str | None = None, **container: Any) -> dict[str, Any]:
    look = {"http_get": {"path": "/"}, "period_seconds": 0.25, "timeout_seconds": 0.5}
    given = {"container": name} | ({} if host is None else {"host": host})
    return {
        "containers": [
            {
                "name": "model",
                "port": port,
                "runtime": {"docker": given},
                "startup_check": {**look, "failure_threshold": 400},
                "liveness_check": {**look, "failure_threshold": 2},
                "readiness_check": {**look, "failure_threshold": 1},
                "restart": {
                    "action": {"docker": {}},
                    "grace_period_seconds": 0,
                    "backoff": {"initial_seconds": 0.1, "max_seconds": 0.5},
                    "budget": {"restarts": 1000},
                },
                **container,
            }
        ]
    }


def test_an_engine_that_goes_and_comes_back_costs_no_restart_and_is_used_again(
    engine: PrivateEngine, name: str, start_agent: StartAgent
) -> None:
    """While it is gone, checks that need it are errors and the others go on; back again, it restarts what hangs."""
    port = free_port()
    engine.docker("run", "--detach", "--name", name, "--network", "host", "--restart", "always", *server(port))
    inside = {"exec": {"command": ["true"], "in": "container"}, "period_seconds": 0.5, "timeout_seconds": 3}
    checks = [{"http_get": {"path": "/"}, "period_seconds": 0.25, "failure_threshold": 1}, inside]
    agent = start_agent(document(name, port, engine.host, readiness_check=checks))
    agent.await_status("/ready/model", 200, within=30)

    engine.stop()
    eventually(lambda: last(agent, "exec") == ("error", "runtime"), within=30, what="exec is an error",
               story=agent.running.output)  # fmt: skip
    assert agent.ask("/-/healthy") == 200
    if engine.live_restore:
        always(lambda: agent.ask("/ready/model") == 200, during=2, what="nobody's health is the engine's")
        assert agent.outcomes() == []
    else:
        agent.await_status("/ready/model", 503, within=10)

    engine.start()
    agent.await_status("/ready/model", 200, within=60)
    eventually(
        lambda: last(agent, "exec") == ("success", "ok"), within=30, what="exec works", story=agent.running.output
    )
    before = len(agent.outcomes())
    hang(port)
    eventually(lambda: len(agent.outcomes()) > before and agent.outcomes()[-1] == "succeeded", within=30,
               what="restarted", story=agent.running.output)  # fmt: skip
    agent.await_status("/ready/model", 200, within=30)
    assert agent.outcomes()[before:] == ["succeeded"]


def last(agent: Agent, check: str) -> tuple[str, str]:
    """What a check last found, and why."""
    found = next(one for one in agent.model()["checks"] if one["name"] == check)
    return found["last_result"], found["reason"]


def test_many_restarts_leave_no_descriptor_and_no_memory_behind(name: str, start_agent: StartAgent) -> None:
    """Ten here, a hundred with `make restarts`: each hang costs one restart, and the agent stays what it was."""
    need_engine()
    port = free_port()
    docker("run", "--detach", "--name", name, "--publish", f"127.0.0.1:{port}:8000", *server(8000))
    try:
        agent = start_agent(document(name, port))
        sizes = []
        for number in range(1, RESTARTS + 1):
            agent.await_status("/ready/model", 200, within=30)
            hang(port)
            eventually(lambda wanted=number: agent.model()["instance"] > wanted, within=30, what=f"restart {number}",
                       story=agent.running.output)  # fmt: skip
            sizes.append((descriptors(agent), resident(agent)))
        agent.await_status("/ready/model", 200, within=30)
        assert agent.model()["instance"] == RESTARTS + 1
        assert set(agent.outcomes()) == {"succeeded"}
        assert max(count for count, _ in sizes[WARM_UP:]) <= max(count for count, _ in sizes[:WARM_UP]) + 3
        assert sizes[-1][1] - sizes[WARM_UP][1] < 2 * 1024, f"KiB resident after each restart: {sizes}"
    finally:
        docker("rm", "--force", name)


def descriptors(agent: Agent) -> int:
    return len(list(Path(f"/proc/{agent.running.pid}/fd").iterdir()))


def resident(agent: Agent) -> int:
    """KiB."""
    status = Path(f"/proc/{agent.running.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])
