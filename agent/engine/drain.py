"""Drains a container: asks its server what is in flight, and waits until it is nothing, or the time is over."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from agent.core import draining as rules
from agent.core.draining import End, Looks
from agent.core.settings import Drain as Rule
from agent.engine.container import Container
from agent.engine.lookout import Lookout
from agent.engine.worker import told_to_leave
from agent.engine.workers import target_of

LOOK_EVERY_SECONDS: Final = 1.0
LOOK_TIMEOUT_SECONDS: Final = 5.0

log = logging.getLogger(__name__)


class Drain:
    """What is in flight in one container, the wait of a kill's drain, and the drain that an operator asks for."""

    def __init__(self, container: Container, clock: Callable[[], float], told: Callable[[str], None]) -> None:
        self.container = container
        self.clock = clock
        self.told = told  # called when an operator's drain has begun or ended, with which
        self.looks = Looks()
        self.ends_at: float | None = None  # of the operator's, seconds on the engine's clock
        self._task: asyncio.Task[None] | None = None
        self._looked = asyncio.Event()
        self._complaint = ""

    async def of_kill(self, rule: Rule, lookout: Lookout) -> End:
        """Wait as the rule says; how it ended, "" where the kill itself is over."""
        ends_at, self.looks = self.clock() + rule.max_seconds, Looks()
        while not lookout.signed:
            left = ends_at - self.clock()
            if rule.until_idle and left > 0:
                await self._look(left)
                left = ends_at - self.clock()
            end = rules.ended(self.looks, self.clock(), ends_at, until_idle=rule.until_idle)
            if end:
                return end
            await lookout.wait(min(left, LOOK_EVERY_SECONDS) if rule.until_idle else left)
        return ""

    # -- an operator's -----------------------------------------------------------------------------------------------

    @property
    def ordered(self) -> bool:
        """An operator has the container drained: it is not ready, and nobody is killed for that."""
        return self.ends_at is not None

    @property
    def left(self) -> float | None:
        """Seconds until it ends by itself; None where there is none."""
        return None if self.ends_at is None else max(0.0, self.ends_at - self.clock())

    def order(self, seconds: float) -> None:
        """Drain for so long from now, or less or longer than was asked before; 0 seconds end it."""
        if seconds <= 0:
            self.end("ended")
            return
        began, self.ends_at, self.looks = self.ordered, self.clock() + seconds, Looks()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._follow(), name=f"drain {self.container.spec.name}")
        if not began:
            self.told("began")

    def restore(self, ends_at: float | None) -> None:
        """What an operator asked an earlier process for."""
        if ends_at is not None and ends_at > self.clock():
            self.order(ends_at - self.clock())
            self.ends_at = ends_at

    def end(self, how: str) -> None:
        """It is over: ended (asked to), time, or a new instance."""
        if self.ends_at is not None:
            self.ends_at = None
            self._looked.set()
            self._looked.clear()
            self.told(how)

    async def idle(self) -> bool:
        """Wait until nothing is in flight (True), or the operator's drain is over."""
        while self.ordered and not rules.is_idle(self.looks):
            await self._looked.wait()
        return self.ordered

    async def close(self) -> None:
        """Stop looking; the drain itself is kept for the next process."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        """Look until it is over."""
        while self.ends_at is not None:
            left = self.ends_at - self.clock()
            if left <= 0:
                self.end("time")
                return
            await self._look(left)
            await asyncio.sleep(min(LOOK_EVERY_SECONDS, max(0.0, left)))

    # -- what is in flight -------------------------------------------------------------------------------------------

    async def _look(self, seconds: float) -> None:
        """Ask once, for at most so long."""
        try:
            async with asyncio.timeout(min(LOOK_TIMEOUT_SECONDS, seconds)):
                found = await self._in_flight()
        except (Exception, asyncio.CancelledError) as problem:  # whatever it is, it is not known to be idle
            if told_to_leave():
                raise
            self._complain(f"{type(problem).__name__}: {problem}")
            found = None
        self.looks = rules.looked(self.looks, found)
        self._looked.set()
        self._looked.clear()

    async def _in_flight(self) -> float | None:
        """The sum over the checks that can tell; None where none can, or one of them can't now."""
        spec, total = self.container.spec, None
        for slot in self.container.slots:
            ask = getattr(slot.check.options, "in_flight", None)
            if ask is not None:
                found = await ask(target_of(spec, slot.check, self.container.seen))
                if found is None:
                    return None
                total = found if total is None else total + found
        return total

    def _complain(self, text: str) -> None:
        if text != self._complaint:
            self._complaint = text
            log.warning("drain.blind", extra={"container": self.container.spec.name, "detail": text})
