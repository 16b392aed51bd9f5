"""Reads a Prometheus or OpenMetrics exposition: single series by their exact names, and what tells processes apart."""

import re
from collections.abc import Iterator
from math import isfinite
from typing import Final, NamedTuple

import msgspec

START_TIME: Final = "process_start_time_seconds"
MAX_COUNTERS: Final = 2000  # kept of one exposition for a marker; more of them would tell nothing new
MAX_SAMPLES: Final = 5000  # taken of one name; so many series of one name are a mistake of the exporter
MAX_LINE: Final = 65536  # bytes; a longer line is no sample

Labels = tuple[tuple[str, str], ...]

# Name, labels, value; whatever follows is a timestamp or an exemplar. A label's value may hold braces and blanks.
# The quantifiers are possessive, so that no hostile line costs more than its length.
_SAMPLE: Final = re.compile(
    r"[ \t]*+([A-Za-z_:][A-Za-z0-9_:]*+)[ \t]*+"
    r'(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*+")*+)\})?[ \t]*+([^ \t\r#{]++)(?:[ \t\r]|\Z)'
)
_LABEL: Final = re.compile(r'[ \t]*+([A-Za-z_][A-Za-z0-9_]*+)[ \t]*+=[ \t]*+"((?:[^"\\]|\\.)*+)"[ \t]*+(?:,|\Z)')
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]++\.?[0-9]*+(?:[eE][+-]?[0-9]++)?|\.[0-9]++(?:[eE][+-]?[0-9]++)?)")
_AFTER_NAME: Final = b"{ \t"
_ESCAPES: Final = {r"\\": "\\", r"\"": '"', r"\n": "\n"}
_ESCAPED: Final = re.compile(r'\\[\\"n]')


class Sample(NamedTuple):
    """One sample with a finite value. ``series`` is name and labels as written: what tells it from every other one."""

    name: str
    labels: Labels
    value: float
    series: str


class Marker(msgspec.Struct, frozen=True):
    """``started`` is process_start_time_seconds where it is given; ``counters`` are samples by name and labels."""

    started: float | None = None
    counters: dict[str, float] = msgspec.field(default_factory=dict)


def samples_of(exposition: bytes, name: str) -> Iterator[Sample]:
    """Every finite sample of exactly this name, `_total` or `_count` included, without a look at the other lines.

    Only lines of the name are read: in ten megabytes the search is what costs, and it is the machine's own. NaN and
    infinities are left out: they tell nothing.
    """
    wanted = b"\n" + name.encode()
    at = -1 if exposition.startswith(wanted[1:]) else exposition.find(wanted)
    if at < 0 and not exposition.startswith(wanted[1:]):
        return
    taken = 0
    while taken < MAX_SAMPLES:
        follows = exposition[at + len(wanted) : at + len(wanted) + 1]
        if follows in _AFTER_NAME:  # else the line of a longer name
            end = exposition.find(b"\n", at + 1)
            line = exposition[at + 1 : end if end >= 0 else None]
            found = parse(line.decode("utf-8", "replace")) if len(line) <= MAX_LINE else None
            taken += 1
            if found is not None and found.name == name:
                yield found
        at = exposition.find(wanted, at + 1)
        if at < 0:
            return


def parse(line: str) -> Sample | None:
    """The sample of one line; None where it is a comment, is malformed, or its value tells nothing."""
    found = _SAMPLE.match(line)
    if found is None:
        return None
    name, written, number = found.groups()
    value = _number(number)
    labels = () if written is None else _labels(written)
    if value is None or labels is None:
        return None
    return Sample(name, labels, value, name if written is None else f"{name}{{{written}}}")


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
        name = line.partition("{")[0].partition(" ")[0]  # cheap, and enough to pass most lines over
        is_counter = "counter" in (kinds.get(name), kinds.get(name.removesuffix("_total")))
        if name != START_TIME and not (is_counter and len(counters) < MAX_COUNTERS):
            continue
        found = parse(line)
        if found is None:
            continue
        if name == START_TIME:
            started = found.value
        else:
            counters[found.series] = found.value
    return Marker(started, counters) if started is not None or counters else None


def is_another(before: Marker, now: Marker) -> bool:
    """Whether ``now`` comes from another process: it started at another time, or a counter fell."""
    if None not in (before.started, now.started) and before.started != now.started:
        return True
    return any(value < before.counters.get(series, value) for series, value in now.counters.items())


def _labels(text: str) -> Labels | None:
    """The labels between the braces, or None where they are malformed."""
    labels: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        found = _LABEL.match(text, at)
        if found is None:
            return None if text[at:].strip() else tuple(labels)
        labels.append((found[1], _ESCAPED.sub(_unescaped, found[2]) if "\\" in found[2] else found[2]))
        at = found.end()
    return tuple(labels)


def _unescaped(found: re.Match[str]) -> str:
    return _ESCAPES[found[0]]


def _number(text: str) -> float | None:
    """A finite decimal number; Python's own reading is wider than the format (underscores, other scripts' digits)."""
    if _NUMBER.fullmatch(text) is None:
        return None
    value = float(text)
    return value if isfinite(value) else None
