"""Watches for a new instance of one container: the runtime, and the connection edge on its liveness port."""

import asyncio
import logging
from contextlib import suppress
from typing import Any, Final

import msgspec

from agent.core import instance as rules
from agent.core.instance import Edge
from agent.core.samples import Marker, is_another, marker
from agent.probes.parts.faults import Fault
from agent.probes.parts.scrape import scrape
from agent.runtimes import Instance

CONNECT_EVERY_SECONDS: Final = 0.2
CONNECT_TIMEOUT_SECONDS: Final = 1.0
ASK_EVERY_SECONDS: Final = 1.0  # the runtime and the metrics
ASK_TIMEOUT_SECONDS: Final = 5.0

log = logging.getLogger(__name__)


class Sign(msgspec.Struct, frozen=True):
    """How a new instance was seen: runtime, counters, edge, kubelet, or assumed."""

    kind: str
    identity: str = ""
    started_at: float | None = None


class Watch:
    """Looks at one container from outside its checks; used in a hold, and from a refused probe until it is accepted."""

    def __init__(self, name: str, address: tuple[str, int] | None, runtime: Any) -> None:
        self.name = name
        self.address = address
        self.runtime = runtime
        self.known: Instance | None = None  # the instance that the runtime last told of
        self._complained = ""

    async def identify(self) -> Instance | None:
        """The runtime's instance now; None without a runtime, without an instance, or where it can't be told."""
        if self.runtime is None:
            return None
        try:
            async with asyncio.timeout(ASK_TIMEOUT_SECONDS):
                found: Instance | None = await self.runtime.instance()
        except Exception as problem:  # noqa: BLE001 - a dead runtime is no sign of anything
            self._complain(f"{type(problem).__name__}: {problem}")
            return None
        self._complained = ""
        return found

    async def another(self) -> Sign | None:
        """Ask the runtime once: a sign when it runs another instance than the one that was known."""
        found = await self.identify()
        if found is None:
            return None
        before, self.known = self.known, found
        if before is None or before.identity == found.identity:
            return None
        return Sign("runtime", found.identity, found.started_at)

    async def until_new(self, *, edge_counts: bool) -> Sign:
        """Look until there is a sign of a new instance; the edge counts only where the port has been open before."""
        looking = [
            asyncio.create_task(self._until_edge(open_before=edge_counts)),
            asyncio.create_task(self._until_told()),
            asyncio.create_task(self._until_counters()),
        ]
        try:
            done, _ = await asyncio.wait(looking, return_when=asyncio.FIRST_COMPLETED)
            return next(task.result() for task in looking if task in done)
        finally:
            for task in looking:
                task.cancel()
            await asyncio.gather(*looking, return_exceptions=True)

    async def _until_told(self) -> Sign:
        """Sign 1: the runtime."""
        while True:
            sign = await self.another()
            if sign is not None:
                return sign
            await asyncio.sleep(ASK_EVERY_SECONDS)

    async def _until_counters(self) -> Sign:
        """Sign 2: another start time of the process, or a counter that fell, on /metrics of the liveness port."""
        before = None
        while True:
            now = await self._scrape()
            if before is not None and now is not None and is_another(before, now) and self.known is None:
                return Sign("counters")
            before = now or before
            await asyncio.sleep(ASK_EVERY_SECONDS)

    async def _until_edge(self, *, open_before: bool) -> Sign:
        """Sign 3: two refusals in a row, then accepted; not heeded where the runtime tells instances apart."""
        edge = Edge()
        while True:
            answer = await self.connects()
            if answer is False:
                edge = rules.refused(edge)
            elif answer:
                edge, seen = rules.accepted(edge)
                if seen and open_before and self.known is None:
                    return Sign("edge")
                open_before = True
            await asyncio.sleep(CONNECT_EVERY_SECONDS)

    async def until_accepted(self) -> bool:
        """From a refused probe until the port accepts again; True when that was the edge of a new instance."""
        edge = rules.refused(Edge())
        while True:
            answer = await self.connects()
            if answer is False:
                edge = rules.refused(edge)
            elif answer:
                return rules.accepted(edge)[1]
            await asyncio.sleep(CONNECT_EVERY_SECONDS)

    async def connects(self) -> bool | None:
        """Whether the liveness port accepts a connection now; None where that can't be told."""
        if self.address is None:
            return None
        host, port = self.address
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, host, port)
        except ConnectionRefusedError:
            return False
        except (OSError, TimeoutError) as problem:
            # A name with several addresses: all of them refused is a refusal too.
            refused = "refused" in str(problem).lower() and "Multiple exceptions" in str(problem)
            return False if refused else None
        transport.abort()
        return True

    async def _scrape(self) -> Marker | None:
        if self.address is None:
            return None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                text = await scrape(*self.address)
        except (OSError, TimeoutError, Fault):
            return None
        return marker(text) if text else None

    def _complain(self, text: str) -> None:
        if text != self._complained:
            self._complained = text
            log.warning("runtime.error", extra={"container": self.name, "detail": text})


def liveness_address(spec: Any) -> tuple[str, int] | None:
    """Where the connection edge is watched: the first liveness check's port, else any check's, else the container's."""
    for check in (*spec.liveness, *spec.readiness, *spec.startup):
        options = check.options
        if hasattr(options, "port"):
            port = options.port
            with suppress(KeyError):
                number = port if isinstance(port, int) else spec.port if port is None else spec.ports[port]
                if number is not None:
                    return (getattr(options, "host", None) or spec.host, number)
    return None if spec.port is None else (spec.host, spec.port)
