"""One action at a time, within its deadline, whatever it does about that."""

import asyncio
from typing import Any

import pytest

from agent.actions import ActionError, Order
from agent.core.settings import Restart
from agent.engine.acting import Acting
from tests.engine.scripted import Acts, at
from tests.virtual import run_virtual, virtual_loop

ORDER = Order(type="action", container="model", grace_seconds=5.0)


def rule(action: Any) -> Restart:
    return Restart(action=action, action_timeout_seconds=20.0)


class Stubborn(Acts):
    """An action of a third party that hangs and keeps every cancellation to itself."""

    async def act(self, order: Order) -> None:
        self.begun.append(virtual_loop().time())
        end = virtual_loop().time() + self.takes
        while virtual_loop().time() < end:
            try:
                await asyncio.sleep(end - virtual_loop().time())
            except asyncio.CancelledError:
                self.cancelled += 1
        self.ended.append(virtual_loop().time())


class Explains:
    """An action that hangs, and raises something of its own when it is cancelled."""

    def __init__(self, problem: Exception) -> None:
        self.problem = problem

    async def act(self, order: Order) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise self.problem from None


def test_an_action_that_does_not_even_end_when_it_is_told_to_is_left_to_itself() -> None:
    """Nothing waits for it for ever, and none begins beside it."""

    async def work() -> None:
        acting, action = Acting(), Stubborn(takes=1000)
        problem = await acting.run(rule(action), ORDER)
        assert virtual_loop().time() == pytest.approx(30), "its time, its grace, and five seconds"
        assert str(problem) == "not done within 25 s, and it does not end"
        await acting.finish()
        problem = await acting.run(rule(Acts()), ORDER)
        assert str(problem) == "the action before this one is still running"
        await at(1001)
        other = Acts()
        assert await acting.run(rule(other), ORDER) is None
        assert (len(action.begun), action.cancelled, len(other.begun)) == (1, 1, 1)

    run_virtual(work)


def test_an_action_whose_time_is_over_may_say_what_it_waited_for() -> None:
    """Its own words are told instead, where it has any; other trouble of its end is not."""

    async def work() -> None:
        for own, told in ((ActionError("a budget"), "a budget"), (OSError("a bug"), "not done within 25 s")):
            problem = await Acting().run(rule(Explains(own)), ORDER)
            assert str(problem) == told

    run_virtual(work)


def test_whoever_waits_for_an_action_may_go_and_the_action_goes_on() -> None:
    async def work() -> None:
        acting, action = Acting(), Acts(takes=10)
        waiting = asyncio.create_task(acting.run(rule(action), ORDER))
        await at(5)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await at(15)
        assert (len(action.ended), action.cancelled) == (1, 0)

    run_virtual(work)


def test_finish_waits_for_what_runs_and_not_for_what_does_not() -> None:
    async def work() -> None:
        acting, action = Acting(), Acts(takes=10)
        await acting.finish()
        assert virtual_loop().time() == 0.0
        running = asyncio.create_task(acting.run(rule(action), ORDER))
        await at(1)
        await acting.finish()
        assert virtual_loop().time() == pytest.approx(10)
        assert await running is None

    run_virtual(work)


def test_what_an_abandoned_action_raises_is_no_loose_end() -> None:
    """A warning is an error in these tests: an exception that nobody looked at would be one."""

    class Late(Stubborn):
        async def act(self, order: Order) -> None:
            await super().act(order)
            raise OSError("too late")

    async def work() -> None:
        acting = Acting()
        await acting.run(rule(Late(takes=100)), ORDER)
        await at(200)

    run_virtual(work)
