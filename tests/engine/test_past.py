"""What a container was spared, in virtual time: enough for a report to say which thresholds would have changed it."""

import time
from contextlib import AbstractAsyncContextManager
from itertools import product
from typing import Any

import pytest

from agent.core.model import failure
from agent.core.spared import Spared, advice
from agent.engine.past import KEPT, Past
from tests.engine.scripted import Acts, Letters, Look, Server, Ward, at, check, container, guarded
from tests.virtual import run_virtual


def dry(method: Any, **more: Any) -> AbstractAsyncContextManager[Ward]:
    """A dry run of one liveness check, period 10 and threshold 2."""
    live = check("liveness", method, failure_threshold=2, timeout_seconds=4.0, **more.pop("check", {}))
    return guarded(container(live, **{"action": Acts(), "dry_run": True, **more}))


def test_one_failing_is_one_entry_however_often_a_kill_was_wanted() -> None:
    """Ten failures with a threshold of 2 are five would-be restarts of one failing; 11 would have spared it."""

    async def work() -> None:
        async with dry(Letters("sss" + "f" * 10 + "s")) as ward:
            await at(95)
            (one,) = ward.view.spared
            assert (one.why, one.times, one.failures, one.ended) == ("dry_run", 3, 7, "")
            await at(200)
            (one,) = ward.view.spared
            assert (one.times, one.failures, one.ended) == (5, 10, "recovered")
            assert (one.check, one.reason, one.action, one.instance) == ("liveness/it", "status", "scripted", 1)
            assert (one.failure_threshold, one.period_seconds, one.timeout_seconds) == (2, 10.0, 4.0)
            assert one.time <= one.last <= (one.ended_at or 0)
            assert ward.guard.stats.suppressed == {"dry_run": 5}

    run_virtual(work)


def test_a_new_instance_ends_a_failing_too() -> None:
    async def work() -> None:
        server = Server()
        async with dry(Look(server), runtime=server) as ward:
            await at(5)
            server.letter = "f"
            await at(35)
            server.start()
            await at(60)
            (one,) = ward.view.spared
            assert (one.ended, one.times) == ("restarted", 1)

    run_virtual(work)


def test_each_brake_and_each_check_has_an_entry_of_its_own() -> None:
    async def work() -> None:
        checks = [check("liveness", Letters("f"), name=name, period_seconds=7 + n) for n, name in enumerate("ab")]
        spec = container(*checks, action=Acts(), arm_after_seconds=20, dry_run=True)
        async with guarded(spec) as ward:
            await at(60)
            found = {(one.check, one.why) for one in ward.view.spared}
            assert found == set(product(("liveness/a", "liveness/b"), ("arming", "dry_run")))

    run_virtual(work)


def test_what_is_permitted_at_last_ends_what_was_held_back() -> None:
    async def work() -> None:
        async with guarded(container(check("liveness", Letters("f")), action=Acts(), arm_after_seconds=25)) as ward:
            await at(35)
            (one,) = ward.view.spared
            assert (one.why, one.times, one.ended, len(ward.view.restarts)) == ("arming", 3, "restarted", 1)

    run_virtual(work)


def test_it_survives_the_agent_though_a_crash_may_cost_a_minute_of_it() -> None:
    async def work() -> None:
        async with dry(Letters("f")) as ward:
            await at(11.5)
            assert [one.times for one in ward.saved[-1].spared] == [1], "a new one is on disk within a second"
            await at(95)
            assert ward.saved[-1].spared[0].times >= 3
            memory, spec = ward.guard.memory(), ward.container.spec
        async with guarded(spec, memory) as ward:
            (kept,) = ward.view.spared
            assert (kept.ended, kept.ended_at) == ("unknown", kept.last), "whether it went on meanwhile nobody saw"
            assert "not known" in advice(kept)
            await at(200)
            first, second = ward.view.spared
            assert (first.ended, second.ended) == ("unknown", "")
            assert first.times == memory.spared[0].times

    run_virtual(work)


def test_failures_are_counted_beyond_the_results_that_are_kept() -> None:
    """A startup check of a large model is given 120 failures; a hundred results are kept."""

    async def work() -> None:
        startup = check("startup", Letters("f" * 125 + "s"), failure_threshold=120, period_seconds=5)
        async with guarded(container(startup, action=Acts(), dry_run=True)) as ward:
            await at(700)
            (one,) = ward.view.spared
        assert (one.failures, one.ended) == (125, "recovered")
        assert "with failure_threshold above 125 (it is 120)" in advice(one)

    run_virtual(work)


def test_no_secret_and_no_long_text_is_kept() -> None:
    class Telling(Letters):
        async def probe(self, target: Any) -> Any:
            await super().probe(target)
            return failure("status", "hunter2 " + "x" * 1000)

    async def work() -> None:
        async with dry(Telling("f")) as ward:
            await at(15)
            (one,) = ward.view.spared
            assert one.detail.startswith("[redacted] xxx")
            assert len(one.detail) == 200

    run_virtual(work)


def test_the_history_is_bounded_and_the_oldest_goes() -> None:
    past = Past()
    past.restore(
        Spared(time=float(n), last=float(n), why="dry_run", action="signal", check="liveness/a", reason="status")
        for n in range(3 * KEPT)
    )
    assert [one.time for one in past.all()] == [float(n) for n in range(2 * KEPT, 3 * KEPT)]


def test_times_are_those_of_the_wall_clock() -> None:
    async def work() -> None:
        before = time.time()
        async with dry(Letters("f")) as ward:
            await at(15)
            assert before <= ward.view.spared[0].time <= time.time()

    run_virtual(work)


@pytest.mark.parametrize("letters", ["fuf", "uff"])
def test_errors_are_no_failures_of_it(letters: str) -> None:
    async def work() -> None:
        async with dry(Letters(letters + "u")) as ward:
            await at(55)
            (one,) = ward.view.spared
            assert one.failures == 2

    run_virtual(work)
