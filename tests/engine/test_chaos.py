"""Hundreds of random lives in virtual time, thousands by `make chaos`: whatever happens, an agent keeps its promises.

CHAOS_LIVES is how many, and CHAOS_FIRST the first one's seed.
"""

import os
from collections import Counter
from functools import cache
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from agent.engine.statefile import Memory
from tests.engine.chaos import Life, Process
from tests.virtual import run_virtual

LIVES = int(os.environ.get("CHAOS_LIVES", "100"))
FIRST = int(os.environ.get("CHAOS_FIRST", "0"))
BLOCKS = 5


class Told(NamedTuple):
    """What a life was made of."""

    kills: Counter[str]
    events: Counter[str]
    actions: int
    crashes: int
    orders: int


@cache
def lived(seed: int) -> Told:
    life = Life(seed)
    try:
        run_virtual(life.live)
        life.verdict()
    except BaseException as problem:
        problem.add_note(f"life {seed}")
        raise
    kills = Counter(kind for _, kind, _ in life.kills)
    return Told(kills, life.events, len(life.world.begun), life.crashes, life.orders)


@pytest.mark.parametrize("block", range(BLOCKS))
def test_an_agent_keeps_its_promises_in_any_life(block: int) -> None:
    """Outcomes, slow and failing actions, crashes at every step, stalls, operators, dying runtimes and dependencies."""
    for seed in range(FIRST + block * LIVES // BLOCKS, FIRST + (block + 1) * LIVES // BLOCKS):
        lived(seed)


def test_the_lives_are_eventful() -> None:
    """A chaos test that kills nobody would agree with anything."""
    lives = [lived(FIRST + seed) for seed in range(LIVES)]
    kills = sum((life.kills for life in lives), Counter[str]())
    assert min(kills[kind] for kind in ("liveness", "startup", "operator")) > LIVES / 10, kills
    assert sum(life.actions for life in lives) > 2 * LIVES
    assert sum(life.crashes for life in lives) > LIVES
    assert sum(life.orders for life in lives) > 4 * LIVES
    steps = {
        "decided", "draining", "drained", "evidence", "pre_restart", "action", "holding", "gone", "requested",
        "succeeded", "failed", "timed_out", "withdrawn", "suppressed", "given_up", "resumed", "drain", "post_restart",
        "also",
    }  # fmt: skip
    events = sum((life.events for life in lives), Counter[str]())
    assert {name.removeprefix("restart.") for name in events} == steps


def test_memory_is_the_same_whenever_it_is_taken_up() -> None:
    """Taken up and put down again at once, a memory does not wear out."""

    async def work() -> None:
        life = Life(7)
        life.memory = Memory(instance=2, identity="run 1", spent=(3.0,), backoff_delay=2.0, backoff_since=4.0, kills=2)
        life.known = True
        for _ in range(5):
            ward = Process(life.spec(), life)
            await ward.guard.begin(life.memory)
            await ward.guard.close()
            assert ward.guard.memory() == replace(life.memory)

    run_virtual(work, start=50.0)
