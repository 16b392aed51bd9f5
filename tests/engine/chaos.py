"""Random lives in virtual time: a server, the processes of one agent after each other, and all that can befall them."""

import asyncio
import random
from collections import Counter
from collections.abc import Coroutine
from typing import Any, Final

from msgspec.structs import replace

from agent.actions import Order
from agent.core import spared
from agent.core.settings import Backoff, Budget, Container, Drain, Escalation, Hooks
from agent.core.verdict import BEFORE_ACTION
from agent.engine.cause import Cause
from agent.engine.container import Slot
from agent.engine.statefile import Memory
from tests.engine.scripted import ADDRESS, Acts, Gauged, Look, Server, Ward, check, container, fails
from tests.virtual import virtual_loop

HORIZON: Final = 400.0  # seconds of each life
WINDOW, BUDGET, ASSUMED, ACTION_LIMIT = 300.0, 4, 60.0, 20.0
BACKOFF_MAX, DRAIN_MAX, EVIDENCE_MAX, HOOK_MAX, CORRELATED_MAX = 20.0, 15.0, 4.0, 30.0, 40.0
LIVENESS_PERIOD = 5.0
LONGEST: Final = {
    "drain": DRAIN_MAX, "evidence": EVIDENCE_MAX + 1, "pre_restart": HOOK_MAX + 6, "action": ACTION_LIMIT + 6,
    "retry": BACKOFF_MAX, "gone": ASSUMED, "hold": ASSUMED, "post_restart": HOOK_MAX,
}  # fmt: skip
"""Seconds that a step may take, with what the runtime and the disk may take before it."""

SLACK: Final = 4.0  # between two looks of a life at itself, and a stall's end


class Dead(Exception):  # noqa: N818 - it is how a process ends here
    """The process was killed at this very point."""


class World:
    """What the actions of all processes have in common: how many run at once, and when each began and why."""

    def __init__(self, life: "Life") -> None:
        self.life = life
        self.running = 0
        self.most_at_once = 0
        self.begun: list[tuple[float, str]] = []  # when, and for which reason
        self.longest = 0.0


class Deed(Acts):
    """An action with a fate of its own each time."""

    def __init__(self, world: World, *, holds: bool = True, interrupts: bool = True) -> None:
        super().__init__(holds=holds)
        self.world = world
        self.interrupts = interrupts

    async def act(self, order: Order) -> None:
        world, life = self.world, self.world.life
        await life.ward.unless_dead()
        life.check_begin(order)
        begun = virtual_loop().time()
        world.begun.append((begun, order.reason))
        world.running += 1
        world.most_at_once = max(world.most_at_once, world.running)
        try:
            await asyncio.sleep(life.dice.choice([0.0, 0.0, 3.0, 15.0, 40.0]))  # 40: past its deadline
            if self.holds:
                life.outcome_of_an_action()
        finally:
            world.running -= 1
            world.longest = max(world.longest, virtual_loop().time() - begun)


class Process(Ward):
    """One process of the agent; it may be killed at a step, and before or after a write of its state."""

    def __init__(self, spec: Container, life: "Life") -> None:
        super().__init__(spec)
        self.life = life
        self.dead = asyncio.Event()
        dice = life.dice
        self.dies_at_event = dice.randint(1, 25) if dice.random() < 0.4 else 0
        self.dies_at_save = dice.randint(1, 8) if dice.random() < 0.3 else 0
        self.written: Memory | None = None
        self.steps_told = self.saves = 0
        self.guard.evidence = self.gather  # type: ignore[method-assign]
        self.guard.bus.subscribe(self.heard)

    def heard(self, event: Any) -> None:
        if event.kind == "restart":
            self.life.events[event.name] += 1
            self.steps_told += 1
            if self.steps_told == self.dies_at_event:
                self.dead.set()

    async def gather(self, order: Order) -> str:
        await asyncio.sleep(self.life.dice.choice([0.0, 1.0, 100.0]))
        return "/evidence"

    async def _save(self) -> None:
        self.saves += 1
        if self.saves == self.dies_at_save and self.life.dice.random() < 0.5:
            self.dead.set()
        await asyncio.sleep(0)
        await self.unless_dead()
        self.written = self.guard.memory()
        if self.saves == self.dies_at_save:
            self.dead.set()
        await self.unless_dead()

    async def unless_dead(self) -> None:
        """Who is killed does nothing more, until all of it is cleared away."""
        if self.dead.is_set():
            await asyncio.Event().wait()


class Life:
    """Told by its seed: the same one each time."""

    def __init__(self, seed: int) -> None:
        self.dice = dice = random.Random(seed)  # noqa: S311
        self.server = Server()
        self.elsewhere = Server()
        self.world = World(self)
        self.events: Counter[str] = Counter()
        self.known = dice.random() < 0.5  # whether a runtime tells instances apart
        self.never = dice.random() < 0.1
        self.beats = dice.random() < 0.2  # whether the agent's pulse beats, which stalls need
        self.memory: Memory | None = None
        self.forgiven: list[float] = []  # when an operator left given up
        self.kills: list[tuple[float, str, bool]] = []  # when, because of what, and whether it was started
        self.processes = self.crashes = self.orders = 0
        self.resumed = 0.0  # when this process took up a hold
        self.entered: tuple[Any, float] = (None, 0.0)  # the step, and since when
        self.base = self.rule()
        self.ward: Process

    # -- what the world does

    def outcome_of_an_action(self) -> None:
        fate = self.dice.random()
        if fate < 0.25:
            fails()
        if fate < 0.75:
            self.server.restart_in(self.dice.uniform(0.3, 40), self.dice.choice("sssf"))

    def befall(self) -> None:
        """Something happens to the server, or to what it depends on, or the kubelet asks."""
        dice, what = self.dice, self.dice.random()
        if what < 0.4:
            self.server.letter = dice.choice("sfu")
        elif what < 0.55:
            self.server.letter = "s"
        elif what < 0.68 and self.server.up:
            self.server.restart_in(dice.uniform(0.1, 30), dice.choice("ssf"))
        elif what < 0.76:
            self.server.broken_runtime = not self.server.broken_runtime
        elif what < 0.84:
            self.elsewhere.letter = dice.choice("sf")
        elif what < 0.88:
            self.ward.container.seen["gpu_action_required"] = dice.choice([{}, {"GPU-1": "reset"}])
        elif what < 0.92 and self.beats:
            virtual_loop().block(dice.uniform(0.1, 4))
        else:
            self.ward.guard.asked_startup()

    async def order(self) -> None:
        """An operator says something, or touches the maintenance file."""
        operator, dice, what = self.ward.guard.operator, self.dice, self.dice.random()
        self.orders += 1
        if what < 0.25:
            if self.ward.guard.remedy.ledger.given_up:
                self.forgiven.append(virtual_loop().time())
            await operator.restart()
        elif what < 0.5:
            await operator.maintain(dice.choice([0.0, 10.0, 60.0]), dice.choice(["keep", "false"]))
        elif what < 0.65:
            self.ward.guard.maintenance.found(file=dice.random() < 0.5)
        elif what < 0.85:
            await operator.drain(dice.choice([0.0, 5.0, 50.0]))
        elif what < 0.95:
            if self.ward.guard.remedy.ledger.given_up:
                self.forgiven.append(virtual_loop().time())
            await operator.resume()
        else:
            operator.probe()

    # -- what is configured

    def rule(self) -> dict[str, Any]:
        dice, world = self.dice, self.world
        holds = dice.random() < 0.75
        first = Deed(world, holds=holds)
        steps = [
            Escalation(after=2, action=Deed(world), action_name="kubernetes"),
            Escalation(after=3, action=Deed(world, holds=False, interrupts=False), action_name="notify"),
        ]
        hooks = Hooks(pre_restart=Acts(takes=dice.choice([0.0, 2.0, 100.0])), post_restart=Acts(takes=1.0))
        drain = Drain(max_seconds=dice.choice([0.0, 5.0, DRAIN_MAX]))
        return {
            "action": first,
            "action_name": "scripted" if holds else "none",
            "escalate": tuple(steps[: dice.choice([0, 0, 1, 2])]),
            "hooks": hooks if dice.random() < 0.3 else Hooks(),
            "drain": replace(drain, until_idle=drain.max_seconds > 0 and dice.random() < 0.5),
            "arm_after_seconds": dice.choice([0.0, 0.0, 20.0]),
            "dry_run": dice.random() < 0.05,
            "policy": "Never" if self.never else "Always",
            "evidence_seconds": EVIDENCE_MAX,
            "correlated_hold_seconds": CORRELATED_MAX,
            "depends_on": (check("readiness", Look(self.elsewhere), name="database", period_seconds=4),)
            if dice.random() < 0.3
            else (),
        }

    def spec(self) -> Container:
        look = Look(self.server)
        gauged = Gauged(self.server, gauge=lambda: self.dice.choice([0.0, 0.0, 3.0, None]))
        return container(
            check("startup", look, period_seconds=2, failure_threshold=20),
            check("readiness", look, period_seconds=3),
            check("readiness", gauged, name="progress", period_seconds=7),
            check("liveness", look, period_seconds=LIVENESS_PERIOD, failure_threshold=2),
            port=ADDRESS[1], runtime=self.server if self.known else None,
            backoff=Backoff(initial_seconds=2, max_seconds=BACKOFF_MAX),
            budget=Budget(restarts=BUDGET, window_seconds=WINDOW), assume_restarted_seconds=ASSUMED,
            action_timeout_seconds=ACTION_LIMIT, grace_period_seconds=0, **self.base,
        )  # fmt: skip

    # -- one process of the agent after the other

    async def live(self) -> None:
        loop = virtual_loop()
        loop.network.open.add(ADDRESS)
        while loop.time() < HORIZON:
            await self.one_process(loop.time() + self.dice.expovariate(1 / 300))

    async def one_process(self, until: float) -> None:
        loop = virtual_loop()
        self.processes += 1
        ward = self.ward = Process(self.spec(), self)
        self.entered = (None, loop.time())
        if self.beats:
            ward.pulse.start()
        await ward.guard.begin(self.memory)
        self.check_memory(ward)
        self.resumed = loop.time() if ward.guard.remedy.hold is not None else 0.0
        self.witness(ward)
        ward.guard.work(lambda slot: 0.002 * self.dice.random())
        try:
            while loop.time() < min(until, HORIZON):
                await self.pause(ward)
                if self.dice.random() < 0.2:
                    await self.unless_killed(ward, self.order())
                else:
                    self.befall()
                await self.settled()
                self.watch(ward)
        except Dead:
            await self.crash(ward)
            return
        finally:
            ward.pulse.stop()
        assert ward.guard.healthy() == [], "no worker dies"
        if self.dice.random() < 0.3:
            await self.crash(ward)
        else:
            await ward.guard.stop_checks()
            await ward.guard.close()
            self.memory = ward.guard.memory()
            self.check_end(self.memory)

    async def unless_killed(self, ward: Process, work: Coroutine[Any, Any, None]) -> None:
        """Dead where the process is killed in the middle of it."""
        tasks = [asyncio.create_task(work), asyncio.create_task(ward.dead.wait())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if ward.dead.is_set():
            raise Dead
        tasks[0].result()

    async def pause(self, ward: Process) -> None:
        """A while, looked at every other second; Dead where the process is killed meanwhile."""
        left = self.dice.expovariate(1 / 12)
        while left > 0:
            step = min(2.0, left)
            left -= step
            try:
                async with asyncio.timeout(step):
                    await ward.dead.wait()
            except TimeoutError:
                await self.settled()
                self.watch(ward)
                continue
            raise Dead

    async def settled(self) -> None:
        """Once whatever is due at this instant has happened."""
        for _ in range(25):
            await asyncio.sleep(0)

    def witness(self, ward: Process) -> None:
        """Note each kill and what held then."""
        guard, life = ward.guard, ward.guard.on_kill
        ledger, permits = guard.remedy.ledger, guard.remedy.ledger.permits

        def noted(slot: Slot | None, now: float) -> None:
            self.kills.append((now, "operator" if slot is None else str(slot.check.type), guard.container.ever_started))
            self.check_kill(ward, slot, now)
            life(slot, now)

        def decided(cause: Cause, now: float) -> bool:
            since, permitted = ledger.correlated_since, permits(cause, now)
            if ledger.suppressed == "correlated":
                assert since is None or now - since < CORRELATED_MAX, "held back for at most so long"
            return permitted

        guard.on_kill = noted  # type: ignore[method-assign]
        ledger.permits = decided  # type: ignore[method-assign]

    async def crash(self, ward: Process) -> None:
        """SIGKILL: its actions with it, and only what was written is left."""
        self.crashes += 1
        ward.dead.set()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.memory = ward.written or self.memory

    # -- what must hold

    def check_memory(self, ward: Process) -> None:
        """What a process takes up is what the one before it left."""
        if self.memory is None:
            return
        now, before = ward.guard.memory(), self.memory
        for field in ("spent", "given_up_at", "backoff_delay", "backoff_since", "kills", "killed_at"):
            assert getattr(now, field) == getattr(before, field), field
        assert now.spared == tuple(
            one if one.ended else spared.ended(one, "unknown", one.last) for one in before.spared
        )
        assert (now.maintenance_until, now.maintenance_ready) == (before.maintenance_until, before.maintenance_ready)
        assert len(now.restarts) == len(before.restarts)
        for mine, its in zip(now.restarts, before.restarts, strict=True):
            assert mine == its or not its.outcome, "only what was open is closed"
        if now.identity == before.identity:
            assert now.instance == before.instance
            assert now.drain_until == (
                before.drain_until if (before.drain_until or 0.0) > virtual_loop().time() else None
            )
            seen = self.known and self.server.up and not self.server.broken_runtime
            if before.hold is not None and before.hold.acted_at is None and seen:
                assert now.hold is None, "it runs still, and nobody saw the action's end: decided anew"
            else:
                assert now.hold == before.hold
        if now.started:
            assert before.started or now.hold is None

    def check_end(self, memory: Memory) -> None:
        """An agent that left in order left nothing half done unrecorded."""
        opened = [record for record in memory.restarts if not record.outcome]
        assert len(opened) <= 1
        assert not opened or memory.hold is not None, "what is open is a hold's"
        assert memory.hold is None or memory.hold.acted_at is not None, "no action is in doubt"

    def check_kill(self, ward: Process, slot: Slot | None, now: float) -> None:
        guard = ward.guard
        assert not guard.maintenance.stands(), "in maintenance nothing is done"
        assert not self.base["dry_run"]
        assert guard.remedy.acting.leaving is False
        if slot is None:
            return
        assert not guard.container.seen.get("gpu_action_required")
        assert not guard.pulse.impaired(now)
        assert now - guard.agent_started_at >= self.base["arm_after_seconds"]
        assert not guard.remedy.ledger.given_up

    def check_begin(self, order: Order) -> None:
        assert not self.base["dry_run"], "a dry run does nothing"
        assert not self.ward.dead.is_set() or self.world.running == 0
        if order.reason != "operator":
            assert self.ward.guard.container.spec.restart.budget.restarts > 0

    def watch(self, ward: Process) -> None:
        """Looked at every other second, and after whatever befell."""
        if ward.dead.is_set():
            raise Dead
        guard, view, now = ward.guard, ward.view, virtual_loop().time()
        remedy = guard.remedy
        step = (remedy.step, id(remedy.kill and remedy.kill.record))  # each attempt anew
        if step != self.entered[0]:
            self.entered = (step, now)
        elif remedy.step and not (remedy.kill and remedy.kill.requested and guard.container.is_asked):
            limit = LONGEST[remedy.step] + SLACK
            assert now - self.entered[1] <= limit, f"{remedy.step} lasts for {now - self.entered[1]:.1f} s"
        self.watch_hold(ward, now)
        assert not (view.ready and not view.started), "ready implies started"
        assert not (view.phase and view.ready), "who is drained, restarted, held or given up is not ready"
        assert view.running or not view.started
        assert not (view.maintenance and view.requested), "in maintenance nothing is asked for"
        if view.phase == "given_up":
            assert not view.requested, "given up: nothing is asked for"
        assert 0 <= view.budget_remaining <= BUDGET
        assert sum(not record.outcome for record in view.restarts) <= 1, "one at a time"
        standing = guard.standing()
        assert (standing.ready, standing.requested, standing.phase) == (view.ready, view.requested, view.phase)

    def watch_hold(self, ward: Process, now: float) -> None:
        hold, remedy = ward.guard.remedy.hold, ward.guard.remedy
        if hold is None:
            return
        if hold.acted_at is None:
            assert self.world.running or self.resumed or remedy.step in BEFORE_ACTION | {"retry"}
        since = max(self.resumed, hold.since) if hold.acted_at is None else hold.acted_at
        assert self.never or now - since <= ASSUMED + ACTION_LIMIT + SLACK, "no hold lasts for ever"
        assert not ward.view.running, "held: nothing is probed"

    def verdict(self) -> None:
        """Looked at in the end."""
        world = self.world
        assert world.most_at_once <= 1, "one action at a time"
        own = [when for when, reason in world.begun if reason != "operator"]
        for first in own:
            end = min((t for t in self.forgiven if t > first), default=first + WINDOW)
            count = sum(first <= t < min(end, first + WINDOW) for t in own)
            assert count <= BUDGET, "never more than the budget"
        stall = SLACK if self.beats else 0.001
        assert world.longest <= ACTION_LIMIT + stall, "an action is ended at its deadline"
        for _, kind, started in self.kills:
            assert started or kind != "liveness", "liveness kills only what has started"
