"""A kill step by step in virtual time: what is shown and recorded, and what the agent's end leaves at each step."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from agent.actions import Order
from agent.core.settings import Backoff, Container, Drain, Hooks
from agent.core.verdict import Record
from agent.engine.statefile import Hold, Memory
from tests.engine.scripted import (
    ADDRESS,
    Acts,
    Letters,
    Look,
    Server,
    Tells,
    Ward,
    at,
    check,
    container,
    eventually,
    guarded,
)
from tests.virtual import run_virtual, virtual_loop


class Gathering(Ward):
    """A ward whose evidence takes so many seconds, and is this."""

    takes = 3.0
    found = "/evidence/model-1"
    problem: BaseException | None = None
    orders: list[Order]

    def __init__(self, spec: Container) -> None:
        super().__init__(spec)
        self.orders = []
        self.guard.evidence = self.gather  # type: ignore[method-assign]

    async def gather(self, order: Order) -> str:
        self.orders.append(order)
        await asyncio.sleep(self.takes)
        if self.problem is not None:
            raise self.problem
        return self.found


def spec_of(server: Server, action: Any, **restart: Any) -> Container:
    """Readiness each second, liveness of period 10 and threshold 1."""
    look = Look(server)
    virtual_loop().network.open.add(ADDRESS)
    checks = (check("readiness", look, period_seconds=1), check("liveness", look))
    return container(*checks, action=action, port=ADDRESS[1], **{"runtime": server, **restart})


def whole(server: Server) -> dict[str, Any]:
    """Every step takes a while: drain from 10, evidence 20, hook 23, action 25 to 30, gone 35, new 50, hook to 52."""

    class Slow(Acts):
        async def act(self, order: Order) -> None:
            await super().act(order)
            loop = virtual_loop()
            loop.call_later(5, server.stop)
            loop.call_later(20, server.start)

    hooks = Hooks(pre_restart=Acts(takes=2), post_restart=Acts(takes=2))
    return {"action": Slow(takes=5), "drain": Drain(max_seconds=10), "hooks": hooks}


async def begin(ward: Ward, memory: Memory | None = None) -> None:
    await ward.guard.begin(memory)
    ward.guard.work(lambda _: 0.0)


def test_each_step_is_shown_and_told() -> None:
    async def work() -> None:
        server = Server()
        rule = whole(server)
        ward = Gathering(spec_of(server, **rule))
        await begin(ward)
        await at(5)
        server.letter = "f"
        seen = []
        for moment in (12, 21, 24, 27, 32, 40, 51.5, 54):
            await at(moment)
            seen.append((ward.view.step, ward.view.phase, ward.healthz()))
        assert seen == [
            ("drain", "draining", 200),
            ("evidence", "draining", 200),
            ("pre_restart", "draining", 200),
            ("action", "restarting", 503),
            ("gone", "holding", 503),
            ("hold", "holding", 503),
            ("post_restart", "", 200),
            ("", "", 200),
        ]
        assert [name for _, name in ward.steps()] == [
            "decided", "draining", "drained", "evidence", "pre_restart", "action", "holding", "gone", "succeeded",
            "post_restart",
        ]  # fmt: skip
        (record,) = ward.view.restarts
        assert (record.outcome, record.evidence, record.also) == ("succeeded", "/evidence/model-1", [])
        assert rule["action"].orders[0].evidence == "/evidence/model-1"
        acted = next(event for _, event in ward.said if event.name == "restart.action")
        assert acted.fields["evidence"] == "/evidence/model-1"
        assert rule["hooks"].pre_restart.orders[0].evidence == "/evidence/model-1"
        await ward.guard.close()

    run_virtual(work)


# -- evidence --------------------------------------------------------


@pytest.mark.parametrize("how", ["slow", "raises", "cancels", "nothing"])
def test_evidence_never_delays_a_kill_for_long_nor_fails_it(how: str, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        server, action = Server(), Acts()
        ward = Gathering(spec_of(server, action, evidence_seconds=4.0))
        ward.takes = 1000.0 if how == "slow" else 0.0
        ward.problem = {"raises": OSError("hunter2: disk full"), "cancels": asyncio.CancelledError()}.get(how)
        ward.found = "" if how == "nothing" else ward.found
        await begin(ward)
        await at(5)
        server.letter = "f"
        await at(20)
        assert action.begun == [15.0 if how == "slow" else 10.0], "its own bound and a second"
        assert ward.view.restarts[0].evidence is None
        await ward.guard.close()

    run_virtual(work)
    assert [record.getMessage() for record in caplog.records] == ["evidence.failed"] * (how != "nothing")
    assert not [record for record in caplog.records if "hunter2" in str(record.__dict__)]


def test_without_a_folder_for_it_there_is_no_evidence() -> None:
    async def work() -> str:
        server = Server()
        async with guarded(spec_of(server, Acts())) as ward:
            return await ward.guard.evidence(Order(type="evidence", container="model"))

    assert run_virtual(work) == ""


def names_in(folder: str) -> set[str]:
    return {file.name for file in Path(folder).iterdir()}


async def test_where_a_folder_is_configured_evidence_is_there_before_the_action_and_named(tmp_path: Path) -> None:
    """On the real clock and a real disk."""
    found: list[set[str]] = []

    class Looking(Acts):
        async def act(self, order: Order) -> None:
            found.append(names_in(order.evidence))
            await super().act(order)

    action = Looking()
    spec = container(
        check("liveness", Letters("f"), period_seconds=0.2), action=action, evidence_dir=str(tmp_path / "evidence"),
    )  # fmt: skip
    async with guarded(spec) as ward:
        await eventually(lambda: action.begun)
        (record,) = ward.view.restarts
        assert record.evidence is not None
        assert record.evidence.startswith(str(tmp_path / "evidence" / "model-"))
        assert {"restart.json", "status.json", "history.json"} <= found[0]
        folder = Path(record.evidence)
    status = json.loads((folder / "status.json").read_text())
    assert (status["name"], status["step"], status["cause"]) == ("model", "evidence", "liveness/it")


def test_notify_gathers_evidence_too() -> None:
    async def work() -> None:
        server, action = Server(), Tells()
        ward = Gathering(spec_of(server, action))
        await begin(ward)
        await at(5)
        server.letter = "f"
        await at(12)
        assert (ward.view.step, ward.view.phase, ward.view.running) == ("evidence", "", True)
        await at(19)
        assert (action.begun, action.orders[0].evidence, ward.view.step) == ([13.0], "/evidence/model-1", "")
        await ward.guard.close()

    run_virtual(work)


# -- the old instance --------------------------------------------------------


def test_an_action_that_did_not_end_the_old_instance_is_told_of() -> None:
    async def work() -> None:
        server = Server()
        async with guarded(spec_of(server, Acts(), assume_restarted_seconds=30)) as ward:
            await at(5)
            server.letter = "f"
            await at(15)
            assert ward.view.step == "gone", "it is still there"
            await at(41)
            record = ward.view.restarts[0]
            assert record.outcome == "timed_out"
            assert "did not end it" in record.detail
            (told,) = [e for _, e in ward.said if e.name == "restart.timed_out"]
            assert told.level == "error"

    run_virtual(work)


def test_a_runtime_that_went_away_says_nothing_of_the_old_instance() -> None:
    async def work() -> None:
        server = Server()
        async with guarded(spec_of(server, Acts(server.stop), assume_restarted_seconds=30)) as ward:
            await at(5)
            server.letter = "f"
            await at(10.5)
            server.broken_runtime = True
            await at(41)
            assert [record.outcome for record in ward.view.restarts][:1] == ["timed_out"]

    run_virtual(work)


# -- a second cause --------------------------------------------------------


def two_checks(method: Any, other: Any, **restart: Any) -> Container:
    checks = (check("liveness", method, name="a"), check("liveness", other, name="b"))
    return container(*checks, **restart)


def test_what_fails_at_the_same_moment_is_recorded_and_not_acted_on() -> None:
    async def work() -> None:
        action = Acts()
        async with guarded(two_checks(Letters("sf", takes=0.5), Letters("sf", takes=0.5), action=action)) as ward:
            await at(15)
            (record,) = ward.view.restarts
            assert {record.check, *record.also} == {"liveness/a", "liveness/b"}
            assert [e.fields["also"] for _, e in ward.said if e.name == "restart.also"] == record.also
            assert len(action.begun) == 1

    run_virtual(work)


def test_what_fails_while_the_platform_is_asked_is_recorded_once() -> None:
    async def work() -> None:
        action = Acts(holds=False)
        rule = {"action": action, "action_name": "none"}
        async with guarded(two_checks(Letters("sf"), Letters("sssf"), **rule)) as ward:
            await at(100)
            (record,) = ward.view.restarts
            assert (record.check, record.also) == ("liveness/a", ["liveness/b"])
            assert len([e for _, e in ward.said if e.name == "restart.also"]) == 1
            assert len(action.begun) == 1

    run_virtual(work)


def test_what_fails_while_a_notification_is_under_way_is_recorded_and_decided_afterwards() -> None:
    async def work() -> None:
        action = Tells(takes=15)
        async with guarded(two_checks(Letters("sf"), Letters("ssf"), action=action)) as ward:
            await at(60)
            first, second = ward.view.restarts[:2]
            assert (first.check, first.also) == ("liveness/a", ["liveness/b"])
            assert (second.check, action.most_at_once) == ("liveness/b", 1)

    run_virtual(work)


# -- the agent's end at each step --------------------------------------------------------

MOMENTS = {
    "drain": 12.0, "evidence": 21.0, "pre_restart": 24.0, "action": 27.0, "gone": 32.0, "hold": 40.0,
    "post_restart": 51.5,
}  # fmt: skip


async def at_step(step: str) -> tuple[Server, dict[str, Any], Ward]:
    """A kill that has come this far."""
    server = Server()
    rule = whole(server)
    ward = Gathering(spec_of(server, **rule))
    await begin(ward)
    await at(5)
    server.letter = "f"
    await at(MOMENTS[step])
    assert ward.view.step == step
    return server, rule, ward


@pytest.mark.parametrize("step", MOMENTS)
def test_told_to_leave_the_agent_leaves_nothing_half_done_unrecorded(step: str) -> None:
    """Before the action it is withdrawn; the action is finished; a hold is the next process's, its record open."""

    async def work() -> None:
        _, rule, ward = await at_step(step)
        await ward.guard.stop_checks()
        await ward.guard.close()
        memory = ward.guard.memory()
        (record,) = memory.restarts
        acted = step in ("action", "gone", "hold")
        assert len(rule["action"].begun) == (step not in ("drain", "evidence", "pre_restart"))
        assert rule["action"].cancelled == 0
        assert (memory.hold is not None) is acted
        assert record.outcome == ("" if acted else "succeeded" if step == "post_restart" else "withdrawn")
        if record.outcome == "withdrawn":
            assert "told to leave" in record.detail
            assert ward.guard.stats.restarts == {("scripted", "status", "withdrawn"): 1}

    run_virtual(work)


async def crash(ward: Ward) -> Memory:
    """SIGKILL: everything is gone but what was saved last."""
    saved = ward.saved[-1] if ward.saved else Memory()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return saved


@pytest.mark.parametrize(
    ("step", "goes_on", "acts_again"),
    [
        ("drain", False, True),
        ("evidence", False, True),
        ("pre_restart", False, True),
        ("action", False, True),  # its process runs still, and nobody saw the action's end: decided anew
        ("gone", True, False),
        ("hold", True, False),
        ("post_restart", False, False),
    ],
)
def test_killed_at_any_step_the_next_process_goes_on_from_what_was_done(
    step: str, goes_on: bool, acts_again: bool
) -> None:
    async def work() -> None:
        _, rule, ward = await at_step(step)
        memory = await crash(ward)
        next_ward = Ward(ward.container.spec)
        await begin(next_ward, memory)
        assert (next_ward.view.phase == "holding") is goes_on
        assert len(next_ward.view.restarts) == len(memory.restarts) <= 1
        before = len(rule["action"].begun)
        await at(200)
        assert (len(rule["action"].begun) > before) is acts_again
        assert (next_ward.view.phase, next_ward.view.ready, next_ward.view.instance) == ("", True, 2)
        assert "" not in next_ward.outcomes()
        await next_ward.guard.close()

    run_virtual(work)


@pytest.mark.parametrize("step", ["drain", "evidence", "pre_restart"])
def test_a_server_that_hangs_is_no_loading_one_for_the_process_that_follows_one_killed_before_the_action(
    step: str,
) -> None:
    """Else liveness would be held back for a whole startup budget, and nobody would restart it."""

    async def work() -> None:
        server = Server()
        look = Look(server)
        spec = spec_of(server, **whole(server))
        spec = replace(spec, startup=(check("startup", look, period_seconds=1, failure_threshold=1000),))
        ward = Gathering(spec)
        await begin(ward)
        await at(5)
        server.letter = "f"
        await at(MOMENTS[step])
        memory = await crash(ward)
        assert memory.started
        async with guarded(spec, memory) as again:
            assert again.view.started
            await at(MOMENTS[step] + 2)
            assert again.view.step == "drain"

    run_virtual(work)


@pytest.mark.parametrize(
    ("hold", "run", "outcome"),
    [
        (None, 1, "withdrawn"),  # the agent was killed in the drain, or while the platform was asked
        ("unseen", 1, "failed"),  # in the action, and the same instance runs
        ("unseen", 2, "succeeded"),  # the new instance came while the agent was away
        ("acted", 2, "succeeded"),
    ],
)
def test_what_an_earlier_process_left_open_is_closed_by_the_next(hold: str | None, run: int, outcome: str) -> None:
    async def work() -> None:
        held = None
        if hold is not None:
            acted_at = 95.0 if hold == "acted" else None
            held = Hold(since=90.0, check="liveness/it", reason="status", action="scripted", acted_at=acted_at)
        record = Record(time=1.7e9, action="scripted", reason="status", check="liveness/it")
        memory = Memory(identity="run 1", spent=(90.0,), hold=held, restarts=(record,))
        async with guarded(spec_of(Server(run=run), Acts()), memory) as ward:
            assert (ward.outcomes(), len(ward.guard.memory().spent)) == ([outcome], 1)
            assert ward.view.restarts[0].detail
            assert ward.guard.stats.restarts == {("scripted", "status", outcome): 1}
        assert record.outcome == "", "what was read is not written on"

    run_virtual(work, start=100.0)


def test_a_restart_that_waits_to_be_tried_again_is_decided_anew_by_the_next_process() -> None:
    async def work() -> None:
        server = Server()

        def fails() -> None:
            raise OSError("no")

        action = Acts(fails)
        spec = spec_of(server, action, backoff=Backoff(initial_seconds=50))
        ward = Ward(spec)
        await begin(ward)
        await at(5)
        server.letter = "f"
        await at(20)
        assert ward.view.step == "retry"
        memory = await crash(ward)
        assert (memory.hold, [record.outcome for record in memory.restarts]) == (None, ["failed"])
        async with guarded(spec, memory) as again:
            await at(59)
            assert (len(action.begun), again.view.suppressed) == (1, "backoff")
            await at(61)
            assert len(action.begun) == 2

    run_virtual(work)


def test_a_save_that_comes_before_the_action_is_not_followed_by_it_once_the_agent_leaves() -> None:
    """What was to be is not remembered as done, or the next process would wait for an instance that nobody starts."""

    class Slow(Ward):
        async def _save(self) -> None:
            await asyncio.sleep(3)
            await super()._save()

    async def work() -> None:
        server, action = Server(), Acts()
        ward = Slow(spec_of(server, action))
        await begin(ward)
        await at(5)
        server.letter = "f"
        await at(11)
        await ward.guard.stop_checks()
        await at(20)
        await ward.guard.close()
        memory = ward.guard.memory()
        assert (action.begun, memory.hold, memory.restarts[0].outcome) == ([], None, "withdrawn")

    run_virtual(work)


def test_a_reload_in_the_middle_of_a_kill_changes_what_comes_and_not_what_was() -> None:
    async def work() -> None:
        server = Server()
        first, second = Acts(), Acts(server.start)
        spec = spec_of(server, first, drain=Drain(max_seconds=20))
        async with guarded(spec) as ward:
            await at(5)
            server.letter = "f"
            await at(15)
            rule = replace(spec.restart, action=second, action_name="other")
            await ward.guard.replace(replace(spec, restart=rule))
            await at(45)
            assert (len(first.begun), len(second.begun), ward.view.instance) == (0, 1, 2)

    run_virtual(work)


def test_a_guard_can_be_closed_before_a_kill_has_begun() -> None:
    """Closed at the very moment of the decision: the record is closed, and nothing was done."""

    async def work() -> None:
        server, action = Server(letter="f"), Acts()
        async with guarded(spec_of(server, action)) as ward:
            slot = ward.slot("liveness/it")
            ward.container.order(ward.guard.sentence(slot, 0.0), 0.0)
            await ward.guard.close()
            assert (action.begun, ward.outcomes()) == ([], ["withdrawn"])

    run_virtual(work)
