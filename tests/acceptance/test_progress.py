"""The progress check on a real mosec server: a deadlocked worker is found and restarted, a busy one never is."""

import time
from typing import Any

from tests.acceptance.conftest import StartAgent, StartServer
from tests.acceptance.model_servers import Kind, ModelServer
from tests.acceptance.processes import always, eventually
from tests.acceptance.users import Users

PERIOD, WARN, HUNG = 0.5, 1.5, 4.0
LATE = 3.0  # seconds that this machine may add, with 16 users and an agent on it


def guarded(server: ModelServer) -> dict[str, Any]:
    """Its health endpoint for everything, and its metrics for what that does not see; thresholds shortened."""
    health = {"http_get": {"path": server.kind.health}, "period_seconds": PERIOD, "timeout_seconds": 2}
    progress = {"server": "mosec", "warn_after_seconds": WARN, "hung_after_seconds": HUNG}
    return {
        "containers": [
            {
                "name": "model",
                "port": server.port,
                "startup_check": {**health, "failure_threshold": 120},
                "readiness_check": health,
                "liveness_check": [
                    {**health, "name": "answers", "failure_threshold": 10},
                    {"progress": progress, "period_seconds": PERIOD},
                ],
                "restart": {
                    "action": {"exec": {"command": server.restart_command}},
                    "grace_period_seconds": 1,
                    "backoff": {"initial_seconds": 0.5},
                },
            }
        ]
    }


def test_a_busy_worker_is_left_alone_and_a_deadlocked_one_is_taken_out_then_restarted(
    mosec: Kind, start_server: StartServer, start_agent: StartAgent
) -> None:
    """16 users at once: predictions queue, and the health endpoint says 200 through all of it."""
    server = start_server(mosec, predict_seconds=0.08)
    agent = start_agent(guarded(server))
    agent.await_status("/ready/model", 200, within=30)
    server.await_loaded()
    eventually(lambda: agent.model()["state"] == "idle", within=20, what="it rests", story=agent.running.output)
    with Users(f"http://127.0.0.1:{server.port}{mosec.predict}", 16) as users:
        eventually(lambda: agent.model()["state"] == "working", within=20, what="it works", story=server.story)
        always(
            lambda: agent.outcomes() == [] and agent.ask("/ready/model") == 200,
            during=2 * HUNG,
            what="a busy server is ready and left alone",
        )
        assert users.answered > 16
        server.deadlock()
        since = time.monotonic()
        agent.await_status("/ready/model", 503, within=WARN + 2 * PERIOD + LATE)
        assert agent.model()["state"] == "stalling"
        eventually(
            agent.outcomes, within=HUNG + 2 * PERIOD + LATE, what="the deadlock is found", story=agent.running.output
        )
        assert time.monotonic() - since >= HUNG - PERIOD
        (restart,) = agent.model()["restarts"]
        assert (restart["reason"], restart["check"]) == ("hung", "progress")
        server.release()
        eventually(lambda: agent.outcomes() == ["succeeded"], within=30, what="restarted", story=agent.running.output)
        agent.await_status("/ready/model", 200, within=30)
        eventually(lambda: agent.model()["state"] == "working", within=20, what="it works", story=agent.running.output)
    eventually(lambda: agent.model()["state"] == "idle", within=20, what="it rests", story=agent.running.output)
    assert server.instances() == 2


def test_a_deadlock_that_nobody_meets_is_idleness_to_its_metrics(
    mosec: Kind, start_server: StartServer, start_agent: StartAgent
) -> None:
    """What cannot be seen is not guessed: a canary is what sees it."""
    server = start_server(mosec)
    agent = start_agent(guarded(server))
    agent.await_status("/ready/model", 200, within=30)
    server.await_loaded()
    eventually(lambda: agent.model()["state"] == "idle", within=20, what="it rests", story=agent.running.output)
    server.deadlock()
    always(
        lambda: agent.model()["state"] == "idle" and agent.ask("/ready/model") == 200,
        during=2 * HUNG,
        what="idle, ready and left alone",
    )
    assert agent.outcomes() == []
