"""Checks of what a container depends on: they hold its restarts back, and are no part of its verdict."""

import asyncio
from typing import Any, Protocol

from agent.core import state as rules
from agent.core.model import Check, Outcome, Published, Result
from agent.core.remembered import Answer, note_answer
from agent.core.settings import Container as Spec
from agent.core.state import ProbeState, Seen
from agent.engine.container import Slot
from agent.engine.pulse import Pulse
from agent.engine.stats import Histogram
from agent.engine.workers import Workers, target_of, where


class Tell(Protocol):
    """Tells an event: a check's published value changed."""

    def __call__(self, name: str, fields: dict[str, Any], *, level: str = "info", detail: str = "") -> None: ...


class Dependencies:
    """The `depends_on` checks of one container, each with a worker of its own, whatever becomes of the container.

    They count as readiness checks do; what has not published yet does not fail.
    """

    def __init__(self, spec: Spec, *, pulse: Pulse, lateness: Histogram, tell: Tell, now: float) -> None:
        self.spec = spec
        self.tell = tell
        self.slots = [_slot(check) for check in spec.restart.depends_on]
        self._begun = now
        self.seen: dict[str, Any] = {}
        self._workers = Workers(f"{spec.name}/depends_on", self, pulse=pulse, lateness=lateness, on_result=_unheard)

    def failing(self) -> list[str]:
        """Names of those that have published Failure."""
        return [slot.check.name for slot in self.slots if slot.state.published is Published.FAILURE]

    def employ(self, slot: Slot, delay: float) -> None:
        """Start the worker of a check, ``delay`` seconds from now."""
        self._workers.employ(slot, target_of(self.spec, slot.check, self.seen), delay)

    async def replace(self, spec: Spec) -> None:
        """Take another definition over; an unchanged check goes on, a changed one begins anew."""
        old = {slot.check.name: slot for slot in self.slots} if where(spec) == where(self.spec) else {}
        slots = []
        for check in spec.restart.depends_on:
            slot = old.get(check.name)
            slots.append(slot if slot is not None and slot.check == check else _slot(check))
        self.spec, self.slots = spec, slots
        await self._workers.dismiss([slot for slot in self._workers.slots if slot not in slots])
        for slot in slots:
            if slot not in self._workers:
                self.employ(slot, 0.0)

    async def close(self) -> None:
        await self._workers.dismiss(self._workers.slots)

    def tasks(self) -> list["asyncio.Task[Any]"]:
        return self._workers.tasks()

    # -- what the workers ask (Judge): something that runs and has started, always ----------------------------------

    def view(self, now: float) -> Seen:
        return Seen(1, True, True, now - self._begun)

    def enter(self, slot: Slot, seen: Seen, now: float) -> bool:  # noqa: ARG002 - the judge's
        slot.state, probe = rules.enter(slot.check, slot.state, seen)
        return probe

    def remember(self, slot: Slot, seen: Seen, result: Result, now: float) -> None:  # noqa: ARG002 - the judge's
        note_answer(self.seen, slot.path, Answer(slot.check.method, result, now))

    def finish(self, slot: Slot, seen: Seen, outcome: Outcome, now: float) -> None:  # noqa: ARG002 - the judge's
        before = slot.state.published
        slot.state = rules.finish(slot.check, slot.state, outcome).state
        value = slot.state.published
        if value is not before and value is not None and not (before is None and value is Published.SUCCESS):
            last = slot.last or Result(outcome, "internal")
            fields = {"type": "depends_on", "check": slot.check.name, "to": str(value), "reason": last.reason}
            level = "warning" if value is Published.FAILURE else "info"
            self.tell(f"depends_on.{value.lower()}", fields, level=level, detail=last.detail)


def _slot(check: Check) -> Slot:
    """Nothing is published until a threshold is reached: what was not looked at does not fail."""
    slot = Slot(check)
    slot.state = ProbeState(instance=1)
    return slot


def _unheard(slot: Slot, result: Result) -> None:
    """What a round found is in its slot."""
