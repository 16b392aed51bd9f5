"""Whether a container is in maintenance: because an operator said so, or while a file is there."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from agent.core import upkeep as rules
from agent.core.upkeep import Readiness, Upkeep
from agent.runtimes.aside import aside

LOOK_EVERY_SECONDS: Final = 2.0
LOOK_TIMEOUT_SECONDS: Final = 2.0  # a mount that hangs must not hold anything up

log = logging.getLogger(__name__)


class Maintenance:
    """What was asked for, and whether it stands; ``changed`` is called when it begins or ends."""

    def __init__(
        self, name: str, file: str | None, clock: Callable[[], float], changed: Callable[[bool], None]
    ) -> None:
        self.name = name
        self.file = file
        self.clock = clock
        self.changed = changed
        self.upkeep = Upkeep()
        self._stood = False
        self._looked_at = clock()
        self._complaint = ""

    def stands(self) -> bool:
        """Nothing is to be done about the container now."""
        return rules.stands(self.upkeep, self.clock())

    def hides(self) -> bool:
        """The container is to be not ready meanwhile."""
        return rules.hides(self.upkeep, self.clock())

    def left(self) -> float | None:
        return rules.left(self.upkeep, self.clock())

    def order(self, seconds: float, ready: Readiness) -> None:
        """An operator's word: for so long from now, instead of what was said before; 0 seconds end it."""
        self._take(rules.begun(self.upkeep, self.clock(), seconds, ready))

    def restore(self, until: float | None, ready: Readiness) -> None:
        """What an operator said to an earlier process."""
        self._take(Upkeep(until, ready, self.upkeep.file))

    def found(self, *, file: bool) -> None:
        """The maintenance file was looked for."""
        self._take(rules.found(self.upkeep, file=file))

    async def look(self) -> None:
        """Look for the file; where that can't be told, what was seen last goes on. Bounded."""
        self._looked_at = self.clock()
        if self.file is None:
            self.found(file=False)
            return
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_SECONDS):
                there = await aside(("maintenance", self.file), partial(_exists, self.file))
        except OSError as problem:  # TimeoutError is one
            self._complain(problem.strerror or str(problem) or "the file system does not answer")
        else:
            self._complaint = ""
            self.found(file=there)

    async def tick(self) -> None:
        """Called now and then: look for the file where that is due, and notice that it ended by itself."""
        if (self.file is not None or self.upkeep.file) and self.clock() - self._looked_at >= LOOK_EVERY_SECONDS:
            await self.look()
        self._take(self.upkeep)

    def _take(self, upkeep: Upkeep) -> None:
        self.upkeep = upkeep
        stands = self.stands()
        if stands is not self._stood:
            self._stood = stands
            self.changed(stands)

    def _complain(self, text: str) -> None:
        if text != self._complaint:
            self._complaint = text
            fields = {"container": self.name, "file": self.file, "detail": text}
            log.warning("maintenance.unreadable", extra=fields)


def _exists(path: str) -> bool:
    """Whether there is such a file. Raises OSError where that can't be told. Blocking."""
    try:
        Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
