"""How fast a configuration sees faults: the arithmetic of delays, periods, timeouts and thresholds (contract 2).

The figures follow the worker's grid (agent.core.timing): the first round is at once, then one every period.
"""

from math import ceil
from typing import Final

import msgspec

from agent.core.model import Check, CheckType
from agent.core.settings import Container
from agent.core.timing import reached

PLATFORM_WINDOW: Final = 90.0
"""Seconds a platform takes to act on /healthz/NAME: the probe that `render` writes has 9 failures, period 10."""


class Figures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one check's numbers come to, in seconds from the instance's start (first probe) or from the fault."""

    name: str
    type: CheckType
    method: str
    first_probe_seconds: float
    detect_best_seconds: float
    detect_worst_seconds: float
    probes_per_hour: float
    startup_budget_seconds: float | None = None
    platform_detect_worst_seconds: float | None = None


def figures(container: Container) -> list[Figures]:
    """Every check of a container, in document order: startup, readiness, liveness."""
    platform_acts = container.restart.action_name == "none"
    return [_of(check, longest(check, container), platform_acts=platform_acts) for check in container.checks()]


def first_probe(check: Check) -> float:
    """The first beat that probes: rounds before the initial delay is over do nothing (probe-semantics 0, point 2)."""
    period, delay = check.period_seconds, check.initial_delay_seconds
    beat = max(0, ceil(delay / period) - 1)  # division may round either way near a beat: it is this one or the next
    return (beat if reached(beat * period, delay) else beat + 1) * period


def detect_best(check: Check) -> float:
    """From a fault that comes just before a probe and is refused at once."""
    return (check.failure_threshold - 1) * check.period_seconds


def longest(check: Check, container: Container) -> float:
    """Seconds that one probe may take: more than its time-out for a canary in a container without a progress check."""
    alone = getattr(check.options, "alone_after", None)
    if alone is None or any(other.method == "progress" for other in container.checks()):
        return check.timeout_seconds
    return float(alone(check.timeout_seconds))


def detect_worst(check: Check, timeout: float | None = None) -> float:
    """From a fault that comes just after a probe began, when every probe runs into its timeout."""
    timeout = check.timeout_seconds if timeout is None else timeout
    return check.period_seconds + (check.failure_threshold - 1) * max(check.period_seconds, timeout) + timeout


def startup_budget(check: Check) -> float:
    """How long an instance may take to start before it is killed."""
    return first_probe(check) + detect_best(check)


def _of(check: Check, timeout: float, *, platform_acts: bool) -> Figures:
    worst = detect_worst(check, timeout)
    startup = check.type is CheckType.STARTUP
    return Figures(
        name=check.name,
        type=check.type,
        method=check.method,
        first_probe_seconds=_rounded(first_probe(check)),
        detect_best_seconds=_rounded(detect_best(check)),
        detect_worst_seconds=_rounded(worst),
        probes_per_hour=_rounded(3600 / check.period_seconds),
        startup_budget_seconds=_rounded(startup_budget(check)) if startup else None,
        platform_detect_worst_seconds=_rounded(worst + PLATFORM_WINDOW) if platform_acts else None,
    )


def _rounded(number: float) -> float:
    """Milliseconds are enough, and hide what binary fractions leave behind."""
    return round(number, 3)
