"""A guarded container through the agent's own end, its next start, and a reload, in virtual time."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from agent.actions import Order
from agent.core.settings import Backoff, Budget, Drain, Hooks
from agent.core.verdict import Record
from agent.engine.statefile import Hold, Memory
from agent.runtimes import Instance
from tests.engine.scripted import ADDRESS, Acts, Letters, Look, Server, Ward, at, check, container, fails, guarded
from tests.virtual import run_virtual, virtual_loop


def spec_of(server: Server, action: Any, **rule: Any) -> Any:
    """Startup, readiness and liveness (threshold 1) of one server, known to its runtime."""
    look = Look(server)
    virtual_loop().network.open.add(ADDRESS)
    return container(
        check("startup", look, period_seconds=1, failure_threshold=1000),
        check("readiness", look, period_seconds=1),
        check("liveness", look),
        action=action, port=ADDRESS[1], **{"runtime": server, **rule},
    )  # fmt: skip


# -- the agent's own end, in every phase ------------------------------------------------------------------------


def test_once_told_to_leave_liveness_and_startup_publish_nothing_and_readiness_goes_on() -> None:
    async def work() -> None:
        server, action = Server(), Acts()
        async with guarded(spec_of(server, action)) as ward:
            await at(5)
            await ward.guard.stop_checks()
            server.letter = "f"
            await at(100)
            assert ward.container.published(ward.slot("liveness/it")) == "Success"
            assert ward.container.published(ward.slot("readiness/it")) == "Failure"
            assert action.begun == []

    run_virtual(work)


def test_a_round_under_way_when_the_agent_is_told_to_leave_kills_nobody() -> None:
    async def work() -> None:
        action = Acts()
        spec = container(check("liveness", Letters("f", takes=3), timeout_seconds=5), action=action)
        async with guarded(spec) as ward:
            await at(1)
            await ward.guard.stop_checks()
            await at(20)
            assert (action.begun, ward.view.live) == ([], True)

    run_virtual(work)


def test_no_action_begins_once_the_agent_is_told_to_leave() -> None:
    """A drain that ends within the shutdown delay is not followed by its action: the next process decides anew."""

    async def work() -> None:
        server, action = Server(), Acts()
        async with guarded(spec_of(server, action, drain=Drain(max_seconds=30))) as ward:
            await at(5)
            server.letter = "f"
            await at(15)
            assert ward.view.phase == "draining"
            await ward.guard.stop_checks()
            await at(100)
            assert action.begun == []
            assert ward.healthz() == 200

    run_virtual(work)


def test_a_failed_action_is_not_tried_again_once_the_agent_is_told_to_leave() -> None:
    async def work() -> None:
        server, action = Server(), Acts(fails)
        async with guarded(spec_of(server, action, backoff=Backoff(initial_seconds=20))) as ward:
            await at(5)
            server.letter = "f"
            await at(15)
            await ward.guard.stop_checks()
            await at(200)
            assert len(action.begun) == 1

    run_virtual(work)


def test_leaving_in_a_drain_does_not_act() -> None:
    async def work() -> None:
        server, action = Server(), Acts()
        async with guarded(spec_of(server, action, drain=Drain(max_seconds=30))) as ward:
            await at(5)
            server.letter = "f"
            await at(15)
            await ward.guard.close()
            assert virtual_loop().time() == 15.0
        assert action.begun == []

    run_virtual(work)


def test_leaving_in_an_action_finishes_it_and_remembers_the_hold() -> None:
    async def work() -> None:
        server, action = Server(), Acts(takes=20)
        async with guarded(spec_of(server, action)) as ward:
            await at(5)
            server.letter = "f"
            await at(15)
            await ward.guard.close()
            assert (action.ended, action.cancelled) == (pytest.approx([30]), 0)
            hold = ward.guard.memory().hold
            assert hold is not None
            assert (hold.check, hold.reason, hold.acted_at) == ("liveness/it", "status", pytest.approx(30))

    run_virtual(work)


def test_leaving_in_an_action_that_hangs_waits_for_its_deadline_and_no_longer() -> None:
    async def work() -> None:
        server, action = Server(), Acts(takes=10_000)
        rule = {"action_timeout_seconds": 40, "grace_period_seconds": 5}
        async with guarded(spec_of(server, action, **rule)) as ward:
            await at(5)
            server.letter = "f"
            await at(15)
            await ward.guard.close()
            assert (virtual_loop().time(), action.cancelled) == (pytest.approx(55), 1)
            assert ward.guard.memory().hold is None, "it failed: there is nobody to wait for"

    run_virtual(work)


def test_leaving_in_a_hold_remembers_it_and_leaves_at_once() -> None:
    async def work() -> None:
        server, action = Server(), Acts()
        async with guarded(spec_of(server, action)) as ward:
            await at(5)
            server.letter = "f"
            await at(50)
            await ward.guard.close()
            assert virtual_loop().time() == 50.0
            memory = ward.guard.memory()
            assert memory.hold is not None
            assert memory.hold.acted_at == 10.0

    run_virtual(work)


def test_leaving_waits_two_seconds_for_hooks_and_drops_the_rest() -> None:
    async def work() -> None:
        server, hook = Server(), Acts(takes=1000)
        async with guarded(spec_of(server, Acts(), hooks=Hooks(on_transition=hook))) as ward:
            await at(5)
            await ward.guard.close()
            assert virtual_loop().time() == 7.0
            assert hook.cancelled == 1

    run_virtual(work)


@pytest.mark.parametrize("moment", [0.0, 5.0, 10.0, 12.0, 26.0, 31.0, 36.0, 60.0, 90.0])
def test_nothing_is_left_running_whenever_the_agent_leaves(moment: float) -> None:
    """From before the first round, through drain, hook, action and hold, to the new instance."""

    async def work() -> None:
        server = Server()
        action = Acts(lambda: server.restart_in(20), takes=5)
        rule = {"drain": Drain(max_seconds=15), "hooks": Hooks(pre_restart=Acts(takes=5), post_restart=Acts(takes=1))}
        async with guarded(spec_of(server, action, **rule)) as ward:
            await at(min(moment, 5))
            server.letter = "f"
            await at(moment)
            await ward.guard.stop_checks()
            await ward.guard.close()
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert left == []

    run_virtual(work)


@pytest.mark.parametrize(("moment", "outcomes"), [(7.0, []), (12.0, [""]), (30.5, ["failed"]), (45.0, ["failed", ""])])
def test_a_loop_that_ends_takes_a_kill_with_it(moment: float, outcomes: list[str]) -> None:
    """All is cancelled at once, an action and who waits for it: nobody takes that for the action's failure."""

    async def work() -> None:
        server = Server()
        async with guarded(spec_of(server, Acts(fails, takes=20))) as ward:
            await at(5)
            server.letter = "f"
            await at(moment)
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in sorted(tasks, key=lambda task: not task.get_name().startswith("action")):
                task.cancel()
            _, pending = await asyncio.wait(tasks, timeout=1)
            assert pending == set()
            assert ward.outcomes() == outcomes

    run_virtual(work)


# -- the next start ------------------------------------------------------------------------


def test_that_a_container_started_is_on_disk_within_a_second() -> None:
    """An agent that is killed after that must not hold liveness back from a server that hangs."""

    async def work() -> None:
        server = Server()
        async with guarded(spec_of(server, Acts())) as ward:
            await at(1.5)
            assert (ward.saved[-1].started, ward.saved[-1].identity) == (True, "run 1")
            await at(30)
            assert len(ward.saved) == 1, "and nothing is written for nothing"
            server.start("f")
            await at(37)
            assert (ward.saved[-1].started, ward.saved[-1].identity, ward.saved[-1].instance) == (False, "run 2", 2)

    run_virtual(work)


async def remembered(memory: Memory, server: Server, **rule: Any) -> Ward:
    """A guard that takes up this memory, before its first round."""
    ward = Ward(spec_of(server, Acts(), **rule))
    await ward.guard.begin(memory)
    return ward


def test_started_is_restored_for_a_proven_same_instance() -> None:
    async def work() -> None:
        ward = await remembered(Memory(instance=3, identity="run 1", started=True), Server())
        assert (ward.view.started, ward.view.instance, ward.view.ready) == (True, 3, False)
        ward.guard.work(lambda _: 0.0)
        await at(virtual_loop().time() + 0.1)
        assert ward.view.ready
        await ward.guard.close()

    run_virtual(work)


@pytest.mark.parametrize(
    ("memory", "runtime", "instance"),
    [
        (Memory(instance=3, identity="run 0", started=True), True, 4),  # another instance
        (Memory(instance=3, identity="run 1", started=True), False, 3),  # nobody can tell
        (Memory(instance=3, started=True), True, 3),  # nobody could tell then
        (Memory(instance=3, identity="run 1", started=False), True, 3),
    ],
)
def test_otherwise_it_is_not(memory: Memory, runtime: bool, instance: int) -> None:
    async def work() -> None:
        server = Server()
        ward = await remembered(memory, server, runtime=server if runtime else None)
        assert (ward.view.started, ward.view.instance) == (False, instance)
        await ward.guard.close()

    run_virtual(work)


def test_a_runtime_that_can_not_be_asked_restores_nothing_and_delays_nothing_for_long() -> None:
    async def work() -> None:
        server = Server(broken_runtime=True)
        ward = await remembered(Memory(identity="run 1", started=True), server)
        assert not ward.view.started
        await ward.guard.close()

    run_virtual(work)


def test_right_after_the_start_everything_is_at_its_initial_value() -> None:
    async def work() -> None:
        server = Server()
        ward = Ward(spec_of(server, Acts()))
        await ward.guard.begin(None)
        view = ward.view
        assert (view.live, view.ready, view.started, ward.healthz()) == (True, False, False, 200)
        await ward.guard.close()

    run_virtual(work)


def test_budget_backoff_and_given_up_go_on() -> None:
    async def work() -> None:
        server = Server()
        rule = {"budget": Budget(restarts=2, window_seconds=1000), "backoff": Backoff()}
        memory = Memory(spent=(40.0, 70.0), given_up_at=80.0, backoff_delay=20.0, backoff_since=95.0)
        ward = await remembered(memory, server, **rule)
        view = ward.view
        assert (view.phase, view.budget_remaining, view.backoff_seconds, view.ready) == ("given_up", 0, 15.0, False)
        again = ward.guard.memory()
        assert (again.spent, again.given_up_at, again.backoff_delay, again.backoff_since) == (
            (40.0, 70.0),
            80.0,
            20.0,
            95.0,
        )
        await ward.guard.close()

    run_virtual(work, start=100.0)


HELD = Memory(
    instance=2, identity="run 1", spent=(90.0,), backoff_delay=1.0, backoff_since=95.0,
    hold=Hold(since=95.0, check="liveness/it", reason="timeout", action="scripted", acted_at=95.0),
    restarts=(Record(time=1.7e9, action="scripted", reason="timeout", check="liveness/it"),),
)  # fmt: skip


def test_a_hold_goes_on_until_it_is_over_and_nothing_is_done_twice() -> None:
    async def work() -> None:
        server = Server()
        ward = await remembered(HELD, server, assume_restarted_seconds=60)
        ward.guard.work(lambda _: 0.0)
        await at(100.1)
        view = ward.view
        assert (view.phase, ward.healthz(), view.running, view.instance, view.cause) == (
            "holding", 503, False, 2, "liveness/it",
        )  # fmt: skip
        assert ward.guard.memory() == HELD, "and is remembered as it was"
        await at(154)
        assert ward.view.phase == "holding"
        await at(155.1)
        assert (ward.view.phase, ward.view.instance, ward.outcomes()) == ("", 3, ["timed_out"])
        assert len(ward.guard.remedy.ledger.budget.spent) == 1
        await ward.guard.close()

    run_virtual(work, start=100.0)


def test_a_hold_ends_with_the_new_instance() -> None:
    async def work() -> None:
        server = Server()
        ward = await remembered(HELD, server)
        ward.guard.work(lambda _: 0.0)
        await at(110)
        server.start()
        await at(112.5)
        assert (ward.view.instance, ward.view.ready, ward.outcomes()) == (3, True, ["succeeded"])
        await ward.guard.close()

    run_virtual(work, start=100.0)


def test_a_hold_whose_new_instance_came_while_the_agent_was_away_is_over() -> None:
    async def work() -> None:
        ward = await remembered(HELD, Server(run=2))
        ward.guard.work(lambda _: 0.0)
        await at(101.1)
        assert (ward.view.phase, ward.view.instance, ward.view.started) == ("", 3, True)
        await ward.guard.close()

    run_virtual(work, start=100.0)


def test_a_hold_that_should_be_over_by_now_is_over_at_once() -> None:
    async def work() -> None:
        ward = await remembered(HELD, Server(), runtime=None, assume_restarted_seconds=60)
        ward.guard.work(lambda _: 0.0)
        await at(1000.1)
        assert (ward.view.phase, ward.view.instance) == ("", 3)
        await ward.guard.close()

    run_virtual(work, start=1000.0)


def test_an_action_that_was_still_to_come_is_decided_anew() -> None:
    async def work() -> None:
        server = Server()
        memory = replace(HELD, hold=Hold(since=95.0, check="liveness/it", reason="timeout", action="scripted"))
        ward = await remembered(memory, server)
        assert (ward.view.phase, ward.view.running) == ("", True)
        await ward.guard.close()

    run_virtual(work, start=100.0)


UNSEEN = replace(HELD, hold=Hold(since=95.0, check="liveness/it", reason="timeout", action="scripted"))
"""The agent was killed while its action ran."""


@pytest.mark.parametrize("runtime", [True, False])
def test_an_action_whose_end_nobody_saw_is_waited_for_where_no_process_is_to_be_seen(runtime: bool) -> None:
    async def work() -> None:
        server = Server()
        ward = await remembered(UNSEEN, server, **({} if runtime else {"runtime": None}))
        assert not runtime or ward.view.phase == "", "the process is there: decided anew"
        await ward.guard.close()
        server.stop()
        ward = await remembered(UNSEEN, server, **({} if runtime else {"runtime": None}))
        server.stop()
        ward.guard.work(lambda _: 0.0)
        await at(103)
        assert (ward.view.phase, ward.view.running, ward.healthz()) == ("holding", False, 503)
        server.start()
        await at(104.5)
        assert (ward.view.phase, ward.view.instance, ward.outcomes()) == ("", 3, ["succeeded"])
        assert ward.container.spec.restart.action.begun == []
        await ward.guard.close()

    run_virtual(work, start=100.0)


def test_an_action_whose_end_nobody_saw_is_assumed_to_have_worked_in_the_end() -> None:
    async def work() -> None:
        server = Server()
        server.stop()
        ward = await remembered(UNSEEN, server, assume_restarted_seconds=60)
        ward.guard.work(lambda _: 0.0)
        await at(159)
        assert ward.view.phase == "holding"
        await at(160.5)
        assert (ward.view.phase, ward.view.instance, ward.outcomes()) == ("", 3, ["timed_out"])
        await ward.guard.close()

    run_virtual(work, start=100.0)


def test_with_policy_never_what_was_killed_once_is_not_killed_by_the_next_process() -> None:
    async def work() -> None:
        server = Server(letter="f")
        ward = await remembered(HELD, server, policy="Never")
        ward.guard.work(lambda _: 0.0)
        await at(1000)
        assert ward.container.spec.restart.action.begun == []
        assert (ward.view.running, ward.view.phase, ward.healthz()) == (False, "", 200)
        assert ward.guard.memory().hold == HELD.hold, "and neither by the one after it"
        server.start()
        await at(1003)
        assert (ward.view.instance, ward.view.ready) == (3, True)
        await ward.guard.close()

    run_virtual(work, start=100.0)


class Dated(Server):
    """A runtime that knows when its instance started."""

    async def instance(self) -> Instance | None:
        found = await super().instance()
        return found and Instance(found.identity, -300.0, found.pid)


def test_when_the_instance_started_is_learned_when_the_runtime_first_tells() -> None:
    async def work() -> None:
        server = Dated(broken_runtime=True)
        async with guarded(spec_of(server, Acts())) as ward:
            await at(4)
            assert ward.container.started_at == 0.0
            server.broken_runtime = False
            await at(7)
            assert (ward.container.started_at, ward.view.instance) == (-300.0, 1)

    run_virtual(work)


@pytest.mark.parametrize(
    "memory",
    [
        Memory(),
        Memory(instance=4, identity="run 1", started=True, spent=(1.0, 50.0), backoff_delay=20.0, backoff_since=50.0),
        Memory(instance=4, identity="run 1", spent=(1.0,), given_up_at=60.0),
        HELD,
    ],
)
def test_memory_after_a_restart_is_what_it_was_before(memory: Memory) -> None:
    async def work() -> None:
        server = Server()
        ward = await remembered(memory, server)
        assert ward.guard.memory() == replace(memory, identity="run 1")
        await ward.guard.close()

    run_virtual(work, start=100.0)


# -- a reload ------------------------------------------------------------------------


def test_an_unchanged_check_keeps_its_worker_and_its_beat() -> None:
    async def work() -> None:
        method, changed = Letters("s"), Letters("s")
        kept = check("liveness", method)
        async with guarded(container(kept, check("readiness", Letters("s")))) as ward:
            await at(13)
            await ward.guard.replace(container(kept, check("readiness", changed, period_seconds=4)))
            await at(35)
        assert method.attempts == [0.0, 10.0, 20.0, 30.0]
        assert changed.attempts == pytest.approx([13, 17, 21, 25, 29, 33])

    run_virtual(work)


def test_a_check_that_is_gone_looks_no_more() -> None:
    async def work() -> None:
        method = Letters("f")
        async with guarded(container(check("readiness", method), check("liveness", Letters("s")))) as ward:
            await at(13)
            await ward.guard.replace(container(check("liveness", Letters("s"))))
            await at(100)
            assert ward.view.ready
            assert ward.guard.healthy() == []
        assert method.attempts == [0.0, 0.0 + 10]

    run_virtual(work)


def test_another_host_or_port_is_looked_at_from_now_on() -> None:
    class Where(Letters):
        seen: set[Any]

        async def probe(self, target: Any) -> Any:
            self.seen.add(target.port)
            return await super().probe(target)

    async def work() -> set[Any]:
        method = Where("s")
        method.seen = set()
        before = container(check("liveness", method), port=1)
        async with guarded(before) as ward:
            await at(5)
            await ward.guard.replace(replace(before, port=2))
            await at(30)
            assert ward.guard.healthy() == []
        return method.seen

    assert run_virtual(work) == {1, 2}


def test_a_hold_a_budget_and_started_survive_a_reload() -> None:
    async def work() -> None:
        server = Server()
        spec = spec_of(server, Acts())
        async with guarded(spec) as ward:
            await at(5)
            server.letter = "f"
            await at(15)
            changed = replace(spec, restart=replace(spec.restart, grace_period_seconds=5))
            await ward.guard.replace(changed)
            assert (ward.view.phase, ward.healthz(), ward.view.budget_remaining) == ("holding", 503, 4)
            server.start()
            await at(20)
            assert (ward.view.instance, ward.view.ready) == (2, True)
            await ward.guard.replace(spec)
            assert (ward.view.instance, ward.view.started, ward.view.ready) == (2, True, True)

    run_virtual(work)


def test_a_request_whose_check_a_reload_took_away_is_withdrawn() -> None:
    async def work() -> None:
        server = Server(letter="f")
        kept = check("readiness", Letters("s"))
        action = Acts(holds=False)
        spec = container(kept, check("liveness", Look(server)), action=action, action_name="none")
        async with guarded(spec) as ward:
            await at(5)
            assert ward.healthz() == 503
            await ward.guard.replace(replace(spec, liveness=()))
            await at(6)
            assert (ward.healthz(), ward.outcomes(), ward.view.ready) == (200, ["withdrawn"], True)

    run_virtual(work)


def test_a_request_is_withdrawn_where_a_reload_has_the_agent_act_by_itself() -> None:
    async def work() -> None:
        server, action = Server(letter="f"), Acts()
        spec = container(check("liveness", Look(server)), action=Acts(holds=False), action_name="none", runtime=server)
        async with guarded(spec) as ward:
            await at(5)
            assert ward.healthz() == 503
            rule = replace(spec.restart, action=action, action_name="scripted")
            await ward.guard.replace(replace(spec, restart=rule))
            await at(6)
            assert (ward.healthz(), ward.outcomes(), action.begun) == (200, ["withdrawn"], [])
            await at(11)
            assert action.begun == [10.0], "the check still fails"

    run_virtual(work)


def test_a_reload_to_a_dry_run_ends_the_retries_of_a_failed_action() -> None:
    async def work() -> None:
        server, action = Server(), Acts(fails)
        spec = spec_of(server, action, backoff=Backoff(initial_seconds=20))
        async with guarded(spec) as ward:
            await at(5)
            server.letter = "f"
            await at(12)
            await ward.guard.replace(replace(spec, restart=replace(spec.restart, dry_run=True)))
            await at(300)
            assert (len(action.begun), ward.outcomes()) == (1, ["failed"])
            assert (ward.view.phase, ward.view.running, ward.healthz()) == ("", True, 200)
            assert ward.view.suppressed == "dry_run"

    run_virtual(work)


# -- hooks ------------------------------------------------------------------------


def test_on_transition_is_told_of_each_change_in_order() -> None:
    async def work() -> list[tuple[str, str, str]]:
        hook = Acts(takes=0.5)
        method = Letters("sffs")
        spec = container(check("readiness", method, failure_threshold=2), hooks=Hooks(on_transition=hook))
        async with guarded(spec):
            await at(45)
        return [(order.type, order.check, order.to) for order in hook.orders]

    assert run_virtual(work) == [("on_transition", "it", to) for to in ("Success", "Failure", "Success")]


def test_what_changes_because_the_container_is_down_is_told_with_that_reason() -> None:
    """Not with that of a look which found something else."""

    async def work() -> list[tuple[str, str, str]]:
        hook = Acts()
        readiness = check("readiness", Letters("s"), period_seconds=3, name="ready")
        spec = container(
            check("startup", Letters("s"), period_seconds=3), check("liveness", Letters("sf")), readiness,
            action=Acts(takes=30), hooks=Hooks(on_transition=hook),
        )  # fmt: skip
        async with guarded(spec):
            await at(35)
        return [(order.check, order.to, order.reason) for order in hook.orders]

    told = run_virtual(work)
    assert ("it", "Failure", "status") in told
    assert ("ready", "Failure", "gone") in told
    assert not [one for one in told if one[1:] == ("Failure", "ok")]


def test_a_hook_has_no_veto_and_its_failure_is_only_told(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        server = Server()
        action, hanging = Acts(server.start), Acts(takes=1000)
        rule = {"hooks": Hooks(pre_restart=hanging, post_restart=Acts(fails))}
        async with guarded(spec_of(server, action, **rule)) as ward:
            await at(5)
            server.letter = "f"
            await at(45)
            assert action.begun == [40.0], "thirty seconds for a hook, then the action all the same"
            assert ward.view.ready
        assert [r.getMessage() for r in caplog.records].count("hook.failed") == 2

    run_virtual(work)


def test_a_hook_that_hangs_holds_up_no_more_than_a_hundred_others(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        hook = Acts(takes=29)
        method = Letters("sf" * 200)
        spec = container(
            check("readiness", method, period_seconds=1, failure_threshold=1), hooks=Hooks(on_transition=hook)
        )
        async with guarded(spec):
            await at(150)
        assert len(hook.begun) < 10
        assert "hook.dropped" in [r.getMessage() for r in caplog.records]

    run_virtual(work)


def test_an_order_is_plain_text_for_commands_and_webhooks() -> None:
    order = Order(type="action", container="model", reason="timeout", check="answers", to="Failure", instance="2")
    assert order.environment()["HEALTH_EVENT_TYPE"] == "action"
    assert set(order.document()) == {"type", "container", "reason", "check", "to", "instance", "evidence"}


# -- what is told ------------------------------------------------------------------------


def test_transitions_are_counted_and_told_and_initial_values_are_not() -> None:
    async def work() -> None:
        async with guarded(container(check("readiness", Letters("sff"), failure_threshold=2))) as ward:
            await at(25)
            assert ward.guard.stats.transitions == {("readiness", "Success"): 1, ("readiness", "Failure"): 1}
            told = [(t, e.name) for t, e in ward.said if e.kind == "transition" and e.name.startswith("readiness")]
            assert told == [(0.0, "readiness.success"), (20.0, "readiness.failure")]

    run_virtual(work)


def test_a_value_that_a_new_instance_resets_is_a_transition() -> None:
    """Else the counts of a check that failed, was restarted and failed again would say Failure twice and no Success."""

    async def work() -> None:
        server = Server()
        async with guarded(spec_of(server, Acts(server.start))) as ward:
            for moment in (5, 25):
                await at(moment)
                server.letter = "f"
            await at(60)
            kinds = [value for kind, value in ward.guard.stats.transitions if kind == "liveness"]
            assert sorted(kinds) == ["Failure", "Success"]
            assert ward.guard.stats.transitions["liveness", "Failure"] == 2
            assert ward.guard.stats.transitions["liveness", "Success"] == 2
            told = [e.name for _, e in ward.said if e.name.startswith("liveness")]
            assert told == ["liveness.failure", "liveness.success"] * 2

    run_virtual(work)


def test_a_listener_that_raises_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def raises(event: Any) -> None:
        raise ZeroDivisionError(event.name)

    async def work() -> None:
        server = Server()
        heard: list[Any] = []
        spec = spec_of(server, Acts(server.start))
        async with guarded(spec) as ward:
            ward.guard.bus.subscribe(raises)
            ward.guard.bus.subscribe(heard.append)
            await at(5)
            server.letter = "f"
            await at(30)
            assert (ward.view.instance, ward.view.ready, ward.guard.healthy()) == (2, True, [])
            assert [event.name for event in heard] == [e.name for _, e in ward.said][-len(heard) :]
            assert len(heard) > 5
        assert "listener.error" in [record.getMessage() for record in caplog.records]

    run_virtual(work)


def test_the_time_to_ready_is_that_of_the_current_instance() -> None:
    async def work() -> None:
        server = Server(letter="f")
        spec = spec_of(server, Acts())
        async with guarded(replace(spec, liveness=())) as ward:
            await at(3.5)
            server.letter = "s"
            await at(6)
            assert ward.guard.stats.time_to_ready == pytest.approx(4, abs=0.1)

    run_virtual(work)


def test_a_worker_that_died_is_told_by_name() -> None:
    async def work() -> None:
        async with guarded(container(check("readiness", Letters("s")))) as ward:
            await at(1)
            assert ward.guard.healthy() == []
            next(iter(ward.guard.workers._at_work.values()))[1].cancel()
            await at(2)
            assert ward.guard.healthy() == ["worker model/readiness/it"]

    run_virtual(work)
