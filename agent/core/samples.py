"""Reads what tells a process from its successor out of a Prometheus exposition: its start time and its counters."""

from math import isnan

import msgspec

MAX_COUNTERS = 2000  # kept of one exposition; more of them would tell nothing new


class Marker(msgspec.Struct, frozen=True):
    """``started`` is process_start_time_seconds where it is given; ``counters`` are samples by name and labels."""

    started: float | None = None
    counters: dict[str, float] = msgspec.field(default_factory=dict)


def marker(exposition: str) -> Marker | None:
    """The marker of one scrape; None where it holds neither a start time nor a counter, which tells nothing."""
    kinds: dict[str, str] = {}
    counters: dict[str, float] = {}
    started = None
    for line in exposition.splitlines():
        if line.startswith("# TYPE "):
            name, _, kind = line[7:].strip().partition(" ")
            kinds[name] = kind
            continue
        series, rest = _split(line)
        value = _number(rest)
        if value is None:
            continue
        name = series.partition("{")[0]
        if name == "process_start_time_seconds":
            started = value
        elif len(counters) < MAX_COUNTERS and "counter" in (kinds.get(name), kinds.get(name.removesuffix("_total"))):
            counters[series] = value
    return Marker(started, counters) if started is not None or counters else None


def is_another(before: Marker, now: Marker) -> bool:
    """Whether ``now`` comes from another process: it started at another time, or a counter fell."""
    if None not in (before.started, now.started) and before.started != now.started:
        return True
    return any(value < before.counters.get(series, value) for series, value in now.counters.items())


def _split(line: str) -> tuple[str, str]:
    """Name and labels, and what follows them; a label's value may hold blanks and braces, a number neither."""
    if "}" in line:
        series, _, rest = line.rpartition("}")
        return f"{series}}}", rest
    name, _, rest = line.partition(" ")
    return name, rest


def _number(text: str) -> float | None:
    """The value before an optional timestamp; NaN tells nothing."""
    words = text.split()
    try:
        value = float(words[0]) if words else None
    except ValueError:
        return None
    return None if value is None or isnan(value) else value
