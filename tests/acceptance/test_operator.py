"""An operator and the running agent: restart, maintenance, drain, probe and reload through the admin listener."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.agents import COMMAND, Agent
from tests.acceptance.processes import eventually
from tests.test_app import Server, checked, server

__all__ = ["server"]


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder with a short path, for the socket in it."""
    folder = Path(tempfile.mkdtemp(prefix="a-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def agent(home: Path, server: Server) -> Iterator[Agent]:
    """An agent whose action writes a line, with an admin socket, evidence and a state file."""
    action = {"exec": {"command": ["sh", "-c", f"echo $HEALTH_EVENT_REASON $HEALTH_EVENT_EVIDENCE >> {home}/acted"]}}
    restart = {"action": action, "assume_restarted_seconds": 1, "evidence_dir": str(home / "evidence")}
    live = {"http_get": {"path": "/live"}, "period_seconds": 0.2, "failure_threshold": 2}
    (home / "agent").mkdir()
    document = {
        "admin": {"socket": str(home / "s")},
        "state_file": str(home / "state.json"),
        "containers": [checked(server, liveness_check=live, restart=restart)],
    }
    found = Agent(home / "agent", document)
    yield found
    found.running.kill()


def admin(home: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [str(COMMAND), "admin", *words, "--admin", str(home / "s")]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def acted(home: Path) -> list[str]:
    path = home / "acted"
    return path.read_text().splitlines() if path.exists() else []


def test_a_restart_for_an_operator_leaves_evidence_and_ends_ready(home: Path, agent: Agent) -> None:
    agent.await_status("/ready/model", 200, within=10)
    done = admin(home, "restart")
    assert (done.returncode, done.stderr) == (0, "")
    eventually(lambda: agent.outcomes() == ["timed_out"], within=20, what="assumed", story=agent.running.output)
    agent.await_status("/ready/model", 200, within=10)
    (line,) = acted(home)
    reason, _, evidence = line.partition(" ")
    assert reason == "operator"
    assert json.loads((Path(evidence) / "restart.json").read_text())["container"] == "model"
    record = agent.model()["restarts"][0]
    assert (record["reason"], record["evidence"]) == ("operator", evidence)


def test_in_maintenance_the_verdict_is_shown_and_nothing_is_done(home: Path, agent: Agent, server: Server) -> None:
    agent.await_status("/ready/model", 200, within=10)
    assert admin(home, "maintenance", "--for", "600").stdout == "maintenance: model is maintenance\n"
    server.status = 500
    eventually(lambda: not agent.model()["live"], within=10, what="the verdict", story=agent.running.output)
    eventually(lambda: agent.model()["suppressed"] == "maintenance", within=10, what="why", story=agent.running.output)
    assert agent.ask("/healthz/model") == 200
    refused = admin(home, "restart")
    assert (refused.returncode, "maintenance" in refused.stderr) == (1, True)
    assert acted(home) == []
    server.status = 200
    assert admin(home, "maintenance", "--for", "0").returncode == 0
    agent.await_status("/ready/model", 200, within=10)


def test_a_drain_takes_it_out_of_service_and_gives_it_back(home: Path, agent: Agent) -> None:
    agent.await_status("/ready/model", 200, within=10)
    assert admin(home, "drain", "--for", "600").stdout == "drain: model is draining\n"
    assert (agent.ask("/ready/model"), agent.ask("/healthz/model")) == (503, 200)
    hook = [str(COMMAND), "drain", "--timeout", "0.5", "--admin", str(home / "s")]
    done = subprocess.run(hook, capture_output=True, text=True, timeout=30, check=True)
    assert "does not tell what is in flight" in done.stdout
    assert admin(home, "drain", "--for", "0").returncode == 0
    agent.await_status("/ready/model", 200, within=10)


def test_a_probe_and_a_reload_are_done_at_once(home: Path, agent: Agent, server: Server) -> None:
    document: dict[str, Any] = json.loads((home / "agent" / "config.yaml").read_text())
    document["containers"][0]["readiness_check"] = {"http_get": {"path": "/other"}, "initial_delay_seconds": 1}
    (home / "agent" / "config.yaml").write_text(json.dumps(document))
    assert admin(home, "reload").returncode == 0
    eventually(lambda: "/other" in server.asked, within=15, what="the new check", story=agent.running.output)
    asked = server.asked["/other"]
    assert admin(home, "probe").returncode == 0
    eventually(lambda: server.asked["/other"] > asked, within=3, what="asked at once", story=agent.running.output)
    (home / "agent" / "config.yaml").write_text("containers: [{nmae: model}]")
    refused = admin(home, "reload")
    assert (refused.returncode, "did you mean 'name'?" in refused.stderr) == (1, True)
    assert agent.ask("/ready/model") == 200


def test_the_socket_goes_with_the_agent(home: Path, agent: Agent) -> None:
    agent.running.process.terminate()
    assert agent.running.wait(15) == 0
    assert not (home / "s").exists()
