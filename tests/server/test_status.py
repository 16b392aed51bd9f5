"""/status: everything that is known, and no more than details permit."""

from tests.server.known import DEAD, RESTART, SECRET, Known, container, serving

PAST = [
    {"time": 1.5, "outcome": "success", "reason": "ok", "duration_seconds": 0.001, "detail": ""},
    {"time": 11.5, "outcome": "failure", "reason": "refused", "duration_seconds": 0.002, "detail": f"at {SECRET}"},
]


async def test_status_tells_the_contracts_fields() -> None:
    source = Known(container("model", *DEAD.checks, restarts=(RESTART,), budget_remaining=4, backoff_seconds=20.0))
    async with serving(source) as agent:
        (model,) = (await agent.json("/status"))["containers"]
        assert {key: model[key] for key in ("name", "state", "live", "started", "ready", "instance")} == {
            "name": "model",
            "state": "down",
            "live": False,
            "started": True,
            "ready": True,
            "instance": 1,
        }
        assert (model["budget_remaining"], model["backoff_seconds"]) == (4, 20.0)
        assert model["checks"][0]["last_result"] is None
        assert model["checks"][2] == {
            "name": "answers",
            "type": "liveness",
            "method": "http_get",
            "published": "Failure",
            "run": 3,
            "run_of": "Failure",
            "success_threshold": 1,
            "failure_threshold": 3,
            "period_seconds": 10.0,
            "last_result": "failure",
            "last_time": 1_700_000_000.0,
            "reason": "refused",
            "duration_seconds": 0.002,
        }
        assert model["restarts"] == [
            {
                "time": 1_700_000_000.0,
                "action": "signal",
                "reason": "refused",
                "check": "liveness/answers",
                "outcome": "succeeded",
                "evidence": None,
            }
        ]


async def test_a_named_container_comes_alone_with_the_history_of_each_check() -> None:
    source = Known(DEAD, container("other"))
    source.results = {"liveness/answers": PAST * 60}
    async with serving(source) as agent:
        (model,) = (await agent.json("/status?container=model"))["containers"]
        startup, _, liveness = model["checks"]
        assert startup["results"] == []
        assert len(liveness["results"]) == 100
        assert liveness["results"][-1] == {
            "time": 11.5,
            "result": "failure",
            "reason": "refused",
            "duration_seconds": 0.002,
        }


async def test_an_unknown_container_is_not_found() -> None:
    async with serving(Known()) as agent:
        status, body, headers = await agent.fetch("/status?container=nobody")
        assert (status, body) == (404, """{"error":"no container is named 'nobody'"}""")
        assert headers["content-type"] == "application/json"


async def test_details_appear_with_details_full_alone_and_never_with_a_secret_in_them() -> None:
    source = Known(container("model", *DEAD.checks, restarts=(RESTART,)))
    source.results = {"liveness/answers": PAST}
    async with serving(source) as agent:
        for path in ("/status", "/status?container=model"):
            body = await agent.body(path)
            for hidden in (SECRET, "127.0.0.1", "/var/evidence", "pid 41"):
                assert hidden not in body, (path, hidden)
        source.details = "full"
        body = await agent.body("/status?container=model")
        assert SECRET not in body
        for shown in ("connect to 127.0.0.1:8000?key=***", "/var/evidence/model-1", "killed pid 41 of ***", "at ***"):
            assert shown in body


async def test_status_tells_of_the_agent_itself() -> None:
    source = Known()
    source.stopping = True
    async with serving(source) as agent:
        about = (await agent.json("/status"))["agent"]
        assert (about["stopping"], about["healthy"], about["serving"], about["config_error"]) == (
            True,
            True,
            True,
            False,
        )
