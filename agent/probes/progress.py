"""The progress check: whether the model server gets on with its work, read from its own metrics."""

import asyncio
import time
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from agent.core.engines import Reading, Wanted, named
from agent.core.gpu import SLOWED, slower
from agent.core.model import Result, Target, failure, success, warning
from agent.core.progress import Condition, Rule, State, blind_since, missed, scraped
from agent.core.remembered import PASSIVE, Passive, Saying, canary, health_since, measure, say
from agent.core.selectors import selector
from agent.core.series import SERIES, Series, ServerName
from agent.core.settings import PositiveSeconds
from agent.probes.parts.faults import Fault
from agent.probes.parts.names import control_problem, host_problem
from agent.probes.parts.request import Header, read_fields
from agent.probes.parts.scrape import exposition, reading
from agent.probes.parts.tls import Tls
from agent.probes.parts.url import first_url

_Port = Annotated[int, Meta(ge=1, le=65535)]
_Names = tuple[str, ...] | None
_ROLES: Final = ("busy", "waiting", "counters", "arrivals")
_NONE: Final = Series()
_SAID: Final[dict[Condition, Literal["", "down", "hung", "blind", "stalling", "working", "idle"]]] = {
    "idle": "idle", "working": "working", "stalling": "stalling", "hung": "hung", "unresponsive": "hung",
    "blind": "blind", "down": "down", "starting": "",
}  # fmt: skip
"""What a condition makes of the container's state; while it starts, the engine knows better."""


class _Memory(msgspec.Struct, frozen=True):
    """What is remembered of an instance, and by which options it came about."""

    options: "Progress"
    state: State = State()


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Reads gauges of work in flight and counters of progress, engine by engine.

    Work in flight without progress is a stall: the container is not ready from warn_after_seconds on, and the check
    fails (`hung`) at hung_after_seconds where there is evidence that work goes on arriving, later where longer pauses
    are usual. A page that can't be read is never a failure by itself.
    """

    metrics: Annotated[str | None, Meta(description="path and query; null: the server's own, or /metrics")] = None
    port: Annotated[_Port | str | None, Meta(description="number or name; null: the container's")] = None
    host: Annotated[str | None, Meta(description="null: the container's host")] = None
    scheme: Annotated[Literal["http", "https"], Meta(description="https verifies nothing unless `tls` says so")] = (
        "http"
    )
    http_headers: Annotated[tuple[Header, ...], Meta(description="added to Host, User-Agent and Accept")] = ()
    tls: Annotated[Tls | None, Meta(description="null: nothing is verified, as the kubelet")] = None
    server: Annotated[ServerName | None, Meta(description="whose series are read where none are named here")] = None
    busy: Annotated[_Names, Meta(description="gauges of requests being worked on")] = None
    waiting: Annotated[_Names, Meta(description="gauges of requests in a queue: in flight as well")] = None
    counters: Annotated[
        _Names, Meta(description="counters that rise with progress and nothing else, not with probes")
    ] = None
    arrivals: Annotated[_Names, Meta(description="counters that rise with requests, whatever becomes of them")] = None
    per: Annotated[_Names, Meta(description="labels that tell engines apart which can hang alone")] = None
    warn_after_seconds: Annotated[
        PositiveSeconds, Meta(description="a stall of so many seconds takes readiness away")
    ] = 30.0
    hung_after_seconds: Annotated[PositiveSeconds, Meta(description="a stall of so many seconds is a failure")] = 120.0
    blind_after_seconds: Annotated[
        PositiveSeconds, Meta(description="no metrics for so many seconds while the health checks fail is a failure")
    ] = 180.0
    max_step_seconds: Annotated[
        PositiveSeconds | None, Meta(description="the longest legitimate time without progress, e.g. one request")
    ] = None

    default_timeout_seconds: ClassVar[float] = 5.0
    default_failure_threshold: ClassVar[int] = 1  # it has a clock of its own

    def check_options(self) -> list[tuple[str, str]]:
        """What the types cannot say, as (path below this check, message)."""
        found = [
            ("metrics", control_problem(self.metrics or "")),
            ("host", None if self.host is None else host_problem(self.host)),
        ]
        problems = [(path, message) for path, message in found if message is not None]
        if self.server is None and not self.counters:
            problems.append(("server", "name one of the servers whose series are known, or `counters` of your own"))
        for role in _ROLES:
            for index, text in enumerate(getattr(self, role) or ()):
                try:
                    selector(text)
                except ValueError as problem:
                    problems.append((f"{role}[{index}]", str(problem)))
        blocks = [(f"http_headers[{index}]", header) for index, header in enumerate(self.http_headers)]
        for name, block in [*blocks, ("tls", self.tls)]:
            if block is not None:
                problems += [(f"{name}.{path}", message) for path, message in block.check_options()]
        return problems

    @property
    def series(self) -> Series:
        """What is read, and where: these options, and the server's own where they say nothing."""
        known = _NONE if self.server is None else SERIES[self.server]
        given = {"path": self.metrics, "per": self.per, **{role: getattr(self, role) for role in _ROLES}}
        return replace(known, **{name: value for name, value in given.items() if value is not None})

    async def probe(self, target: Target) -> Result:
        begun = asyncio.get_running_loop().time()
        try:
            found = await self._read(target)
        except Fault as fault:
            if fault.reason == "internal":
                return fault.result()
            return self._missed(target, begun, fault.detail, refused=fault.reason == "refused")
        after = scraped(
            self._rule(target, begun), self._state(target), found, begun,
            canary=canary(target.seen), started=target.started,
        )  # fmt: skip
        read_at = time.time()
        measure(target, "progress.json", lambda: {"at": read_at, "engines": _plain(found)})
        if found.engines:
            target.seen[PASSIVE] = _passive(after, found, self.warn_after_seconds)
        return self._told(target, after)

    def late(self, target: Target) -> Result:
        """The worker's deadline: a bad scrape. A saturated server answers late, a dead one not at all."""
        begun = asyncio.get_running_loop().time() - target.timeout
        return self._missed(target, begun, f"not read within {target.timeout:g} s", refused=False)

    async def in_flight(self, target: Target) -> float | None:
        """The requests that the server has running or waiting now; None where its metrics don't tell."""
        try:
            found = await self._read(target)
        except Fault:
            return None
        return sum(engine.busy for engine in found.engines.values()) if found.gauged else None

    async def _read(self, target: Target) -> Reading:
        series = self.series
        url = first_url(self.scheme, self.host or target.host, target.port_of(self.port), series.path)
        body = await exposition(url, self.tls, await read_fields(self.http_headers))
        return await reading(_wanted(series), body, url)

    def _missed(self, target: Target, begun: float, why: str, *, refused: bool) -> Result:
        before = self._state(target)
        health = health_since(target.seen, blind_since(before, begun))
        rule = self._rule(target, begun)
        after = missed(rule, before, begun, refused=refused, health=health, started=target.started, why=why)
        return self._told(target, after)

    def _rule(self, target: Target, now: float) -> Rule:
        longer = slower(target.seen.get(SLOWED), now)
        return Rule(
            warn_after=self.warn_after_seconds * longer,
            hung_after=self.hung_after_seconds * longer,
            blind_after=self.blind_after_seconds,
            max_step=(self.max_step_seconds or 0.0) * longer,
        )

    def _state(self, target: Target) -> State:
        """What is remembered of this instance; nothing of what other options have read."""
        memory: _Memory | None = target.seen.get(_key(target))
        return memory.state if memory is not None and memory.options == self else State()

    def _told(self, target: Target, state: State) -> Result:
        """Remember, say what it means for the container, and give the result."""
        target.seen[_key(target)] = _Memory(self, state)
        verdict = state.verdict
        say(target, Saying(_SAID[verdict.condition], verdict.unready, verdict.detail))
        if verdict.condition == "blind":
            return warning("blind", verdict.detail)
        if verdict.condition == "starting" and state.bad_since is not None:
            return failure("blind", verdict.detail)  # a startup check: the page is what it waits for
        if verdict.condition in ("hung", "unresponsive", "down"):
            reason = "refused" if verdict.condition == "down" else verdict.condition
            return failure(reason, verdict.detail)
        return success(": ".join(filter(None, (verdict.condition, verdict.detail))))


def _key(target: Target) -> str:
    return f"progress {target.check}"


def _plain(found: Reading) -> dict[str, Any]:
    """The engines' gauges and counters by name, the series in words."""
    return {named(key) or "engine": msgspec.to_builtins(engine, str_keys=True) for key, engine in found.engines.items()}


def _passive(state: State, found: Reading, warn_after: float) -> Passive:
    """What a canary wants to know of it; a hang is to be confirmed as soon as it takes readiness away."""
    engines = found.engines.values()
    return Passive(
        good_at=state.good_at,
        risen_at=state.risen_at,
        in_flight=sum(engine.busy for engine in engines) if found.gauged else None,
        waiting=sum(engine.waiting for engine in engines),
        confirm=state.verdict.stalled >= warn_after,
    )


@lru_cache(maxsize=256)
def _wanted(series: Series) -> Wanted:
    selectors = {role: tuple(selector(text) for text in getattr(series, role)) for role in _ROLES}
    return Wanted(**selectors, per=series.per)
