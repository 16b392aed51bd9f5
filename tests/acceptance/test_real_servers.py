"""The installed agent guards real mosec and LitServe servers: slow loads, killed workers, killed servers, deadlocks."""

import sys
from typing import Any

from tests.acceptance.conftest import StartAgent, StartServer
from tests.acceptance.model_servers import Kind, ModelServer
from tests.acceptance.processes import always, eventually


def guard(server: ModelServer, **liveness: Any) -> dict[str, Any]:
    """A document that watches the server every half second and has it restarted by command."""
    health = {"http_get": {"path": server.kind.health}, "period_seconds": 0.5, "timeout_seconds": 2}
    return {
        "containers": [
            {
                "name": "model",
                "port": server.port,
                "startup_check": {**health, "failure_threshold": 120},
                "liveness_check": {**health, "failure_threshold": 2, **liveness},
                "readiness_check": {**health, "failure_threshold": 1},
                "restart": {
                    "action": {"exec": {"command": server.restart_command}},
                    "grace_period_seconds": 1,
                    "backoff": {"initial_seconds": 0.5},
                },
            }
        ]
    }


def test_a_slow_load_is_waited_for_and_never_killed(
    kind: Kind, start_server: StartServer, start_agent: StartAgent
) -> None:
    """Liveness alone would have killed it after a second: the startup check gates it until the model is loaded."""
    server = start_server(kind, load_seconds=4)
    agent = start_agent(guard(server))
    always(
        lambda: (
            (agent.ask("/startupz/model"), agent.ask("/ready/model"), agent.ask("/healthz/model")) == (503, 503, 200)
        ),
        during=2,
        what="a loading server is neither started nor ready, and no restart is asked for",
    )
    agent.await_status("/ready/model", 200, within=30)
    assert agent.ask("/startupz/model") == 200
    assert agent.outcomes() == []
    assert server.instances() == 1


def test_a_killed_worker_and_a_killed_server_are_restarted_by_the_hook(
    kind: Kind, start_server: StartServer, start_agent: StartAgent
) -> None:
    """Both servers die of a killed worker within seconds; each death costs one restart, then it is ready again."""
    server = start_server(kind)
    agent = start_agent(guard(server))
    agent.await_status("/ready/model", 200, within=30)

    server.await_loaded()
    server.kill_worker()
    eventually(lambda: agent.outcomes() == ["succeeded"], within=45, what="restarted", story=agent.running.output)
    agent.await_status("/ready/model", 200, within=30)
    assert server.instances() == 2

    server.kill()
    eventually(lambda: agent.outcomes() == ["succeeded"] * 2, within=30, what="restarted", story=agent.running.output)
    agent.await_status("/ready/model", 200, within=30)
    assert server.instances() == 3
    assert agent.ask("/healthz/model") == 200


def test_a_deadlocked_model_is_seen_by_a_check_that_asks_for_a_prediction(
    kind: Kind, start_server: StartServer, start_agent: StartAgent
) -> None:
    """The servers' own health endpoints go on saying 200; an exec check that predicts does not."""
    server = start_server(kind, load_seconds=2)  # long enough for a probe to see it gone
    script = (
        "import sys, urllib.request as r;"
        "r.urlopen(r.Request(sys.argv[1], b'{\"input\": 3}', {'Content-Type': 'application/json'}), timeout=30)"
    )
    predict = [sys.executable, "-c", script, f"http://127.0.0.1:{server.port}{kind.predict}"]
    document = guard(server)
    document["containers"][0]["liveness_check"] = {
        "exec": {"command": predict}, "period_seconds": 1, "timeout_seconds": 2, "failure_threshold": 2,
    }  # fmt: skip
    agent = start_agent(document)
    agent.await_status("/ready/model", 200, within=30)
    server.await_loaded()

    server.deadlock()
    eventually(agent.outcomes, within=30, what="the deadlock is seen", story=agent.running.output)
    assert agent.model()["restarts"][0]["reason"] == "timeout"
    server.release()
    eventually(lambda: agent.outcomes() == ["succeeded"], within=30, what="restarted", story=agent.running.output)
    agent.await_status("/ready/model", 200, within=30)
