"""Counts kept in memory while the agent runs; the metrics collector reads them at scrape time."""

from bisect import bisect_left
from typing import Final

from agent.core.model import Result

DURATION_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LATENESS_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


class Histogram:
    """Plain counts per bucket (not cumulative; the last one is everything above), their sum in seconds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """(upper bound, count up to it) pairs as prometheus_client's HistogramMetricFamily takes them."""
        pairs: list[tuple[str, float]] = []
        seen = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            seen += count
            pairs.append(("+Inf" if bound == float("inf") else repr(bound), seen))
        return pairs


class CheckStats:
    """How often one check's rounds ended how, and how long they took."""

    __slots__ = ("durations", "results")

    def __init__(self) -> None:
        self.results: dict[tuple[str, str], int] = {}  # (outcome, reason) -> rounds
        self.durations = Histogram(DURATION_BUCKETS)

    def count(self, result: Result) -> None:
        key = (result.outcome, result.reason)
        self.results[key] = self.results.get(key, 0) + 1
        self.durations.observe(result.duration)


class ContainerStats:
    """How often a container changed, was restarted, or was spared."""

    __slots__ = ("restarts", "suppressed", "time_to_ready", "transitions")

    def __init__(self) -> None:
        self.transitions: dict[tuple[str, str], int] = {}  # (check type, published) -> changes
        self.restarts: dict[tuple[str, str, str], int] = {}  # (action, reason, outcome) -> attempts
        self.suppressed: dict[str, int] = {}  # why -> decisions
        self.time_to_ready: float | None = None  # seconds from the instance's start to its first readiness


def bump(counts: dict, key: object) -> None:  # type: ignore[type-arg]
    """Add one to a count that may not be there yet."""
    counts[key] = counts.get(key, 0) + 1
