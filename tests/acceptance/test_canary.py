"""A canary on real servers: it alone finds a deadlocked worker, and it leaves a busy server in peace."""

from typing import Any

from tests.acceptance.conftest import StartAgent, StartServer
from tests.acceptance.model_servers import Kind, ModelServer
from tests.acceptance.processes import always, eventually
from tests.acceptance.users import Users

TIMEOUT = 0.5  # seconds; a busy server answers later than that
OVERLOAD = 6.0  # and never so late


def guarded(server: ModelServer) -> dict[str, Any]:
    """A health endpoint for startup and readiness, and a canary for liveness; predictions are 3 squared."""
    health = {"http_get": {"path": server.kind.health}, "period_seconds": 0.5, "timeout_seconds": 2}
    canary = {
        "path": server.kind.predict,
        "body": {"input": 3},
        "expect": {"json": {"$.output": 9}},
        "overload_timeout_seconds": OVERLOAD,
        "cooldown_seconds": 1,
    }
    return {
        "containers": [
            {
                "name": "model",
                "port": server.port,
                "startup_check": {**health, "failure_threshold": 120},
                "readiness_check": health,
                "liveness_check": {
                    "name": "canary", "inference": canary, "period_seconds": 1, "timeout_seconds": TIMEOUT,
                    "failure_threshold": 1,
                },
                "restart": {
                    "action": {"exec": {"command": server.restart_command}},
                    "grace_period_seconds": 1,
                    "backoff": {"initial_seconds": 0.5},
                },
            }
        ]
    }  # fmt: skip


def canary_of(model: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(check for check in model["checks"] if check["name"] == "canary")
    return found


def test_a_busy_server_is_left_in_peace_and_a_deadlocked_one_is_found_by_the_canary_alone(
    kind: Kind, start_server: StartServer, start_agent: StartAgent
) -> None:
    """32 users wait longer than the time-out for each answer; the health endpoint says 200 through all of it."""
    server = start_server(kind, predict_seconds=0.04)
    agent = start_agent(guarded(server))
    agent.await_status("/ready/model", 200, within=30)
    server.await_loaded()
    with Users(f"http://127.0.0.1:{server.port}{kind.predict}") as users:
        eventually(lambda: users.answered > 64, within=30, what="the users are served", story=server.story)
        slow = lambda: canary_of(agent.model())["duration_seconds"] > 2 * TIMEOUT  # noqa: E731
        eventually(slow, within=20, what="the canary waits its turn", story=agent.running.output)
        always(
            lambda: agent.outcomes() == [] and canary_of(agent.model())["published"] == "Success",
            during=8,
            what="late alone is not hung",
        )
        server.deadlock()
        eventually(agent.outcomes, within=4 * OVERLOAD, what="the deadlock is found", story=agent.running.output)
        assert agent.model()["restarts"][0]["check"] == "canary"
        server.release()
        eventually(lambda: agent.outcomes() == ["succeeded"], within=30, what="restarted", story=agent.running.output)
    agent.await_status("/ready/model", 200, within=30)
    eventually(
        lambda: canary_of(agent.model())["reason"] == "ok", within=30, what="it works", story=agent.running.output
    )
    assert server.instances() == 2
