"""Looks out for a new instance while a kill is under way, from its decision to its end."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from agent.engine.watch import Sign, Watch

log = logging.getLogger(__name__)


class Lookout:
    """The sign that one kill waits for: given once, by whoever sees it first."""

    def __init__(self, name: str, watch: Watch) -> None:
        self.name = name
        self.watch = watch
        self._sign: asyncio.Future[Sign | None] = asyncio.get_running_loop().create_future()

    @property
    def signed(self) -> bool:
        """A new instance was seen, or what the kill was for has passed."""
        return self._sign.done()

    @property
    def sign(self) -> Sign | None:
        """The sign of the new instance; None where there is none, or the kill was withdrawn."""
        return self._sign.result() if self._sign.done() else None

    def tell(self, sign: Sign | None) -> None:
        """A new instance was seen, or (None) what the kill was for has passed; only the first word counts."""
        if not self._sign.done():
            self._sign.set_result(sign)

    async def wait(self, seconds: float | None) -> Sign | None:
        """The sign, or None once ``seconds`` are over or the kill is withdrawn."""
        await asyncio.wait([self._sign], timeout=seconds)
        return self.sign

    @asynccontextmanager
    async def looking(self, *, edge_counts: bool, counters_count: Callable[[], bool]) -> AsyncIterator[None]:
        """Signs of a new instance are looked for meanwhile (see `Watch.until_new`)."""
        watching = asyncio.create_task(
            self._look(edge_counts=edge_counts, counters_count=counters_count), name=f"watch {self.name}"
        )
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _look(self, *, edge_counts: bool, counters_count: Callable[[], bool]) -> None:
        while not self.signed:
            try:
                self.tell(await self.watch.until_new(edge_counts=edge_counts, counters_count=counters_count))
            except Exception:
                log.exception("watch.error", extra={"container": self.name})
                await asyncio.sleep(1.0)
