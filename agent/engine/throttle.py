"""Looks now and then whether the agent's own cgroup gives it too little CPU to judge others."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from agent.core.throttling import Look, is_throttled
from agent.engine.pulse import Pulse
from agent.runtimes import cgroup
from agent.runtimes.aside import aside

LOOK_EVERY_SECONDS: Final = 5.0
DEADLINE_SECONDS: Final = 2.0
KIND: Final = "cgroup"

log = logging.getLogger(__name__)


class Throttle:
    """Tells the pulse; does nothing where no cgroup limits the agent's CPU."""

    def __init__(self, pulse: Pulse, find: Callable[[], Path | None] = cgroup.own_cpu_stat) -> None:
        self.pulse = pulse
        self.find = find
        self._last: Look | None = None

    async def run(self) -> None:
        """Look until cancelled."""
        file = await self._aside(self.find)
        while isinstance(file, Path):
            await self.look(file)
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def look(self, file: Path) -> None:
        """Once. What can't be read says nothing, and what was said before is forgotten with it."""
        seconds = await self._aside(partial(cgroup.throttled, file))
        now = asyncio.get_running_loop().time()
        before, self._last = self._last, None if seconds is None else Look(now, seconds)
        if before is None or self._last is None:
            throttled = False
        else:
            throttled = is_throttled(before, self._last, self.pulse.late_since(before.when))
        if throttled is not self.pulse.throttled:
            self.pulse.throttled = throttled
            if throttled:
                detail = f"{file}: give the agent more CPU; until then it restarts nothing"
                log.warning("agent.impaired", extra={"why": "throttled", "detail": detail})
            else:
                log.info("agent.recovered", extra={"why": "throttled"})

    async def _aside(self, work: Callable[[], Any]) -> Any:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                return await aside(KIND, work)
        except OSError:  # TimeoutError is one
            return None
