"""The workers of a set of checks: each at its task, added and dismissed as the configuration says."""

import asyncio
from collections.abc import Callable, Collection, Iterable
from typing import Any

from agent.core.model import Check, Result, Target
from agent.core.settings import Container as Spec
from agent.engine.container import Slot
from agent.engine.pulse import Pulse
from agent.engine.stats import Histogram
from agent.engine.worker import Judge, Worker


class Workers:
    """One worker a check; what its rounds find goes to ``judge``, and each result to ``on_result``."""

    def __init__(
        self, name: str, judge: Judge, *, pulse: Pulse, lateness: Histogram, on_result: Callable[[Slot, Result], None]
    ) -> None:
        self.name = name
        self.judge = judge
        self.pulse, self.lateness, self.on_result = pulse, lateness, on_result
        self._at_work: dict[Slot, tuple[Worker, asyncio.Task[None]]] = {}

    def __contains__(self, slot: Slot) -> bool:
        return slot in self._at_work

    @property
    def slots(self) -> tuple[Slot, ...]:
        return tuple(self._at_work)

    def employ(self, slot: Slot, target: Target, delay: float) -> None:
        """Have this check looked at from ``delay`` seconds on."""
        worker = Worker(slot, self.judge, target, pulse=self.pulse, lateness=self.lateness, on_result=self.on_result)
        task = asyncio.create_task(worker.run(delay), name=f"worker {self.name}/{slot.path}")
        self._at_work[slot] = (worker, task)

    async def dismiss(self, slots: Collection[Slot]) -> None:
        tasks = [self._at_work.pop(slot)[1] for slot in slots]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def trigger(self, slots: Iterable[Slot]) -> None:
        """A round of each at once, its next beat a period away."""
        for slot in slots:
            if slot in self._at_work:
                self._at_work[slot][0].trigger()

    def tasks(self) -> list["asyncio.Task[Any]"]:
        return [task for _, task in self._at_work.values()]


def target_of(spec: Spec, check: Check, seen: dict[str, Any]) -> Target:
    """Where a check of this container looks."""
    return Target(
        spec.name, spec.host, spec.port, spec.ports,
        timeout=check.timeout_seconds, runtime=spec.runtime, seen=seen, check=f"{check.type}/{check.name}",
    )  # fmt: skip


def where(spec: Spec) -> tuple[Any, ...]:
    """What a worker's target is made of, besides its check."""
    return (spec.host, spec.port, spec.ports, spec.runtime)
