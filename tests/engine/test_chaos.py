"""Hundreds of random lives in virtual time: whatever happens, an agent keeps its promises."""

import asyncio
import random
from typing import Any

import pytest
from msgspec.structs import replace

from agent.core.settings import Backoff, Budget, Drain
from agent.engine.statefile import Memory
from tests.engine.scripted import ADDRESS, Acts, Look, Server, Ward, check, container, fails
from tests.virtual import run_virtual, virtual_loop

LIVES = 150
HORIZON = 500.0  # seconds of each life
WINDOW, BUDGET, ASSUMED, ACTION_LIMIT = 300.0, 4, 60.0, 20.0


class Life:
    """One server, the processes of one agent after each other, and everything that can befall them."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)  # noqa: S311 - the same lives each time
        self.server = Server()
        self.action = Acts(self.outcome_of_an_action, takes=0.0, holds=self.dice.random() < 0.8)
        self.known = self.dice.random() < 0.5  # whether a runtime tells instances apart
        self.never = self.dice.random() < 0.1
        self.memory: Memory | None = None
        self.resumed = 0.0  # when this process took up a hold
        self.ward: Ward
        self.kills: list[tuple[float, str, bool]] = []  # when, of which type, and whether it was started

    # -- what the world does

    def outcome_of_an_action(self) -> None:
        self.action.takes = self.dice.choice([0.0, 0.0, 3.0, 15.0, 40.0])  # of the next one; 40: past its deadline
        fate = self.dice.random()
        if fate < 0.25:
            fails()
        if fate < 0.75:
            self.server.restart_in(self.dice.uniform(0.3, 40), self.dice.choice("sssf"))

    def befall(self) -> None:
        """Something happens to the server, or the kubelet asks."""
        what = self.dice.random()
        if what < 0.45:
            self.server.letter = self.dice.choice("sfu")
        elif what < 0.6:
            self.server.letter = "s"
        elif what < 0.75 and self.server.up:
            self.server.restart_in(self.dice.uniform(0.1, 30), self.dice.choice("ssf"))
        elif what < 0.85:
            self.server.broken_runtime = not self.server.broken_runtime
        else:
            self.ward.guard.asked_startup()

    # -- one process of the agent after the other

    def spec(self) -> Any:
        look = Look(self.server)
        return container(
            check("startup", look, period_seconds=2, failure_threshold=20),
            check("readiness", look, period_seconds=3),
            check("liveness", look, period_seconds=5, failure_threshold=2),
            action=self.action, action_name="scripted" if self.action.holds else "none",
            port=ADDRESS[1], runtime=self.server if self.known else None,
            policy="Never" if self.never else "Always",
            drain=Drain(max_seconds=5.0 if self.known else 0.0), backoff=Backoff(initial_seconds=2, max_seconds=20),
            budget=Budget(restarts=BUDGET, window_seconds=WINDOW), assume_restarted_seconds=ASSUMED,
            action_timeout_seconds=ACTION_LIMIT, grace_period_seconds=0,
        )  # fmt: skip

    async def live(self) -> None:
        loop = virtual_loop()
        loop.network.open.add(ADDRESS)
        while loop.time() < HORIZON:
            await self.one_process(loop.time() + self.dice.expovariate(1 / 400))

    async def one_process(self, until: float) -> None:
        loop = virtual_loop()
        ward = self.ward = Ward(self.spec())
        await ward.guard.begin(self.memory)
        self.check_memory(ward)
        self.resumed = loop.time() if ward.guard.remedy.hold is not None else 0.0
        guard, life = ward.guard, ward.guard.on_kill

        def noted(slot: Any, now: float) -> None:
            self.kills.append((now, str(slot.check.type), guard.container.ever_started))
            life(slot, now)

        guard.on_kill = noted  # type: ignore[method-assign]
        guard.work(lambda slot: 0.002 * guard.container.slots.index(slot))
        while loop.time() < min(until, HORIZON):
            await asyncio.sleep(self.dice.expovariate(1 / 12))
            self.befall()
            self.watch(ward)
        assert guard.healthy() == [], "no worker dies"
        if self.dice.random() < 0.5:
            await self.crash(ward)
        else:
            await guard.stop_checks()
            await guard.close()
            self.memory = guard.memory()

    async def crash(self, ward: Ward) -> None:
        """The agent is killed: its action with it, and only what was saved is left."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if ward.saved:
            self.memory = ward.saved[-1]

    # -- what must hold

    def check_memory(self, ward: Ward) -> None:
        if self.memory is None:
            return
        now = ward.guard.memory()
        for field in ("spent", "given_up_at", "backoff_delay", "backoff_since"):
            assert getattr(now, field) == getattr(self.memory, field), field
        if now.identity == self.memory.identity:
            assert now.instance == self.memory.instance
            hold = self.memory.hold
            seen = self.known and self.server.up and not self.server.broken_runtime
            if hold is not None and hold.acted_at is None and seen:
                assert now.hold is None, "it runs still, and nobody saw the action's end: decided anew"
            else:
                assert now.hold == hold
        if now.started:
            assert self.memory.started or now.hold is None

    def watch(self, ward: Ward) -> None:
        """Looked at whenever something happened."""
        view, now = ward.view, virtual_loop().time()
        hold = ward.guard.remedy.hold
        if hold is not None:
            if hold.acted_at is None:
                assert self.action.running or self.resumed, "the action is running, or its end was not seen"
            since = max(self.resumed, hold.since) if hold.acted_at is None else hold.acted_at
            assert self.never or now - since <= ASSUMED + 1, "no hold lasts for ever"
            assert not view.running, "held: nothing is probed"
        assert not (view.ready and not view.started), "ready implies started"
        assert not (view.phase and view.ready), "who is drained, restarted, held or given up is not ready"
        assert view.running or not view.started
        if view.phase == "given_up":
            assert not view.requested, "given up: nothing is asked for"
        assert 0 <= view.budget_remaining <= BUDGET

    def verdict(self) -> None:
        """Looked at in the end."""
        assert self.action.most_at_once <= 1, "one action at a time"
        for first in self.action.begun:
            assert sum(first <= t < first + WINDOW for t in self.action.begun) <= BUDGET, "never more than the budget"
        for begun, ended in zip(self.action.begun, self.action.ended, strict=False):
            assert ended - begun <= ACTION_LIMIT + 0.001, "an action is ended at its deadline"
        for _, kind, started in self.kills:
            assert started or kind == "startup", "liveness kills only what has started"


@pytest.mark.parametrize("block", range(6))
def test_an_agent_keeps_its_promises_in_any_life(block: int) -> None:
    """Outcomes, slow and failing actions, crashes, a dying runtime, a kubelet's questions, the agent's own restarts."""
    for seed in range(block * LIVES // 6, (block + 1) * LIVES // 6):
        life = Life(seed)
        try:
            run_virtual(life.live)
            life.verdict()
        except BaseException as problem:
            problem.add_note(f"life {seed}")
            raise


def test_the_lives_are_eventful() -> None:
    """A chaos test that kills nobody would agree with anything."""
    lives = [Life(seed) for seed in range(12)]
    for life in lives:
        run_virtual(life.live)
    assert sum(len(life.kills) for life in lives) > 30
    assert {kind for life in lives for _, kind, _ in life.kills} == {"liveness", "startup"}
    assert sum(len(life.action.begun) for life in lives) > 30


def test_memory_is_the_same_whenever_it_is_taken_up() -> None:
    """Taken up and put down again at once, a memory does not wear out."""

    async def work() -> None:
        life = Life(7)
        life.memory = Memory(instance=2, identity="run 1", spent=(3.0,), backoff_delay=2.0, backoff_since=4.0)
        life.known = True
        for _ in range(5):
            ward = Ward(life.spec())
            await ward.guard.begin(life.memory)
            await ward.guard.close()
            assert ward.guard.memory() == replace(life.memory)

    run_virtual(work, start=50.0)
