"""SIGKILL of the agent between every two steps of a restart, on real processes; and an action that hangs."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import supervise
from tests.acceptance.agents import Agent
from tests.acceptance.conftest import StartAgent
from tests.acceptance.processes import alive, eventually, free_port

ROOT = Path(__file__).parents[2]


class Platform:
    """A server with the script that restarts it, in one folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        server = [sys.executable, str(Path(__file__).with_name("sick_server.py")), str(self.port), str(home / "sick")]
        (home / "server.json").write_text(json.dumps({"command": server, "env": {}}))
        # By a process of its own, as every later instance: whoever starts a server is gone before it.
        command = [sys.executable, Path(supervise.__file__), "restart", home]
        subprocess.run([str(word) for word in command], timeout=30, check=True)

    def lines(self, name: str) -> list[str]:
        path = self.home / name
        return path.read_text().split() if path.exists() else []

    def is_remembered(self) -> bool:
        """Whether the state file says that the server has started; that takes a second at most."""
        path = self.home / "state.json"
        return path.exists() and bool(json.loads(path.read_text())["containers"]["model"]["started"])

    def make_sick(self) -> None:
        (self.home / "sick").write_text(self.lines("pid")[0])

    def stop(self) -> None:
        """Also what the script has yet to start."""
        eventually(lambda: not (self.home / "lock").exists(), within=20, what="no script runs")
        if len(self.lines("instances")) <= self.lines("actions").count("ended"):
            eventually(
                lambda: len(self.lines("instances")) > self.lines("actions").count("ended"), within=20, what="started"
            )
        supervise.stop(self.home)


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    home = tmp_path / "platform"
    home.mkdir()
    found = Platform(home)
    yield found
    found.stop()


def document(platform: Platform, **restart: Any) -> dict[str, Any]:
    """Every step of a restart takes a second or so."""
    home = platform.home
    check = {"http_get": {"path": "/"}, "period_seconds": 0.3, "timeout_seconds": 3}
    slow_hook = {"exec": {"command": ["sh", "-c", f"echo $HEALTH_EVENT_TYPE >> {home}/hooks; sleep 1"]}}
    rule = {
        "action": {"exec": {"command": ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m",
                                        "tests.acceptance.slow_platform", str(home)]}},
        "drain": {"max_seconds": 1.5},
        "hooks": {"pre_restart": slow_hook, "post_restart": slow_hook},
        "evidence_dir": str(home / "evidence"),
        **restart,
    }  # fmt: skip
    return {
        "state_file": str(home / "state.json"),
        "containers": [
            {
                "name": "model",
                "port": platform.port,
                "runtime": {"process": {"pid_file": str(home / "pid")}},
                "startup_check": {**check, "failure_threshold": 300},
                "readiness_check": check,
                "liveness_check": {**check, "failure_threshold": 2},
                "restart": rule,
            }
        ],
    }


def told(agent: Agent, event: str) -> bool:
    return any(json.loads(line)["event"] == event for line in agent.running.output().splitlines() if line[:1] == "{")


BEFORE = ("restart.draining", "restart.drained", "restart.evidence", "restart.pre_restart")
AFTER = ("restart.holding", "restart.gone", "restart.succeeded", "restart.post_restart")


def is_closed_well(step: str, outcomes: list[str]) -> bool:
    """What /status of the next process may say of the restarts, by the step that the one before it was killed in."""
    if step in BEFORE:  # where the decision had come to the disk, it is told that nothing came of it
        return outcomes in (["succeeded"], ["withdrawn", "succeeded"])
    if step in AFTER:
        return outcomes == ["succeeded"]
    return outcomes in (["failed"], ["succeeded"])  # nobody saw the action's end, or its new instance was seen


@pytest.mark.parametrize("step", [*BEFORE, "restart.action", *AFTER])
def test_killed_after_any_step_the_next_agent_ends_what_was_begun_and_does_nothing_twice(
    step: str, platform: Platform, start_agent: StartAgent
) -> None:
    agent = start_agent(document(platform))
    agent.await_status("/ready/model", 200, within=60)
    eventually(platform.is_remembered, within=10, what="that it started is on disk")
    platform.make_sick()
    eventually(lambda: told(agent, step), within=60, what=step, story=agent.running.output)
    agent.running.send(signal.SIGKILL)
    agent.running.wait(10)
    second = start_agent(document(platform))
    eventually(
        lambda: len(platform.lines("instances")) == 2 and second.ask("/ready/model") == 200,
        within=60, what="a new instance, ready", story=second.running.output,
    )  # fmt: skip
    eventually(
        lambda: "" not in second.outcomes(), within=60, what="every restart is closed", story=second.running.output
    )
    eventually(lambda: second.model()["instance"] == 2, within=30, what="it is seen", story=second.running.output)
    model, outcomes = second.model(), second.outcomes()
    assert platform.lines("actions") == ["begun", "ended"], "one action, to its end"
    assert (model["instance"], model["budget_remaining"]) == (2, 5 - len(outcomes)), second.running.output()
    assert is_closed_well(step, outcomes), outcomes
    assert second.ask("/healthz/model") == 200


def test_an_action_that_hangs_is_ended_with_all_it_started_and_the_agent_stays_well(
    platform: Platform, start_agent: StartAgent
) -> None:
    home = platform.home
    script = f"echo $$ >> {home}/pids; sleep 1000 & echo $! >> {home}/pids; wait"
    rule = {
        "action": {"exec": {"command": ["sh", "-c", script]}},
        "action_timeout_seconds": 2, "grace_period_seconds": 0, "drain": {}, "hooks": {},
        "backoff": {"initial_seconds": 0.5, "max_seconds": 0.5}, "budget": {"restarts": 2},
    }  # fmt: skip
    agent = start_agent(document(platform, **rule))
    agent.await_status("/ready/model", 200, within=60)
    platform.make_sick()
    eventually(lambda: agent.model()["step"] == "action", within=60, what="it acts", story=agent.running.output)
    assert (agent.ask("/healthz/model"), agent.ask("/-/healthy")) == (503, 200)
    eventually(lambda: agent.model()["state"] == "given_up", within=60, what="given up", story=agent.running.output)
    assert agent.outcomes() == ["failed", "failed"]
    assert "not done within 2 s" in agent.model()["restarts"][0]["detail"]
    pids = [int(pid) for pid in platform.lines("pids")]
    assert len(pids) == 4
    eventually(lambda: not any(alive(pid) for pid in pids), within=10, what="nothing of it is left")
    assert (agent.ask("/healthz/model"), agent.ask("/-/healthy")) == (200, 200)
    agent.running.send(signal.SIGTERM)
    assert agent.running.wait(20) == 0


def test_sigterm_while_an_action_hangs_waits_for_its_deadline_and_no_longer(
    platform: Platform, start_agent: StartAgent
) -> None:
    rule = {
        "action": {"exec": {"command": ["sleep", "1000"]}},
        "action_timeout_seconds": 3, "grace_period_seconds": 0, "drain": {}, "hooks": {},
    }  # fmt: skip
    agent = start_agent(document(platform, **rule))
    agent.await_status("/ready/model", 200, within=60)
    platform.make_sick()
    eventually(lambda: agent.model()["step"] == "action", within=60, what="it acts", story=agent.running.output)
    agent.running.send(signal.SIGTERM)
    assert agent.running.wait(20) == 0
    (record,) = json.loads((platform.home / "state.json").read_text())["containers"]["model"]["restarts"]
    assert record["outcome"] == "failed"
