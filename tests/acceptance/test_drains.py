"""Drains by a server's own gauges, on real processes: before a restart, and for a preStop hook."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.agents import COMMAND, Agent
from tests.acceptance.conftest import StartAgent
from tests.acceptance.processes import always, eventually
from tests.acceptance.test_crashes import Platform, document, platform

__all__ = ["platform"]


@pytest.fixture
def socket_path() -> Iterator[Path]:
    """Of the admin listener; a short one, as sockets need."""
    folder = Path(tempfile.mkdtemp(prefix="a-"))
    yield folder / "s"
    shutil.rmtree(folder)


def gauged(platform: Platform, **more: Any) -> dict[str, Any]:
    """The server's gauges are known by its progress check."""
    found = document(platform, drain={"max_seconds": 60, "until_idle": True}, hooks={}, evidence_dir=None)
    progress = {"progress": {"server": "vllm"}, "period_seconds": 0.5}
    container = found["containers"][0]
    container["liveness_check"] = [container["liveness_check"], progress]
    return found | more


def running(platform: Platform, number: int) -> None:
    """So many requests are in flight at the server."""
    (platform.home / "sick.running").write_text(str(number))


def ready(agent: Agent) -> None:
    agent.await_status("/ready/model", 200, within=60)


def test_a_restart_waits_until_nothing_is_in_flight_and_no_longer(platform: Platform, start_agent: StartAgent) -> None:
    running(platform, 3)
    agent = start_agent(gauged(platform))
    ready(agent)
    platform.make_sick()
    eventually(lambda: agent.model()["in_flight"] == 3, within=60, what="what is in flight", story=agent.running.output)
    model = agent.model()
    assert (model["state"], model["step"], model["ready"]) == ("draining", "drain", False)
    always(lambda: platform.lines("actions") == [], during=3, what="no action while requests run")
    running(platform, 0)
    began = time.monotonic()
    eventually(lambda: platform.lines("actions"), within=30, what="the action", story=agent.running.output)
    assert time.monotonic() - began < 25, "long before its time is over"
    assert '"why":"idle"' in agent.running.output().replace(" ", "")
    ready(agent)


def test_the_drain_command_returns_when_nothing_is_in_flight_and_nobody_is_restarted(
    platform: Platform, start_agent: StartAgent, socket_path: Path
) -> None:
    running(platform, 2)
    agent = start_agent(gauged(platform, admin={"socket": str(socket_path)}))
    ready(agent)
    command = [str(COMMAND), "drain", "--timeout", "60", "--admin", str(socket_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as draining:
        agent.await_status("/ready/model", 503, within=30)
        assert agent.ask("/healthz/model") == 200
        always(lambda: draining.poll() is None, during=2, what="it waits for the requests")
        running(platform, 0)
        said, _ = draining.communicate(timeout=30)
    assert (draining.returncode, said.split(" after")[0]) == (0, "drained")
    assert agent.ask("/ready/model") == 503, "what comes after a preStop hook is the end"
    assert platform.lines("actions") == []
    assert agent.model()["state"] == "draining"
