"""What "the same transitions, within one period" means: a pure comparison of the kubelet and the agent.

Both watch the same scripted server, each a copy of its own, and each on a grid of its own: the kubelet of 1.20 starts
every worker at a random phase. A timetable is made so that the phase cannot change which transitions come, only when,
and by less than a period. So for each probe type

- the order must be the one that the timetable names, on both sides; and
- a transition must come equally long after what it follows from, give or take one period of its check.

What it follows from (``since``) is the script, whose clock starts as the instance begins to serve (``served``), or
something of the prober's own, which is then taken from the same side: that it saw the instance run, from where delays
count (``running``), let this probe begin (``started``), or ended the instance (``killed``). A moment that is known to
the second only is an interval; two intervals are as far apart as their nearest ends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Probe = Literal["startup", "readiness", "liveness"]
To = Literal["started", "ready", "unready", "killed"]
Since = Literal["served", "running", "started", "killed"]

PROBES: tuple[Probe, ...] = ("startup", "readiness", "liveness")


@dataclass(frozen=True)
class Expected:
    """One transition that a timetable leads to; ``instance`` is the one whose script it follows from, from 1."""

    probe: Probe
    to: To
    since: Since = "served"
    instance: int = 1


@dataclass(frozen=True)
class Seen:
    """One transition as it was observed, somewhere between two moments (Unix time)."""

    probe: Probe
    to: To
    earliest: float
    latest: float


@dataclass(frozen=True)
class Side:
    """What one prober did, Unix times in their order.

    ``served``: each instance of its server began to serve; ``running``: it took an instance for one that runs.
    """

    name: str
    served: tuple[float, ...]
    running: tuple[float, ...]
    seen: tuple[Seen, ...]

    def order(self, probe: Probe) -> list[To]:
        return [one.to for one in self.seen if one.probe == probe]

    def __str__(self) -> str:
        seen = ", ".join(f"{one.probe} {one.to} {one.earliest:.2f}..{one.latest:.2f}" for one in self.seen)
        return f"{self.name}: instances served from {self.served}; {seen}"


@dataclass(frozen=True)
class Pair:
    """A transition of both sides: seconds since what it follows from, as intervals, and how far apart they may be."""

    expected: Expected
    kubelet: tuple[float, float]
    agent: tuple[float, float]
    period: float

    @property
    def apart(self) -> float:
        return max(0.0, self.kubelet[0] - self.agent[1], self.agent[0] - self.kubelet[1])

    def __str__(self) -> str:
        one = self.expected
        return (
            f"{one.probe} {one.to} since {one.since} ({one.instance}): kubelet {_told(self.kubelet)}, "
            f"agent {_told(self.agent)}: {self.apart:.2f} s apart, period {self.period:g} s"
        )


def disorder(expected: Sequence[Expected], *sides: Side) -> list[str]:
    """Where a side's transitions of a probe type are not those of the timetable, in its order."""
    wrong = []
    for probe in PROBES:
        wanted = [one.to for one in expected if one.probe == probe]
        wrong += [
            f"{probe}: the {side.name} went {side.order(probe)}, the timetable {wanted}"
            for side in sides
            if side.order(probe) != wanted
        ]
    return wrong


def pairs(expected: Sequence[Expected], periods: Mapping[Probe, float], kubelet: Side, agent: Side) -> list[Pair]:
    """The transitions of both sides one by one, measured. The orders must agree already."""
    found = []
    for probe in PROBES:
        ours = [one for one in expected if one.probe == probe]
        theirs = [[one for one in side.seen if one.probe == probe] for side in (kubelet, agent)]
        found += [
            Pair(one, after(kubelet, one, k), after(agent, one, a), periods[probe])
            for one, k, a in zip(ours, *theirs, strict=True)
        ]
    return found


def after(side: Side, expected: Expected, seen: Seen) -> tuple[float, float]:
    """Seconds since what the transition follows from, at least and at most."""
    if expected.since in ("served", "running"):
        before = [at for at in side.running if at <= seen.latest]
        start = before[-1] if expected.since == "running" else side.served[expected.instance - 1]
        return seen.earliest - start, seen.latest - start
    cause = [one for one in side.seen if one.to == expected.since and one.earliest <= seen.latest][-1]
    return max(0.0, seen.earliest - cause.latest), seen.latest - cause.earliest


def run_before(answers: Sequence[tuple[float, str]], moment: float) -> int:
    """How many equal answers in a row a prober had when it came to its verdict; 0 where it had none."""
    had = [answer for at, answer in answers if at <= moment]
    run = 0
    while run < len(had) and had[-1 - run] == had[-1]:
        run += 1
    return run


def _told(interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{low:.2f}" if high - low < 0.01 else f"{low:.2f}..{high:.2f}"
