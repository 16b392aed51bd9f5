"""One exposition as the progress rule reads it: each engine's work in flight and the counters of its progress."""

from collections.abc import Iterable, Mapping
from typing import Final, Literal, get_args

import msgspec

from agent.core.samples import START_TIME, Sample, samples_of
from agent.core.selectors import Selector

MAX_ENGINES: Final = 256

Role = Literal["busy", "waiting", "counters", "arrivals"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
Key = tuple[tuple[str, str], ...]
"""What tells an engine: those of the `per` labels that its samples have, with their values."""


class Wanted(msgspec.Struct, frozen=True):
    """What to read, by role, and which labels tell engines apart."""

    busy: tuple[Selector, ...] = ()
    waiting: tuple[Selector, ...] = ()
    counters: tuple[Selector, ...] = ()
    arrivals: tuple[Selector, ...] = ()
    per: tuple[str, ...] = ()


class Engine(msgspec.Struct, frozen=True):
    """``busy`` are all requests in flight, the ``waiting`` ones included; counters by series."""

    busy: float = 0.0
    waiting: float = 0.0
    counters: dict[str, float] = msgspec.field(default_factory=dict)
    arrivals: dict[str, float] = msgspec.field(default_factory=dict)


class Reading(msgspec.Struct, frozen=True):
    """One good scrape. ``started`` is the start time of the process that answered, where it tells one; ``gauged``:
    something tells of work in flight.
    """

    engines: dict[Key, Engine]
    started: float | None = None
    gauged: bool = True


def read(wanted: Wanted, exposition: bytes) -> Reading:
    """Only the lines that are wanted are looked at; without any of them there are no engines."""
    by_name: dict[str, list[tuple[Role, Selector]]] = {}
    for role in ROLES:
        for selector in getattr(wanted, role):
            for name in selector.spellings:
                by_name.setdefault(name, []).append((role, selector))
    found: dict[Role, list[Sample]] = {role: [] for role in ROLES}
    for name, wishes in by_name.items():
        for sample in samples_of(exposition, name):
            for role in {role: None for role, selector in wishes if selector.takes(sample)}:
                found[role].append(sample)
    started = next((sample.value for sample in samples_of(exposition, START_TIME)), None)
    return Reading(engines(found, wanted.per), started, gauged=bool(found["busy"] or found["waiting"]))


def engines(found: Mapping[Role, Iterable[Sample]], per: Iterable[str]) -> dict[Key, Engine]:
    """The samples, engine by engine.

    An engine is what a gauge tells of, or a counter that no gauge covers. Its counters are those with just its labels;
    where there are none, those with fewer or more labels that contradict none of its own: a sum over engines is used
    for want of anything better, never in place of an engine's own counter.
    """
    labels = frozenset(per)
    gauges: dict[Key, tuple[float, float]] = {}  # busy, waiting
    for sample, waits in [*((one, 0.0) for one in found["busy"]), *((one, 1.0) for one in found["waiting"])]:
        key, value = _key(sample, labels), max(0.0, sample.value)
        busy, waiting = gauges.get(key, (0.0, 0.0))
        if key in gauges or len(gauges) < MAX_ENGINES:
            gauges[key] = (busy + value, waiting + value * waits)
    counters, arrivals = _by_key(found["counters"], labels), _by_key(found["arrivals"], labels)
    alone = [key for key in counters if key not in gauges and not any(_agree(key, other) for other in gauges)]
    found_engines = {}
    for key in [*gauges, *alone]:
        busy, waiting = gauges.get(key, (0.0, 0.0))
        found_engines[key] = Engine(busy, waiting, _own(counters, key), _own(arrivals, key))
    return found_engines


def named(key: Key) -> str:
    """An engine for people: `engine=3 model_name=llama`, or "" where there is only one."""
    return " ".join(f"{label}={value}" for label, value in key)


def _key(sample: Sample, labels: frozenset[str]) -> Key:
    return tuple(sorted((label, value) for label, value in sample.labels if label in labels))


def _by_key(samples: Iterable[Sample], labels: frozenset[str]) -> dict[Key, dict[str, float]]:
    found: dict[Key, dict[str, float]] = {}
    for sample in samples:
        key = _key(sample, labels)
        if key in found or len(found) < MAX_ENGINES:
            found.setdefault(key, {})[sample.series] = sample.value
    return found


def _own(counters: Mapping[Key, dict[str, float]], key: Key) -> dict[str, float]:
    if key in counters:
        return counters[key]
    return {series: value for other, some in counters.items() if _agree(key, other) for series, value in some.items()}


def _agree(one: Key, other: Key) -> bool:
    """Whether no label that both have tells them apart."""
    values = dict(one)
    return all(values.get(label, value) == value for label, value in other)
