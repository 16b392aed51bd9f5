"""Hooks: each kind in its lane, webhooks told again after an outage, commands never, and nothing waits for ever."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest
from aiohttp import web

from agent.actions import ActionError, Order
from agent.actions.webhook import Webhook
from agent.engine.hooks import KEPT_SECONDS, WAITING_AT_MOST, HookRunner, pause_after
from tests.virtual import run_virtual, virtual_loop


class Receiver:
    """Takes orders while ``up``; remembers when it was told what, and how often it was tried."""

    retries: ClassVar[bool] = True

    def __init__(
        self, up: Callable[[float], bool] = lambda _: True, *, takes: float = 0.0, final: bool = False
    ) -> None:
        self.up, self.takes, self.final = up, takes, final
        self.tries: list[float] = []
        self.told: list[tuple[float, str]] = []

    async def act(self, order: Order) -> None:
        now = virtual_loop().time()
        self.tries.append(now)
        await asyncio.sleep(self.takes)
        if not self.up(now):
            raise ActionError("http://receiver:80 can't be reached", final=self.final)
        self.told.append((now, order.reason))


class Command(Receiver):
    """The same, and nothing that may be run twice."""

    retries: ClassVar[bool] = False


def event(reason: str = "", kind: str = "on_transition") -> Order:
    return Order(type=kind, container="model", reason=reason)


def played(events: Sequence[tuple[float, Any, Order]], until: float = 2000.0) -> None:
    """Tell each hook of its event at its moment, and look on until ``until``."""

    async def play() -> None:
        loop, runner = virtual_loop(), HookRunner("model", str)
        for moment, hook, order in events:
            loop.call_at(moment, runner.tell, hook, order)
        await asyncio.sleep(until)
        await runner.close(2.0)

    run_virtual(play())


def names(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records]


def test_pauses_double_up_to_a_minute() -> None:
    assert [pause_after(n) for n in (1, 2, 3, 6, 7, 8, 10_000)] == [1, 2, 4, 32, 60, 60, 60]


def test_after_a_short_outage_everything_is_told_in_order(caplog: pytest.LogCaptureFixture) -> None:
    receiver = Receiver(lambda now: now >= 10)
    with caplog.at_level(logging.WARNING):
        played([(1.0, receiver, event("a")), (2.0, receiver, event("b")), (20.0, receiver, event("c"))])
    assert receiver.tries[:5] == [1, 2, 4, 8, 16]
    assert receiver.told == [(16, "a"), (16, "b"), (20, "c")]
    assert names(caplog) == ["hook.failed", "hook.recovered"], "once an outage"


def test_a_slow_receiver_gets_everything_and_holds_no_other_kind_back() -> None:
    slow, prompt = Receiver(takes=25), Receiver()
    events = [(n / 1000, slow, event(str(n))) for n in range(5)]
    played([*events, (1.0, prompt, event("given up", "on_give_up"))])
    assert [reason for _, reason in slow.told] == ["0", "1", "2", "3", "4"]
    assert prompt.told == [(1, "given up")]


def test_one_that_hangs_is_ended_after_half_a_minute_and_tried_again() -> None:
    hanging = Receiver(takes=10_000)
    played([(0.0, hanging, event())], until=100)
    assert hanging.tries == [0, 31, 63, 97]


def test_what_nobody_takes_is_dropped_after_a_quarter_of_an_hour_and_told(caplog: pytest.LogCaptureFixture) -> None:
    dead = Receiver(lambda now: now > 1500)
    with caplog.at_level(logging.WARNING):
        played([(0.0, dead, event("old")), (600.0, dead, event("newer"))])
    assert max(dead.tries[:-1]) <= 600 + KEPT_SECONDS
    assert dead.told == []
    assert names(caplog).count("hook.dropped") == 2


def test_the_oldest_makes_room_for_the_newest(caplog: pytest.LogCaptureFixture) -> None:
    receiver = Receiver(lambda now: now >= 5)
    with caplog.at_level(logging.WARNING):
        played([(n / 1000, receiver, event(str(n))) for n in range(WAITING_AT_MOST + 3)])
    told = [reason for _, reason in receiver.told]
    assert told[-1] == str(WAITING_AT_MOST + 2)
    assert len(told) >= WAITING_AT_MOST
    assert names(caplog).count("hook.dropped") == WAITING_AT_MOST + 3 - len(told)


@pytest.mark.parametrize("hook", [Command(lambda _: False), Receiver(lambda _: False, final=True)])
def test_a_command_and_what_would_fail_again_are_tried_once(hook: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        played([(0.0, hook, event()), (5.0, hook, event())])
    assert hook.tries == [0, 5]
    assert names(caplog) == ["hook.failed", "hook.failed"]


def test_a_hook_around_a_restart_is_run_now_and_told_later_where_it_was_not() -> None:
    receiver = Receiver(lambda now: now >= 3)

    async def restart() -> float:
        runner = HookRunner("model", str)
        await runner.run(receiver, event("timeout", "post_restart"))
        went_on = virtual_loop().time()
        await asyncio.sleep(60)
        return went_on

    assert run_virtual(restart()) == 0
    assert receiver.told == [(3, "timeout")]


def test_the_end_waits_for_nobody_longer_than_it_is_given() -> None:
    receiver = Receiver(lambda _: False)

    async def leave() -> float:
        runner = HookRunner("model", str)
        for kind in ("on_transition", "on_give_up"):
            runner.tell(receiver, event(kind=kind))
        await asyncio.sleep(100)
        began = virtual_loop().time()
        await runner.close(2.0)
        return virtual_loop().time() - began

    assert run_virtual(leave()) == 2


async def test_a_real_receiver_that_was_away_is_told_when_it_is_back(
    unused_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    got: list[str] = []

    async def take(request: web.Request) -> web.Response:
        got.append((await request.json())["reason"])
        return web.Response(status=503 if len(got) == 1 else 204)

    runner = HookRunner("model", str)
    runner.tell(Webhook(url=f"http://127.0.0.1:{unused_tcp_port}/"), event("first"))
    async with asyncio.timeout(5):
        while "hook.failed" not in names(caplog):  # noqa: ASYNC110 - the log sends no event
            await asyncio.sleep(0.02)
    app = web.Application()
    app.router.add_post("/", take)
    server = web.AppRunner(app)
    await server.setup()
    await web.TCPSite(server, "127.0.0.1", unused_tcp_port).start()
    try:
        async with asyncio.timeout(20):
            while len(got) < 2:  # noqa: ASYNC110 - the receiver's own list
                await asyncio.sleep(0.02)
    finally:
        await runner.close(1.0)
        await server.cleanup()
    assert got == ["first", "first"], "refused, then turned away with 503, then taken"
