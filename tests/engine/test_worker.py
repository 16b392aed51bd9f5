"""A worker in virtual time: its beats, its deadline, its tries, and that nothing a method does can stop it."""

import asyncio
import errno
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agent.core.model import CheckType, Published, Result, Target, success, warning
from agent.core.remembered import Saying, say
from agent.engine.container import Container, Sentence, Slot
from agent.engine.pulse import Pulse
from agent.engine.stats import LATENESS_BUCKETS, Histogram
from agent.engine.watch import Sign
from agent.engine.worker import Worker, look
from tests.engine.scripted import Acts, Letters, at, check, container, guarded
from tests.virtual import run_virtual, virtual_loop


class Quiet:
    """A container's life in which nothing is ever done."""

    def __init__(self) -> None:
        self.published: list[tuple[float, str]] = []
        self.bug_at: float | None = None

    def on_published(self, kind: CheckType, value: Published, slot: Slot, now: float, **_: Any) -> None:
        self.published.append((now, str(value)))
        if now == self.bug_at:
            raise RuntimeError("a bug in the agent")

    def on_status(self, name: str, value: bool, now: float) -> None: ...
    def on_trigger(self, slot: Slot, now: float) -> None: ...
    def on_kill(self, slot: Slot, now: float) -> None: ...
    def on_recovered(self, slot: Slot, now: float) -> None: ...
    def sentence(self, slot: Slot, now: float) -> Sentence:
        return Sentence.SPARE


class Bench:
    """One worker of one check, its results and when they came."""

    def __init__(self, method: Letters, kind: str = "readiness", **numbers: Any) -> None:
        self.life = Quiet()
        self.pulse = Pulse()
        self.results: list[tuple[float, Result]] = []
        spec = container(check(kind, method, **numbers))
        self.container = Container(spec, self.life)
        self.slot = self.container.slots[0]
        loop = asyncio.get_running_loop()
        self.container.begin(loop.time())
        self.worker = Worker(
            self.slot,
            self.container,
            Target("model", "127.0.0.1"),
            pulse=self.pulse,
            lateness=Histogram(LATENESS_BUCKETS),
            on_result=lambda slot, result: self.results.append((loop.time(), result)),
        )

    def said(self) -> list[tuple[float, str, str]]:
        return [(t, str(r.outcome), r.reason) for t, r in self.results]


@asynccontextmanager
async def at_work(bench: Bench, delay: float = 0.0) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(bench.worker.run(delay))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def rounds(method: Letters, until: float, *, delay: float = 0.0, start: float = 0.0, **numbers: Any) -> Bench:
    """A worker at work until this moment."""

    async def work() -> Bench:
        bench = Bench(method, **numbers)
        async with at_work(bench, delay) as task:
            await at(until)
            assert not task.done(), "a worker never ends by itself"
        return bench

    bench = run_virtual(work, start=start)
    assert isinstance(bench, Bench)
    return bench


# -- when ------------------------------------------------------------------------------------------------------------


def test_the_first_round_is_at_once_and_the_next_ones_on_the_grid() -> None:
    method = Letters("s", takes=0.25)
    rounds(method, 35)
    assert method.attempts == [0.0, 10.0, 20.0, 30.0]


def test_a_staggered_worker_keeps_to_a_grid_of_its_own() -> None:
    method = Letters("s")
    rounds(method, 35, delay=0.004)
    assert method.attempts == pytest.approx([0.004, 10.004, 20.004, 30.004], abs=1e-9)


def test_the_initial_delay_skips_beats_and_moves_none() -> None:
    method = Letters("s")
    rounds(method, 35, initial_delay_seconds=15)
    assert method.attempts == [20.0, 30.0]


def test_rounds_of_a_hanging_target_are_its_timeout_apart() -> None:
    """Timeout 15, period 10: one beat is remembered, never more."""
    method = Letters("h")
    bench = rounds(method, 65, timeout_seconds=15)
    assert method.attempts == [0.0, 15.0, 30.0, 45.0, 60.0]
    assert bench.said() == [(t, "failure", "timeout") for t in (15.0, 30.0, 45.0, 60.0)]


def test_after_a_slow_round_the_worker_falls_back_onto_its_grid() -> None:
    class Once(Letters):
        async def probe(self, target: Target) -> Result:
            self.takes = 0.0 if self.attempts else 47.0
            return await super().probe(target)

    method = Once("s")
    rounds(method, 75, timeout_seconds=100)
    assert method.attempts == [0.0, 47.0, 50.0, 60.0, 70.0]


def test_a_loop_that_stood_still_costs_the_beats_it_missed_and_no_more() -> None:
    async def work() -> list[float]:
        method = Letters("s")
        async with at_work(Bench(method)):
            await at(5)
            virtual_loop().block(30)
            await at(55)
        return method.attempts

    assert run_virtual(work) == [0.0, 35.0, 40.0, 50.0]


def test_a_trigger_runs_a_round_at_once_and_restarts_the_ticker() -> None:
    async def work() -> list[float]:
        method = Letters("s")
        bench = Bench(method)
        async with at_work(bench):
            await at(3)
            bench.worker.trigger()
            bench.worker.trigger()  # dropped: one waits
            await at(25)
        return method.attempts

    assert run_virtual(work) == [0.0, 3.0, 13.0, 23.0]


def test_a_trigger_during_a_round_runs_the_next_one_as_soon_as_it_is_over() -> None:
    async def work() -> list[float]:
        method = Letters("s", takes=4)
        bench = Bench(method, timeout_seconds=5)
        async with at_work(bench):
            await at(1)
            bench.worker.trigger()
            bench.worker.trigger()
            await at(20)
        return method.attempts

    assert run_virtual(work) == [0.0, 4.0, 14.0]


# -- what a round finds ----------------------------------------------------------------------------------------------


def test_the_deadline_is_a_failure_of_the_target_and_is_not_tried_again() -> None:
    method = Letters("h")
    bench = rounds(method, 2)
    assert bench.said() == [(1.0, "failure", "timeout")]
    assert (method.attempts, method.cancelled) == ([0.0], 1)
    assert bench.results[0][1].duration == 1.0
    assert bench.results[0][1].detail == "no answer within 1 s"


def test_the_deadline_in_the_body_is_an_error_after_three_tries_and_counts_for_nothing() -> None:
    """Probe-semantics 0.7: the headers came and the body does not end."""
    method = Letters("b")
    bench = rounds(method, 9)
    assert method.attempts == [0.0, 1.0, 2.0]
    assert bench.said() == [(3.0, "error", "stalled")]
    assert bench.results[0][1].duration == 3.0
    assert bench.slot.state.run == 0


def test_reaching_the_body_in_one_try_says_nothing_of_the_next() -> None:
    bench = rounds(Letters("bh"), 9)
    assert bench.said() == [(2.0, "failure", "timeout")]


@pytest.mark.parametrize(
    ("letters", "attempts", "outcome"),
    [("f", 1, "failure"), ("w", 1, "warning"), ("us", 2, "success"), ("uuf", 3, "failure"), ("uuus", 3, "error")],
)
def test_only_an_error_is_tried_again_and_at_most_twice(letters: str, attempts: int, outcome: str) -> None:
    method = Letters(letters)
    bench = rounds(method, 5)
    assert len(method.attempts) == attempts
    assert [outcome for _, outcome, _ in bench.said()] == [outcome]
    assert sum(bench.slot.stats.results.values()) == 1, "rounds are counted, not attempts"


def test_a_method_that_answers_after_its_deadline_was_late() -> None:
    bench = rounds(Letters("i"), 5)
    assert bench.said() == [(1.0, "failure", "timeout")]


def test_errors_never_change_what_is_published() -> None:
    bench = rounds(Letters("s" + "uuu" * 20 + "f"), 500, failure_threshold=2)
    assert [value for _, value in bench.life.published] == ["Failure", "Success", "Failure"]
    assert bench.life.published[-1][0] == 220.0


# -- what cannot stop it ---------------------------------------------------------------------------------------------


def test_a_bug_in_a_method_is_an_error_told_once_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    bench = rounds(Letters("x"), 45)
    assert bench.said() == [(t, "error", "internal") for t in (0.0, 10.0, 20.0, 30.0, 40.0)]
    told = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert len(told) == 1
    assert told[0].exc_info is not None
    assert "ZeroDivisionError: a bug in the method" in bench.results[0][1].detail


def test_a_method_that_raises_a_cancellation_of_its_own_is_an_error_and_not_the_workers_end() -> None:
    """It awaited a task that somebody cancelled: nobody told the worker to leave."""
    bench = rounds(Letters("c"), 15)
    assert bench.said() == [(0.0, "error", "internal"), (10.0, "error", "internal")]


def test_a_bug_in_the_agent_ends_a_round_and_not_the_check(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> Bench:
        bench = Bench(Letters("sf"))
        bench.life.bug_at = 10.0
        async with at_work(bench) as task:
            await at(25)
            assert not task.done()
        return bench

    bench = run_virtual(work)
    assert bench.said()[-1][0] == 20.0
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR] == ["worker.error"]


def test_a_cancelled_worker_lets_its_method_clean_up_and_leaves_at_once() -> None:
    async def work() -> None:
        method = Letters("h")
        bench = Bench(method, timeout_seconds=600)
        async with at_work(bench) as task:
            await at(1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert virtual_loop().time() == 1.0
            assert task.cancelled()
        assert (method.cancelled, bench.results) == (1, [])

    run_virtual(work)


def test_a_method_that_keeps_its_cancellation_to_itself_does_not_keep_its_worker() -> None:
    async def work() -> None:
        async with at_work(Bench(Letters("i"), timeout_seconds=600)) as task:
            await at(1)
            task.cancel()
            await at(2)
            assert task.cancelled()

    run_virtual(work)


def test_a_method_that_returns_nothing_is_an_error() -> None:
    class Silent(Letters):
        async def probe(self, target: Target) -> Any:
            await super().probe(target)

    assert rounds(Silent("s"), 5).said() == [(0.0, "error", "internal")]


def test_the_agents_own_trouble_counts_for_nothing_even_where_errors_are_failures() -> None:
    """Out of file descriptors, say: that option is about what the target's side of a probe could not do."""

    class Exhausted(Letters):
        async def probe(self, target: Target) -> Result:
            raise OSError(errno.EMFILE, "Too many open files")

    assert [v for _, v in rounds(Exhausted("s"), 35, errors_are_failures=True, kind="liveness").life.published] == [
        "Success"
    ]
    assert [v for _, v in rounds(Letters("su"), 35, errors_are_failures=True, kind="liveness").life.published] == [
        "Success",
        "Failure",
    ]


def test_an_agent_that_ran_out_of_descriptors_says_nothing_of_anybody_for_a_while() -> None:
    """One check could not even open a socket: what another takes for a failure is in doubt, and nobody is killed."""

    class Exhausted(Letters):
        async def probe(self, target: Target) -> Result:
            await super().probe(target)
            if virtual_loop().time() < 25:
                raise OSError(errno.EMFILE, "Too many open files")
            return success()

    async def work() -> None:
        action = Acts()
        checks = (
            check("readiness", Exhausted("s"), period_seconds=5),
            check("liveness", Letters("sf"), period_seconds=10),
        )
        async with guarded(container(*checks, action=action)) as ward:
            await at(29)
            assert (ward.view.live, ward.guard.stats.suppressed) == (True, {})
            history = [result.reason for _, result in ward.slot("liveness/it").history]
            assert history == ["ok", "internal", "internal"]
            await at(31)
            assert action.begun == [30.0], "ten seconds after the last of it"

    run_virtual(work)


def test_a_worker_cancelled_while_it_waits_leaves_no_timer() -> None:
    async def work() -> int:
        async with at_work(Bench(Letters("s"))):
            await at(1)
        return len([t for t in virtual_loop()._scheduled if not t.cancelled()])  # type: ignore[attr-defined]

    assert run_virtual(work) == 0


# -- an agent that stands still --------------------------------------------------------------------------------------


class Frozen(Letters):
    """A look during which the whole agent stands still for three seconds."""

    async def probe(self, target: Target) -> Result:
        virtual_loop().block(3)
        await asyncio.sleep(0.3)
        return await super().probe(target)


def frozen(letters: str, **numbers: Any) -> Bench:
    async def work() -> Bench:
        bench = Bench(Frozen(letters), timeout_seconds=8, **numbers)
        bench.pulse.start()
        try:
            async with at_work(bench):
                await at(25)
        finally:
            bench.pulse.stop()
        return bench

    bench = run_virtual(work)
    assert isinstance(bench, Bench)
    return bench


def test_a_failure_while_the_agent_stood_still_is_an_error_of_the_agent() -> None:
    bench = frozen("sf", kind="liveness")
    assert {(outcome, reason) for _, outcome, reason in bench.said()} == {("success", "ok"), ("error", "internal")}
    assert [value for _, value in bench.life.published] == ["Success"]


def test_it_counts_for_nothing_even_where_errors_are_failures() -> None:
    bench = frozen("sf", kind="liveness", errors_are_failures=True)
    assert [value for _, value in bench.life.published] == ["Success"]
    assert bench.slot.state.run == 1


def test_a_success_stands_however_the_agent_fared() -> None:
    assert {outcome for _, outcome, _ in frozen("s").said()} == {"success"}


def test_lateness_is_observed_for_every_beat() -> None:
    async def work() -> Histogram:
        bench = Bench(Letters("s"))
        async with at_work(bench):
            await at(5)
            virtual_loop().block(7)
            await at(25)
        return bench.worker.lateness

    lateness = run_virtual(work)
    assert sum(lateness.counts) == 3
    assert lateness.total == pytest.approx(2.0)


def test_look_once_can_be_used_alone() -> None:
    """`health-agent check` looks once without a worker."""

    async def work() -> Result:
        return await look(check("liveness", Letters("us", takes=0.5)), Target("model", "127.0.0.1"))

    assert run_virtual(work).duration == 1.0


class Says:
    """A method that says ``saying`` of its container, and succeeds."""

    def __init__(self) -> None:
        self.saying = Saying()

    async def probe(self, target: Target) -> Result:
        say(target, self.saying)
        return success()


def test_what_a_check_says_of_the_container_takes_readiness_away_and_gives_it_back() -> None:
    """Whatever the check's type and result; and not beyond the check's own end, or the instance's."""

    async def work() -> None:
        method = Says()
        spec = container(check("liveness", method, name="progress"), check("readiness", Letters("s")))
        async with guarded(spec) as ward:
            await at(1)
            assert ward.view.ready
            method.saying = Saying("stalling", unready=True)
            await at(11)
            assert not ward.view.ready
            assert [c.published for c in ward.view.checks] == [Published.SUCCESS, Published.SUCCESS]
            method.saying = Saying("working")
            await at(21)
            assert ward.view.ready
            method.saying = Saying("stalling", unready=True)
            await at(31)
            assert not ward.view.ready
            await ward.guard.replace(container(check("readiness", Letters("s"))))
            assert ward.view.ready, "a check that is gone has nothing to say"

    run_virtual(work)


def test_what_was_said_of_an_instance_is_forgotten_with_it() -> None:
    async def work() -> None:
        method = Says()
        method.saying = Saying("stalling", unready=True)
        async with guarded(container(check("liveness", method, period_seconds=100))) as ward:
            await at(1)
            assert not ward.view.ready
            ward.guard.seen(Sign("test"))
            assert ward.view.ready

    run_virtual(work)


class Late(Letters):
    """A method that has a word of its own for a look that took too long."""

    def late(self, target: Target) -> Result:
        if target.timeout == 7:
            raise ZeroDivisionError("a bug in the method")
        return warning("blind", f"after {target.timeout:g} s")


@pytest.mark.parametrize("letters", ["h", "b", "i"])
def test_a_method_may_say_itself_what_its_deadline_means(letters: str) -> None:
    """Also where it had reached the body, and whatever it makes of being cancelled; once, since it is no error."""

    async def work() -> Result:
        return await look(check("liveness", Late(letters), timeout_seconds=2), Target("model", "h", timeout=2))

    found = run_virtual(work)
    assert (found.outcome, found.reason, found.detail, found.duration) == ("warning", "blind", "after 2 s", 2.0)


def test_a_bug_in_that_word_is_the_probers_error() -> None:
    async def work() -> Result:
        return await look(check("liveness", Late("h"), timeout_seconds=2), Target("model", "h", timeout=7))

    assert run_virtual(work).reason == "internal"


def test_a_round_that_outlives_its_instance_leaves_nothing_in_the_next() -> None:
    async def work() -> None:
        method = Letters("s", takes=5)
        live = check("liveness", method, timeout_seconds=9)
        async with guarded(container(live, check("readiness", Letters("s")))) as ward:
            await at(2)
            ward.guard.seen(Sign("test"))
            await at(6)
            assert "liveness/it" not in ward.container.seen["answers"]
            await at(16)
            assert ward.container.seen["answers"]["liveness/it"].at == 15.0

    run_virtual(work)
