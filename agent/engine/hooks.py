"""Tells a container's hooks of its events: in order, bounded in time and number, and never in the way."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from agent.actions import Order
from agent.engine.worker import told_to_leave

WAITING_AT_MOST: Final = 100
DEADLINE_SECONDS: Final = 30.0

log = logging.getLogger(__name__)


class HookRunner:
    """Runs one container's hooks one after another; what would wait behind a hundred others is dropped and told."""

    def __init__(self, container: str, redact: Callable[[str], str]) -> None:
        self.container = container
        self.redact = redact
        self._waiting: asyncio.Queue[tuple[Any, Order]] = asyncio.Queue(WAITING_AT_MOST)
        self._task: asyncio.Task[None] | None = None

    def tell(self, hook: Any, order: Order) -> None:
        """Run ``hook`` when its turn comes; None is no hook."""
        if hook is None:
            return
        try:
            self._waiting.put_nowait((hook, order))
        except asyncio.QueueFull:
            log.warning("hook.dropped", extra={"container": self.container, "hook": order.type})
            return
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work(), name=f"hooks {self.container}")

    async def run(self, hook: Any, order: Order) -> None:
        """Run ``hook`` now; it has no veto, so a failure is only told."""
        if hook is None:
            return
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await hook.act(order)
        except (Exception, asyncio.CancelledError) as problem:
            if told_to_leave():
                raise
            text = self.redact(f"{type(problem).__name__}: {problem}")
            log.warning("hook.failed", extra={"container": self.container, "hook": order.type, "detail": text})

    async def close(self, seconds: float) -> None:
        """Give what waits at most so long, then drop it."""
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task], timeout=seconds)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self) -> None:
        while not self._waiting.empty():
            await self.run(*self._waiting.get_nowait())
