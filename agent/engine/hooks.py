"""Tells a container's hooks of its events: in order, bounded, never in the way, and again where nobody took it.

Each kind of event has a lane of its own, so that a receiver of transitions which hangs does not hold back the word that
nobody acts any more.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from agent.actions import ActionError, Order
from agent.engine.tasks import finish
from agent.engine.worker import told_to_leave

WAITING_AT_MOST: Final = 100  # of one lane; the oldest is dropped for the newest
DEADLINE_SECONDS: Final = 30.0  # of one attempt
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 60.0
KEPT_SECONDS: Final = 900.0  # an event that nobody took for so long is dropped

log = logging.getLogger(__name__)


def pause_after(failures: int) -> float:
    """Seconds until what has failed so often in a row is tried again: 1, 2, 4, ... 60."""
    return min(FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 30), LONGEST_PAUSE_SECONDS)


class HookRunner:
    """Runs one container's hooks."""

    def __init__(self, container: str, redact: Callable[[str], str]) -> None:
        self.container = container
        self.redact = redact
        self._lanes: dict[str, Lane] = {}

    def tell(self, hook: Any, order: Order) -> None:
        """Run ``hook`` when its turn comes; None is no hook."""
        if hook is not None:
            lane = self._lanes.get(order.type)
            if lane is None:
                lane = self._lanes[order.type] = Lane(self, order.type)
            lane.put(hook, order)

    async def run(self, hook: Any, order: Order) -> None:
        """Run ``hook`` now; it has no veto. What can be told again is told later where it did not succeed now."""
        if hook is not None and await self.attempt(hook, order, again=False):
            self.tell(hook, order)

    async def attempt(self, hook: Any, order: Order, *, again: bool) -> bool:
        """One attempt; True where it failed and is worth another one. ``again``: its failure has been told already."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await hook.act(order)
        except (Exception, asyncio.CancelledError) as problem:
            if told_to_leave():
                raise
            worth = bool(getattr(hook, "retries", False)) and not getattr(problem, "final", False)
            if not again or not worth:
                text = str(problem) if isinstance(problem, ActionError) else f"{type(problem).__name__}: {problem}"
                self.warn("hook.failed", order, detail=self.redact(text), again=worth)
            return worth
        return False

    def warn(self, event: str, order: Order, **more: Any) -> None:
        log.warning(event, extra={"container": self.container, "hook": order.type, **more})

    async def close(self, seconds: float) -> None:
        """Give what waits at most so long, then drop it."""
        await asyncio.gather(*(lane.close(seconds) for lane in self._lanes.values()))


class Lane:
    """The events of one kind, first come, first told."""

    def __init__(self, runner: HookRunner, name: str) -> None:
        self._runner = runner
        self._name = name
        self._waiting: deque[tuple[Any, Order, float]] = deque()
        self._task: asyncio.Task[None] | None = None

    def put(self, hook: Any, order: Order) -> None:
        loop = asyncio.get_running_loop()
        if len(self._waiting) >= WAITING_AT_MOST:
            _, dropped, _ = self._waiting.popleft()
            self._runner.warn("hook.dropped", dropped, detail=f"{WAITING_AT_MOST} newer ones wait")
        self._waiting.append((hook, order, loop.time()))
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._work(), name=f"hooks {self._runner.container} {self._name}")

    async def close(self, seconds: float) -> None:
        await finish(self._task, seconds)

    async def _work(self) -> None:
        clock = asyncio.get_running_loop().time
        failures = 0
        while self._waiting:
            hook, order, since = self._waiting.popleft()
            while await self._runner.attempt(hook, order, again=failures > 0):
                failures += 1
                pause = pause_after(failures)
                if clock() + pause - since > KEPT_SECONDS:
                    self._runner.warn("hook.dropped", order, detail=f"nobody took it for {KEPT_SECONDS:g} s")
                    break
                await asyncio.sleep(pause)
            else:
                if failures:
                    self._runner.warn("hook.recovered", order, failures=failures)
                failures = 0
