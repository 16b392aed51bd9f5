"""Presets on the real servers that can be installed: as they are, under load, and with their thresholds shortened."""

from typing import Any

from tests.acceptance.conftest import StartAgent, StartServer
from tests.acceptance.model_servers import LITSERVE, Kind, ModelServer
from tests.acceptance.processes import always, eventually
from tests.acceptance.users import Users


def guarded(server: ModelServer, quick: dict[str, Any] | None = None, **progress: Any) -> dict[str, Any]:
    """The preset with the body that its canary needs; ``quick`` shortens the canary, ``progress`` that check."""
    asks = {"path": server.kind.predict, "body": {"input": 3}, **(quick or {})}
    canary = {"name": "canary", "inference": asks, **({"period_seconds": 1, "timeout_seconds": 1} if quick else {})}
    liveness = canary if server.kind is LITSERVE else {"name": "progress", "progress": progress, "period_seconds": 0.5}
    container = {
        "name": "model",
        "preset": server.kind.name,
        "port": server.port,
        "startup_check": {"period_seconds": 0.5, "failure_threshold": 240},
        "readiness_check": [canary],
        "liveness_check": [liveness],
        "restart": {"action": {"exec": {"command": server.restart_command}}, "grace_period_seconds": 1},
    }
    return {"containers": [container]}


def test_a_preset_finds_a_healthy_server_ready_and_leaves_it_in_peace_under_load(
    kind: Kind, start_server: StartServer, start_agent: StartAgent
) -> None:
    """32 users; whatever a check may say meanwhile, nothing is published but Success and nothing is restarted."""
    server = start_server(kind, predict_seconds=0.05)
    agent = start_agent(guarded(server))
    agent.await_status("/ready/model", 200, within=40)
    checks = {f"{check['type']}/{check['name']}": check["method"] for check in agent.model()["checks"]}
    assert checks["readiness/canary"] == "inference"
    assert len(checks) == 5, "what is not changed by name is still the preset's"
    with Users(f"http://127.0.0.1:{server.port}{kind.predict}") as users:
        eventually(lambda: users.answered > 64, within=30, what="the users are served", story=server.story)
        always(
            lambda: {c["published"] for c in agent.model()["checks"]} == {"Success"} and agent.outcomes() == [],
            during=10,
            what="a busy server is well",
        )


def test_a_presets_canary_finds_a_deadlock_that_no_user_has_met(
    kind: Kind, start_server: StartServer, start_agent: StartAgent
) -> None:
    """Nothing is in flight, and the health endpoint says 200; gauges and counters of mosec stand still."""
    server = start_server(kind)
    quick = {"quiet_seconds": 1, "cooldown_seconds": 1, "overload_timeout_seconds": 4}
    agent = start_agent(guarded(server, quick, hung_after_seconds=5, warn_after_seconds=2))
    agent.await_status("/ready/model", 200, within=40)
    server.await_loaded()
    server.deadlock()
    eventually(agent.outcomes, within=60, what="the deadlock is found", story=agent.running.output)
    told = agent.model()["restarts"][0]
    assert told["check"] == ("canary" if kind is LITSERVE else "progress")
    assert told["reason"] == ("timeout" if kind is LITSERVE else "hung")
    server.release()
    eventually(lambda: agent.outcomes() == ["succeeded"], within=30, what="restarted", story=agent.running.output)
    agent.await_status("/ready/model", 200, within=40)
