"""How instances ended, where the runtime knows: exit code, killed for its memory, and what else it says."""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from agent.engine.events import Event
from agent.engine.worker import told_to_leave

if TYPE_CHECKING:
    from agent.engine.guard import Guard

NEWS: Final = frozenset({"instance.new", "instance.gone"})
"""The events after which the runtime is asked."""

DEADLINE_SECONDS: Final = 10.0

log = logging.getLogger(__name__)


class Endings:
    """A listener of the Bus that leaves what the runtime tells with the guard, and tells it once."""

    def __init__(self, guard_of: Callable[[str], "Guard | None"]) -> None:
        self._guard_of = guard_of
        self._asking: dict[str, asyncio.Task[None]] = {}

    def tell(self, event: Event) -> None:
        guard = self._guard_of(event.container) if event.name in NEWS else None
        if guard is None or not hasattr(guard.container.spec.runtime, "ended"):
            return
        before = self._asking.get(event.container)
        if before is None or before.done():
            task = asyncio.get_running_loop().create_task(self._ask(guard), name=f"ended {event.container}")
            self._asking[event.container] = task

    async def close(self) -> None:
        for task in self._asking.values():
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    async def _ask(self, guard: "Guard") -> None:
        name = guard.container.spec.name
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                found = await guard.container.spec.runtime.ended()
        except (Exception, asyncio.CancelledError) as problem:
            if told_to_leave():
                raise
            log.info("runtime.no_ending", extra={"container": name, "detail": f"{type(problem).__name__}: {problem}"})
            return
        if found is None or (guard.ended is not None and guard.ended.identity == found.identity):
            return
        guard.ended = found
        fields = {"to": "ended", "exit_code": found.exit_code, "oom": found.oom}
        level = "info" if found.exit_code == 0 and not found.oom else "warning"
        guard.tell("instance.ended", fields, level=level, detail=found.detail)
