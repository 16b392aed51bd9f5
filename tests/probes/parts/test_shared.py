"""Blocking calls are shared by whoever waits for the same thing."""

import asyncio
import threading

import pytest

from agent.probes.parts.shared import shared


async def test_callers_with_one_key_share_one_call_and_the_next_one_makes_its_own() -> None:
    calls: list[int] = []
    go = threading.Event()

    def call() -> int:
        go.wait(5)
        calls.append(1)
        return len(calls)

    waiting = asyncio.gather(*(shared("name", call) for _ in range(20)))
    await asyncio.sleep(0)
    go.set()
    assert await waiting == [1] * 20
    assert await shared("name", call) == 2


async def test_a_deadline_ends_one_caller_and_leaves_the_call_to_the_others() -> None:
    go = threading.Event()
    patient = asyncio.ensure_future(shared("name", lambda: go.wait(5)))
    await asyncio.sleep(0)  # it begins first
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await shared("name", lambda: False)
    go.set()
    assert await patient is True


async def test_an_exception_reaches_every_caller_and_nobody_when_all_have_left() -> None:
    def call() -> None:
        raise OSError("no such name")

    results = await asyncio.gather(shared("name", call), shared("name", call), return_exceptions=True)
    assert [str(result) for result in results] == ["no such name"] * 2
    go = threading.Event()

    def late() -> None:
        go.wait(5)
        raise OSError("nobody hears this")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await shared("name", late)
    go.set()
