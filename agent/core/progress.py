"""The progress rule: scrapes in, verdicts out; loading, idle, working, stalling, hung, blind and down told apart.

Pure: what is remembered goes in and comes out as a frozen state, the time is an argument (seconds on any clock that
only runs forward). Each engine has a stall clock of its own. It runs while work is in flight and no counter rises, only
between good scrapes, and one interval counts for half of the threshold at most: an agent that stood still has seen
nothing. To be hung takes evidence that work goes on arriving, since a gauge may be left above zero by a request that
was abandoned, and one long step is no hang.
"""

from collections.abc import Iterable
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from agent.core.engines import Engine, Key, Reading, named
from agent.core.gaps import TIMES, WINDOW, Gaps, allowance, noted
from agent.core.remembered import Canary
from agent.core.samples import MAX_SAMPLES
from agent.core.timing import reached

LOOKS: Final = 3  # good scrapes that must have seen a stall, and refusals in a row that make a server down
JITTER: Final = 0.05  # seconds by which a scrape may begin early or late
SAFETY: Final = 1.2  # on the longest step that was declared
OWN: Final = 1.0  # request in flight that may be the canary's own

Condition = Literal["starting", "idle", "working", "stalling", "hung", "unresponsive", "blind", "down"]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Thresholds in seconds; ``max_step`` is the longest legitimate time without progress, where it is known."""

    warn_after: float = 30.0
    hung_after: float = 120.0
    blind_after: float = 180.0
    max_step: float = 0.0


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """``stalled`` is the longest stall, in seconds; ``unready`` says that it is too long to go on sending requests."""

    condition: Condition = "starting"
    stalled: float = 0.0
    unready: bool = False
    detail: str = ""


class Stall(msgspec.Struct, frozen=True, gc=False):
    """Work in flight and no progress: for how long by the stall clock, and seen on how many good scrapes.

    ``evident`` is the part of it during which something has shown that work was arriving: a single request that comes
    and goes beside a gauge that is stuck above zero is not enough. ``floor`` is the least work in flight since it
    began: more than that is newer than the stall.
    """

    seconds: float
    looks: int
    floor: float = 0.0
    arrived: bool = False
    evident: float = 0.0
    evident_looks: int = 0


class Watched(msgspec.Struct, frozen=True):
    """What is remembered of one engine, ``at`` its last good look."""

    at: float
    engine: Engine
    stall: Stall | None = None
    gaps: Gaps = Gaps()


class State(msgspec.Struct, frozen=True):
    """What is remembered of an instance. ``bad_since`` is when the first of the bad scrapes up to now began.

    ``well_at`` is when, since then, the server was last known to answer something else.
    ``risen_at`` is when a counter of any engine was last seen to have risen; ``rose_at`` the same, or when one was last
    seen for the first time, since it may have risen until then. ``silence`` is the canary's stall: it waits, and the
    gauges show nothing but itself.
    """

    engines: dict[Key, Watched] = msgspec.field(default_factory=dict)
    good_at: float | None = None
    process: float | None = None
    bad_since: float | None = None
    well_at: float | None = None
    refusals: int = 0
    risen_at: float | None = None
    rose_at: float = 0.0
    silence: Stall | None = None
    verdict: Verdict = Verdict()


def threshold(rule: Rule, gaps: Gaps, now: float) -> float:
    """After how many seconds without progress an engine with such a past is hung."""
    return max(rule.hung_after, SAFETY * rule.max_step, allowance(gaps, now))


def scraped(rule: Rule, before: State, reading: Reading, at: float, *, canary: Canary | None, started: bool) -> State:
    """After a good scrape that began ``at``; one without any of the series is no information and judges nothing."""
    if not reading.engines:
        verdict = Verdict("blind", detail="none of the series was found: is it this server, and the right path?")
        return replace(before, bad_since=blind_since(before, at), well_at=at, refusals=0, verdict=verdict)
    another = None not in (before.process, reading.started) and before.process != reading.started
    clock = 0.0 if before.good_at is None else max(0.0, blind_since(before, at) - before.good_at)
    engines: dict[Key, Watched] = {}
    rose, fresh = False, before.good_at is None
    for key, engine in reading.engines.items():
        was = before.engines.get(key)
        if was is None or another or _fell(was.engine.counters, engine.counters):
            engines[key] = Watched(at, engine, gaps=Gaps() if was is None else was.gaps)
            fresh = True
        else:
            risen = _rose(was.engine.counters, engine.counters)
            rose = rose or risen
            ran = clock if was.at == before.good_at else 0.0  # it was missing meanwhile: no information
            engines[key] = _watched(rule, was, engine, at, ran, risen=risen)
    after = State(
        engines=engines | {k: w for k, w in before.engines.items() if k not in engines and at - w.at < WINDOW},
        good_at=at,
        process=before.process if reading.started is None else reading.started,
        risen_at=at if rose else before.risen_at,
        rose_at=at if rose or fresh else before.rose_at,
    )
    if not (rose or fresh):
        after = replace(after, silence=_silence(rule, before, reading, canary, at=at, clock=clock))
    verdict = _judge(rule, after, reading.engines, canary, at) if started else Verdict("starting")
    return replace(after, verdict=verdict)


def missed(
    rule: Rule, before: State, at: float, *, refused: bool, health: bool | None, started: bool, why: str = ""
) -> State:
    """After a bad scrape that began ``at``: it clears nothing, and no stall grows by it.

    ``health`` is what the health checks have answered since `blind_since`. Metrics that stay away and health checks
    that fail, both for long, are a server that does not respond; a moment's failure beside metrics that were never
    there is none. A port that refuses beside a good answer is an exporter's that has died. A hang that was found stays.
    """
    since = blind_since(before, at)
    refusals = before.refusals + 1 if refused else 0
    well_at = at if health is True else before.well_at
    was = before.verdict
    blind_for = at - since
    silent_for = blind_for if well_at is None else min(blind_for, at - well_at)
    if not started:
        verdict = Verdict("starting", detail=why)
    elif refusals >= LOOKS and before.good_at is not None and health is not True:
        verdict = Verdict("down", was.stalled, was.unready, f"refused {refusals} times in a row: {why}")
    elif was.condition == "hung":
        verdict = was
    elif _lasted(silent_for, rule.blind_after) and health is False:
        detail = f"no metrics for {blind_for:.0f} s, and the health checks fail: {why}"
        verdict = Verdict("unresponsive", was.stalled, was.unready, detail)
    else:
        lasted = f" for {blind_for:.0f} s" if blind_for >= 1 else ""
        verdict = Verdict("blind", was.stalled, was.unready, f"no metrics{lasted}: {why}")
    return replace(before, bad_since=since, well_at=well_at, refusals=refusals, verdict=verdict)


def blind_since(state: State, now: float) -> float:
    """When the bad scrapes began that the one that begins now would belong to."""
    return now if state.bad_since is None else state.bad_since


def _watched(rule: Rule, was: Watched, engine: Engine, at: float, ran: float, *, risen: bool) -> Watched:
    """The same engine, looked at again after the clock ``ran`` so many seconds."""
    if not engine.counters:  # a missing series is no information
        return was if engine.busy > 0 else replace(was, engine=replace(was.engine, busy=0.0, waiting=0.0), stall=None)
    engine = _filled(was.engine, engine)
    gaps = was.gaps
    if risen:
        gap = 0.0 if was.stall is None else was.stall.seconds
        return Watched(at, engine, gaps=noted(gaps, gap, at, matters=rule.hung_after / TIMES))
    if engine.busy <= 0:
        return Watched(at, engine, gaps=gaps)
    step = min(ran, threshold(rule, gaps, at) / 2)
    return Watched(at, engine, _longer(was, engine, step), gaps)


def _longer(was: Watched, engine: Engine, step: float) -> Stall:
    """The stall, one good scrape later. Work that was there when it began proves nothing; what came later does."""
    stall = was.stall
    if stall is None and was.engine.busy <= 0:
        stall, step = Stall(0.0, 0, floor=engine.busy), 0.0  # it may have arrived this very moment
        arrived = False
    else:
        stall = stall or Stall(0.0, 0, floor=was.engine.busy)
        arrived = stall.arrived or _rose(was.engine.arrivals, engine.arrivals)
    evidence = engine.waiting > 0 or engine.busy > stall.floor or arrived
    return Stall(
        seconds=stall.seconds + step,
        looks=stall.looks + 1,
        floor=min(stall.floor, engine.busy),
        arrived=arrived,
        evident=stall.evident + step if evidence else stall.evident,
        evident_looks=stall.evident_looks + evidence,
    )


def _silence(
    rule: Rule, before: State, reading: Reading, canary: Canary | None, *, at: float, clock: float
) -> Stall | None:
    """A canary waits while nothing else is in flight and nothing rises: gauges of a stuck engine may read zero.

    Its own request may be what they show, for as long as it is under way and no longer: that ends no silence.
    """
    waits = canary is not None and (canary.in_flight or canary.overdue is not None)
    counted = any(engine.counters for engine in reading.engines.values())
    others = sum(engine.busy for engine in reading.engines.values()) > OWN
    if canary is None or not waits or not counted or others:
        return None
    was = before.silence
    if was is None:
        return Stall(min(clock, max(0.0, at - canary.sent_at)), 1)
    step = min(clock, rule.hung_after / 2)
    return replace(was, seconds=was.seconds + step, looks=was.looks + 1)


def _judge(rule: Rule, state: State, present: Iterable[Key], canary: Canary | None, at: float) -> Verdict:
    """What the engines of this scrape amount to: the worst of them."""
    watched = {key: state.engines[key] for key in present}
    blamed = canary is not None and _blames(canary, state.rose_at)
    stalls = [(key, one.stall, threshold(rule, one.gaps, at)) for key, one in watched.items() if one.stall is not None]
    longest = max((stall.seconds for _, stall, _ in stalls), default=0.0)
    unready = _lasted(longest, rule.warn_after) and bool(stalls)
    for key, stall, most in stalls:
        if _is_hung(stall, most, blamed=blamed):
            return Verdict("hung", longest, True, _told(watched[key].engine, key, stall, most))
    silence = state.silence
    if silence is not None and canary is not None and canary.overdue is not None:
        longest = max(longest, silence.seconds)
        most = max(threshold(rule, one.gaps, at) for one in watched.values())
        unready = unready or _lasted(silence.seconds, rule.warn_after)
        detail = (
            f"a canary waits, and for {silence.seconds:.0f} s no counter has risen though nothing else is in flight"
        )
        hung = canary.overdue >= state.rose_at and _lasted(silence.seconds, most) and silence.looks >= LOOKS
        return Verdict("hung" if hung else "stalling", longest, unready or hung, detail)
    if stalls:
        key, stall, most = max(stalls, key=lambda one: one[1].seconds)
        return Verdict("stalling", longest, unready, _told(watched[key].engine, key, stall, most))
    busy = sum(one.engine.busy for one in watched.values())
    return Verdict("working", detail=f"{busy:g} in flight") if busy > 0 else Verdict("idle")


def _blames(canary: Canary, rose_at: float) -> bool:
    """A canary that failed since the last progress; one that is late was not served since, if it was sent since."""
    if canary.failed_at is None or canary.failed_at < rose_at:
        return False
    return canary.overdue is None or canary.overdue >= rose_at


def _is_hung(stall: Stall, most: float, *, blamed: bool) -> bool:
    """Long enough and seen often enough, with evidence that has itself lasted for half as long.

    Since one interval counts for half of the threshold at most, the looks are spread over the other half at least.
    """
    if not _lasted(stall.seconds, most) or stall.looks < LOOKS:
        return False
    return blamed or (_lasted(stall.evident, most / 2) and stall.evident_looks >= LOOKS)


def _lasted(seconds: float, most: float) -> bool:
    """What a scrape sees to stand still has stood still for a while already: it may come a little early."""
    return reached(seconds, most - min(JITTER, most / 20))


def _told(engine: Engine, key: Key, stall: Stall, most: float) -> str:
    who = f"{named(key)}: " if key else ""
    doubt = "" if stall.evident_looks else ", none of it newer"
    return (
        f"{who}no progress for {stall.seconds:.0f} of {most:.0f} s with {engine.busy:g} in flight, "
        f"{engine.waiting:g} waiting{doubt}"
    )


def _fell(before: dict[str, float], now: dict[str, float]) -> bool:
    return any(value < before.get(series, value) for series, value in now.items())


def _filled(before: Engine, now: Engine) -> Engine:
    """``now`` with what was last known of series that are missing: when they come back they have not risen by that."""
    counters, arrivals = before.counters | now.counters, before.arrivals | now.arrivals
    if len(counters) + len(arrivals) > MAX_SAMPLES:
        return now
    return replace(now, counters=counters, arrivals=arrivals)


def _rose(before: dict[str, float], now: dict[str, float]) -> bool:
    """Whether any counter rose; one that appears for the first time has risen from nothing."""
    return any(value > before.get(series, 0.0) for series, value in now.items())
