"""Watches for a new instance of one container: the runtime, and the connection edge on its liveness port."""

import asyncio
import errno
import logging
from collections.abc import Callable
from typing import Any, Final

import msgspec

from agent.core import instance as rules
from agent.core.instance import Edge
from agent.core.samples import Marker, is_another, marker
from agent.core.settings import Container as Spec
from agent.probes.parts.faults import Fault
from agent.probes.parts.scrape import scrape
from agent.runtimes import Instance

CONNECT_EVERY_SECONDS: Final = 0.2
CONNECT_TIMEOUT_SECONDS: Final = 1.0
ASK_EVERY_SECONDS: Final = 1.0  # the runtime and the metrics
ASK_TIMEOUT_SECONDS: Final = 5.0

TURNED_AWAY: Final = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH)

log = logging.getLogger(__name__)


class Sign(msgspec.Struct, frozen=True):
    """How a new instance was seen: runtime, counters, edge, kubelet, or assumed."""

    kind: str
    identity: str = ""
    started_at: float | None = None
    first: bool = False  # the runtime tells of an instance for the first time: by itself no sign of another one


class Watch:
    """Looks at one container from outside its checks; used in a hold, and from a refused probe until it is accepted."""

    def __init__(self, name: str, address: tuple[str, int] | None, runtime: Any) -> None:
        self.name = name
        self.address = address
        self.runtime = runtime
        self.known: Instance | None = None  # the instance that the runtime last told of
        self.edge = Edge()  # kept from one look-out to the next: a kill may come in the middle of it
        self.absent = False  # the runtime's last answer was that nothing runs
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
        self.absent = found is None
        return found

    async def another(self) -> Sign | None:
        """Ask the runtime once: a sign when it runs another instance than the one that was known, or the first one."""
        found = await self.identify()
        if found is None:
            return None
        before, self.known = self.known, found
        if before is not None and before.identity == found.identity:
            return None
        return Sign("runtime", found.identity, found.started_at, first=before is None)

    async def latest(self, sign: Sign) -> Sign:
        """The sign, of what the runtime runs by now.

        A container may have been started twice, by its engine and for us: whoever was seen in between is gone, and the
        one that came after is no further instance.
        """
        if sign.kind != "runtime":
            return sign
        now = await self.identify()
        if now is None or now.identity == sign.identity:
            return sign
        self.known = now
        return Sign("runtime", now.identity, now.started_at)

    async def until_new(self, *, edge_counts: bool, counters_count: Callable[[], bool] = lambda: True) -> Sign:
        """Look until there is a sign of a new instance.

        The edge counts only where the port has been open before. Counters are a sign only while ``counters_count()``:
        until then they give the baseline.
        """
        looking = [
            asyncio.create_task(self._until_edge(open_before=edge_counts)),
            asyncio.create_task(self._until_told()),
            asyncio.create_task(self._until_counters(counters_count)),
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
        gone = False
        while True:
            sign = await self.another()
            if sign is not None and (gone or not sign.first):
                return sign
            gone = gone or self.absent
            await asyncio.sleep(ASK_EVERY_SECONDS)

    async def _until_counters(self, count: Callable[[], bool]) -> Sign:
        """Sign 2: another start time of the process, or a counter that fell, on /metrics of the liveness port."""
        before = None
        while True:
            now = await self._scrape()
            if before is None or not count():
                before = before or now
            elif now is not None and is_another(before, now) and self.known is None:
                return Sign("counters")
            await asyncio.sleep(ASK_EVERY_SECONDS)

    async def _until_edge(self, *, open_before: bool) -> Sign:
        """Sign 3: two refusals in a row, then accepted; not heeded where the runtime tells instances apart."""
        while True:
            seen = await self._step()
            if seen is not None:
                if seen and open_before and self.known is None:
                    return Sign("edge")
                open_before = True
            await asyncio.sleep(CONNECT_EVERY_SECONDS)

    def refused(self) -> None:
        """A probe of the port was refused: noted at once, since a kill may end the look-out that follows."""
        self.edge = rules.refused(self.edge)

    async def until_accepted(self) -> bool:
        """From a refused probe until the port accepts again; True when that was the edge of a new instance."""
        while True:
            seen = await self._step()
            if seen is not None:
                return seen
            await asyncio.sleep(CONNECT_EVERY_SECONDS)

    async def _step(self) -> bool | None:
        """Connect once: whether this was the edge, or None where nothing was accepted."""
        answer = await self.connects()
        if answer is False:
            self.refused()
        if not answer:
            return None
        self.edge, seen = rules.accepted(self.edge)
        return seen

    async def connects(self) -> bool | None:
        """Whether the liveness port accepts a connection now; None where that can't be told."""
        if self.address is None:
            return None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, *self.address)
        except OSError as problem:  # TimeoutError is one
            return False if _is_refusal(problem) else None
        except ValueError:  # a name that is none
            return None
        transport.abort()
        return True

    async def _scrape(self) -> Marker | None:
        if self.address is None:
            return None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                text = await scrape(*self.address)
        except (OSError, ValueError, Fault):
            return None
        return marker(text) if text else None

    def _complain(self, text: str) -> None:
        if text != self._complained:
            self._complained = text
            log.warning("runtime.error", extra={"container": self.name, "detail": text})


def _is_refusal(problem: OSError) -> bool:
    """Turned away, or no way there, at every address: for several of a name asyncio has one text, and no errno."""
    if problem.errno is not None:
        return problem.errno in TURNED_AWAY
    parts = str(problem).split("[Errno ")[1:]
    return bool(parts) and all(part.partition("]")[0] in map(str, TURNED_AWAY) for part in parts)


def liveness_address(spec: Spec) -> tuple[str, int] | None:
    """Where the connection edge is watched: the first liveness check's port, else any check's, else the container's."""
    for check in (*spec.liveness, *spec.readiness, *spec.startup):
        address = spec.address_of(check)
        if address is not None:
            return address
    return None if spec.port is None else (spec.host, spec.port)
