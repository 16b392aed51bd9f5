"""Guards one container: its workers, its remedy and the watch for new instances, and what the endpoints read of it."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec

from agent.actions import Order
from agent.core import instance as signs
from agent.core.instance import Asks, Edge
from agent.core.model import CheckType, Published, Result, failure
from agent.core.settings import Container as Spec
from agent.core.verdict import ContainerView, Standing, State, level, state, why
from agent.engine.cause import cause_of
from agent.engine.container import Container, Sentence, Slot
from agent.engine.dependencies import Dependencies
from agent.engine.drain import Drain
from agent.engine.edges import Edges
from agent.engine.events import Bus, Event
from agent.engine.evidence import evidence_of
from agent.engine.hooks import HookRunner
from agent.engine.maintenance import Maintenance
from agent.engine.operator import Operator
from agent.engine.pulse import Pulse
from agent.engine.recall import memory_of, settle, take_up
from agent.engine.remedy import Remedy
from agent.engine.shown import history_of, view_of
from agent.engine.statefile import Memory
from agent.engine.stats import ContainerStats, Histogram, bump
from agent.engine.watch import Sign, Watch, liveness_address
from agent.engine.workers import Workers, target_of, where
from agent.runtimes import Ended

TICK_SECONDS = 1.0
IDENTIFY_EVERY_SECONDS = 5.0  # outside a hold, the runtime is asked so often whether it runs another instance
REMEMBER_EVERY_SECONDS = 60.0  # how much of what a container was spared a crash of the agent may cost


class Guard:
    """One container, guarded. It is the container's `Life` and the remedy's `Surroundings`."""

    def __init__(
        self,
        spec: Spec,
        *,
        bus: Bus,
        pulse: Pulse,
        lateness: Histogram,
        clock: Callable[[], float],
        save: Callable[[], Any],
        leave: Callable[[int], None],
        redact: Callable[[str], str],
        remembers: Callable[[], bool] = lambda: True,
    ) -> None:
        self.clock = clock
        self.bus, self.pulse, self.lateness = bus, pulse, lateness
        self.save, self.leave, self.redact, self._remembers = save, leave, redact, remembers
        self.agent_started_at = clock()
        self.container = Container(spec, self)
        self.watch = Watch(spec.name, liveness_address(spec), spec.runtime)
        self.hooks = HookRunner(spec.name, redact)
        self.stats = ContainerStats()
        self.drain = Drain(self.container, clock, self._on_drain)
        self.maintenance = Maintenance(spec.name, spec.restart.maintenance_file, clock, self._on_maintenance)
        self.dependencies = Dependencies(spec, pulse=pulse, lateness=lateness, tell=self.tell, now=clock())
        self.workers = Workers(spec.name, self.container, pulse=pulse, lateness=lateness, on_result=self._on_result)
        self.remedy = Remedy(self)
        self.operator = Operator(self)
        self.ended: Ended | None = None  # the last instance that did, and how
        self.asks = Asks()
        self.healthy_since: float | None = None
        self._started_at: float | None = None
        self._ready_instance = 0  # the last instance that became ready
        self._state: State | None = None
        self._public: dict[CheckType, Published] = {}  # each type's value, as last told
        self._begun = self._unsaved = False
        self.settled = False  # what an earlier process left is taken up: from now on there is more to remember
        self._tasks: list[asyncio.Task[None]] = []
        self._edges = Edges(self)

    # -- its life ---------------------------------------------------------------------------------------------------

    async def begin(self, memory: Memory | None) -> None:
        """Take up what an earlier process left, and begin the first instance. Bounded by the runtime's deadline."""
        now = self.clock()
        self.watch.known = known = await self.watch.identify()
        hold = None if memory is None else take_up(self, memory, known)
        self.container.running = hold is None
        self.container.begin(now, known.started_at if known else None)
        self._begun = True
        if memory is not None and memory.maintenance_file and self.container.spec.restart.maintenance_file:
            self.maintenance.found(file=True)  # where that can't be told now, it is as it was
        await self.maintenance.look()
        if memory is not None:
            settle(self, memory, known, hold)
        self.settled = True
        self._tasks.append(asyncio.create_task(self._tick(), name=f"tick {self.container.spec.name}"))

    def work(self, stagger: Callable[[Slot], float]) -> None:
        """Start a worker for each check, ``stagger`` seconds from now."""
        for slot in self.dependencies.slots:  # first: what holds a kill back should know when that is decided
            self.dependencies.employ(slot, stagger(slot))
        for slot in self.container.slots:
            self._employ(slot, stagger(slot))

    def healthy(self) -> list[str]:
        """Workers and tasks that have died, by name; none ever should."""
        tasks = [*self._tasks, *self.workers.tasks(), *self.dependencies.tasks()]
        return [task.get_name() for task in tasks if task.done()]

    async def stop_checks(self) -> None:
        """The agent's own termination: liveness and startup checks stop and publish nothing more; readiness goes on.

        A running action is finished (see `close`); none begins any more.
        """
        self.remedy.acting.leaving = True
        await self.workers.dismiss([s for s in self.workers.slots if s.check.type is not CheckType.READINESS])

    async def close(self) -> None:
        """Finish a running action, then stop everything."""
        await self.remedy.stop()
        await self.workers.dismiss(self.workers.slots)
        await self.dependencies.close()
        await self.drain.close()
        for task in [*self._tasks, *self._edges.tasks()]:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self.hooks.close(2.0)

    async def replace(self, spec: Spec) -> None:
        """Take another definition over, at once; unchanged checks keep their workers (contract 3, reload)."""
        if spec.runtime != self.container.spec.runtime or liveness_address(spec) != self.watch.address:
            self.watch.runtime, self.watch.address = spec.runtime, liveness_address(spec)
            self.watch.known = await self.watch.identify()
        moved = where(spec) != where(self.container.spec)
        fresh = self.container.replace(spec, self.clock())
        kept = [s for s in self.container.slots if s not in fresh]
        await self.workers.dismiss([s for s in self.workers.slots if s not in kept or moved])
        for slot in self.container.slots:
            if slot not in self.workers and not self.remedy.acting.leaving:
                self._employ(slot, 0.0)
        await self.dependencies.replace(spec)
        self.maintenance.file = spec.restart.maintenance_file
        await self.maintenance.look()
        self.remedy.reconsider()
        self._changed()

    @property
    def remembers(self) -> bool:
        return self._remembers()

    def memory(self) -> Memory:
        """What the next process should know."""
        return memory_of(self)

    async def evidence(self, order: Order) -> str:
        """The folder of what can be seen of an instance that is about to go; "" where none is configured."""
        return await evidence_of(self, order)

    def _employ(self, slot: Slot, delay: float) -> None:
        self.workers.employ(slot, target_of(self.container.spec, slot.check, self.container.seen), delay)

    async def _tick(self) -> None:
        """Once a second: what ends by itself, changes of the state, what is to be remembered, the runtime."""
        asked_at = saved_at = self.clock()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = self.clock()
            self.remedy.ledger.tick(now, 0.0 if self.healthy_since is None else now - self.healthy_since)
            await self.maintenance.tick()
            self._note_state()
            past = self.remedy.ledger.past
            if past.take_news() or self._unsaved or (past.open and now - saved_at >= REMEMBER_EVERY_SECONDS):
                saved_at, self._unsaved = now, False
                await self.save()
            if now - asked_at >= IDENTIFY_EVERY_SECONDS and not self.remedy.busy:
                asked_at = now
                await self.ask_runtime()

    async def ask_runtime(self) -> None:
        """Whether it runs another instance, or none any more."""
        absent = self.watch.absent
        sign = await self.watch.another()
        if self.watch.absent and not absent:
            self.tell("instance.gone", {"to": "gone"})
        if sign is None:
            return
        if not sign.first:
            self.seen(sign)
        elif sign.started_at is not None and not self.remedy.busy:
            self.container.started_at = sign.started_at  # what delays count from, where it is known

    # -- signs of a new instance -------------------------------------------------------------------------------------

    def seen(self, sign: Sign) -> None:
        """A new instance: told to the kill under way, which then ends, or taken over at once."""
        if self.remedy.busy:
            self.remedy.signed(sign)
        else:
            self.renew(sign)

    def renew(self, sign: Sign) -> None:
        now = self.clock()
        self.asks = signs.of_new_instance(self.asks, asking=sign.kind == "kubelet")
        self.watch.edge = Edge()
        self.remedy.ledger.renewed()
        self.tell("instance.new", {"to": "instance", "instance": self.container.instance + 1, "sign": sign.kind})
        if sign.kind != "runtime":
            self.watch.known = None  # whom the runtime names next is this instance, not another one
        self.container.new_instance(now, sign.started_at)
        self._started_at = now if self.container.started else None
        self.drain.end("new instance")
        self._changed()

    def asked_startup(self) -> bool:
        """The kubelet asks /startupz/NAME. True: this shows a new instance, and this very request is answered 503."""
        now = self.clock()
        container = self.container
        held = self.remedy.busy and not self.remedy.cause.startswith(CheckType.STARTUP)
        started_for = now - self._started_at if container.started and self._started_at is not None else None
        self.asks, another = signs.asked(self.asks, now, started_for=started_for, held=held)
        if another:
            self.seen(Sign("kubelet"))
        return another

    def _on_result(self, slot: Slot, result: Result) -> None:
        self.remedy.ledger.past.observe(slot, result)
        self._edges.note(slot, result)

    # -- what the container tells (Life) -------------------------------------------------------------------------------

    def on_published(self, kind: CheckType, value: Published, slot: Slot, now: float, *, initial: bool) -> None:  # noqa: ARG002 - Life's
        before, self._public[kind] = self._public.get(kind), value
        if initial and before in (None, value):
            return self._changed()  # where a check stands before it has looked is no news
        bump(self.stats.transitions, (str(kind), str(value)))
        initial = initial or value is Published.UNKNOWN  # which no round ever finds
        last = slot.last if slot.last and self.container.running else failure("gone")  # nothing looked
        reason = {} if initial else {"reason": last.reason}
        fields = {"type": str(kind), "check": slot.check.name, "to": str(value), **reason}
        level = "warning" if value is Published.FAILURE and not initial else "info"
        self.tell(f"{kind}.{value.lower()}", fields, level=level, detail="" if initial else last.detail)
        hook = self.container.spec.restart.hooks.on_transition
        cause = cause_of(self.container, slot)
        cause = msgspec.structs.replace(cause, reason="" if initial else last.reason)
        self.hooks.tell(hook, self.remedy.ledger.order("on_transition", cause))
        return self._changed()

    def on_status(self, name: str, value: bool, now: float) -> None:
        if name == "started":
            self._started_at = now if value else None
            self._unsaved = True  # an agent that is killed must not take a started server for a loading one
        elif value and self._ready_instance != self.container.instance:
            self._ready_instance = self.container.instance
            self.stats.time_to_ready = now - self.container.started_at
        left_alone = name == "ready" and value and self.remedy.ledger.given_up
        if (value or self._begun) and not left_alone:  # before the first instance, false is no news
            self.tell(f"container.{name}" if value else f"container.not_{name}", {"type": name, "to": value})
        self._changed()

    def on_trigger(self, slot: Slot, now: float) -> None:  # noqa: ARG002 - Life's
        self.workers.trigger([slot])

    def sentence(self, slot: Slot, now: float) -> Sentence:
        return self.remedy.sentence(slot, now)

    def on_kill(self, slot: Slot | None, now: float) -> None:  # noqa: ARG002 - Life's
        self._edges.stop()
        self.remedy.begin(slot)
        self._changed()

    def on_also(self, slot: Slot, now: float) -> None:  # noqa: ARG002 - Life's
        self.remedy.also(slot)

    def on_recovered(self, now: float) -> None:  # noqa: ARG002 - Life's
        self.remedy.ledger.no_longer_wanted()
        self.remedy.signed(None)

    # -- what an operator has it do -----------------------------------------------------------------------------------

    def _on_drain(self, how: str) -> None:
        self.tell("restart.drain", {"step": "drain", "by": "operator", "how": how, "seconds": self.drain.left})

    def _on_maintenance(self, stands: bool) -> None:
        upkeep = self.maintenance.upkeep
        fields = {"type": "maintenance", "to": stands, "ready": upkeep.ready, "file": upkeep.file}
        self.tell("maintenance.began" if stands else "maintenance.ended", fields)
        if stands:
            self.remedy.stand_down()
        self._changed()

    # -- what is told, and shown --------------------------------------------------------------------------------------

    def tell(self, name: str, fields: dict[str, Any], *, level: str = "info", detail: str = "") -> None:
        kind = "restart" if name.startswith("restart.") else "state" if name.startswith("state") else "transition"
        event = Event(
            kind=kind, name=name, time=time.time(), container=self.container.spec.name,  # type: ignore[arg-type]
            fields=fields, detail=self.redact(detail), level=level,  # type: ignore[arg-type]
        )  # fmt: skip
        self.bus.tell(event)
        if kind == "restart":
            self._note_state()

    def _changed(self) -> None:
        """Keep `healthy_since` and the state in step with what just happened."""
        container = self.container
        healthy = container.running and container.started and not container.is_asked and not self._failing()
        if not healthy:
            self.healthy_since = None
        elif self.healthy_since is None:
            self.healthy_since = self.clock()
        self._note_state()

    def _failing(self) -> bool:
        return any(
            slot.check.type is CheckType.LIVENESS and self.container.published(slot) is Published.FAILURE
            for slot in self.container.slots
        )

    def _note_state(self) -> None:
        view = self.view()
        now = state(view)
        if now != self._state:
            before, self._state = self._state, now
            self.tell("state", {"from": before, "to": now}, level=level(before, now), detail=why(view, now))

    def standing(self) -> Standing:
        """As much of `view` as a yes or no takes."""
        requested = self.remedy.requested and not self.maintenance.stands()
        phase = self.remedy.phase
        ready = self.container.ready and not phase and not self.maintenance.hides()
        return Standing(self.container.started, ready, requested, phase)

    def is_ready(self) -> bool:
        """The engine's own answer, an operator's word included."""
        return self.standing().ready

    def view(self) -> ContainerView:
        """The container as the endpoints see it."""
        return view_of(self)

    def history(self) -> dict[str, list[dict[str, Any]]]:
        """The last results of each check, oldest first."""
        return history_of(self.container, self.redact)
