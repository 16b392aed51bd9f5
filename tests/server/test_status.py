"""/status: everything that is known, and no more than details permit."""

from agent.core.model import Published
from agent.core.remembered import Saying
from agent.core.spared import Spared
from tests.server.known import DEAD, RESTART, SECRET, Known, check, container, serving

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
            "state": None,
            "takes_readiness": False,
        }
        assert model["restarts"] == [
            {
                "time": 1_700_000_000.0,
                "action": "signal",
                "reason": "refused",
                "check": "answers",
                "type": "liveness",
                "outcome": "succeeded",
                "ended": None,
                "also": [],
                "evidence": None,
            }
        ]


async def test_what_a_check_says_of_the_container_is_shown_beside_it_and_its_words_only_with_details() -> None:
    said = Saying("stalling", unready=True, detail=f"engine={SECRET}: no progress for 40 s")
    source = Known(container("model", check("liveness", "progress", said=said), ready=False))
    async with serving(source) as agent:
        (model,) = (await agent.json("/status"))["containers"]
        assert (model["state"], model["ready"]) == ("stalling", False)
        assert (model["checks"][0]["state"], model["checks"][0]["takes_readiness"]) == ("stalling", True)
        assert "no progress" not in await agent.body("/status")
        status, body, _ = await agent.fetch("/ready/model")
        assert (status, body) == (503, "[-]model/liveness/progress failed: reason withheld\nready check failed\n")


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


SPARED = Spared(
    time=1.7e9, last=1.7e9 + 60, times=3, why="dry_run", action="signal", check="liveness/answers", reason="refused",
    detail=f"connect with {SECRET}", failures=9, failing_since=1.7e9 - 20, failure_threshold=3, period_seconds=10.0,
    timeout_seconds=5.0, slowest_seconds=0.4,
)  # fmt: skip


async def test_what_a_container_was_spared_comes_with_its_history_and_tells_no_secret() -> None:
    source = Known(container("model", spared=(SPARED,)))
    async with serving(source) as agent:
        (whole,) = (await agent.json("/status"))["containers"]
        assert "spared" not in whole
        (model,) = (await agent.json("/status?container=model"))["containers"]
        (told,) = model["spared"]
        assert (told["times"], told["failures"], told["failure_threshold"], told["ended"]) == (3, 9, 3, "")
        assert told["detail"] is None
        source.details = "full"
        (model,) = (await agent.json("/status?container=model"))["containers"]
        assert model["spared"][0]["detail"] == "connect with ***"


async def test_an_operators_orders_and_what_is_in_flight_are_told() -> None:
    view = container(
        "model", phase="draining", step="drain", maintenance=True, maintenance_seconds=60.0, drain_seconds=30.0,
        in_flight=4.0, kills_in_a_row=2, depends_on=(check("readiness", "database", Published.FAILURE),),
    )  # fmt: skip
    async with serving(Known(view)) as agent:
        (model,) = (await agent.json("/status"))["containers"]
        assert (model["state"], model["step"], model["maintenance"], model["in_flight"]) == (
            "maintenance", "drain", True, 4.0,
        )  # fmt: skip
        assert (model["maintenance_seconds"], model["drain_seconds"], model["kills_in_a_row"]) == (60.0, 30.0, 2)
        assert [(each["name"], each["published"]) for each in model["depends_on"]] == [("database", "Failure")]
