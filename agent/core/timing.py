"""When a worker's rounds fall due: a fixed grid on which one late beat is remembered and further ones are dropped."""

from math import floor
from typing import Final

ROUNDING: Final = 1e-6  # seconds: above what floats err by in years of uptime, below whatever is configured


def reached(elapsed: float, delay: float) -> bool:
    """Whether ``delay`` seconds have passed; 3 * 0.7 comes out a hair below 2.1, and is 2.1."""
    return elapsed + ROUNDING >= delay


class Grid:
    """Beats at anchor + k * period, in seconds of any clock; nothing here reads one.

    A beat that falls due while a round runs is taken as soon as that round is over; of several only the first
    (probe-semantics 1.2). The beat is computed, never accumulated, so that the grid does not drift.
    """

    __slots__ = ("_next", "anchor", "period")

    def __init__(self, anchor: float, period: float) -> None:
        self.anchor = anchor
        self.period = period
        self._next = 0  # the beat that comes next; the first is at the anchor itself

    @property
    def due(self) -> float:
        """When the next round is due; in the past where a beat is remembered."""
        return self.anchor + self._next * self.period

    def take(self, now: float) -> None:
        """A round for the beat that is due begins now: of the beats missed until now this was the remembered one."""
        passed = floor((now - self.anchor) / self.period)
        # Division may round either way at a beat: trust the product, which is what `due` says.
        if self.anchor + (passed + 1) * self.period <= now:
            passed += 1
        elif self.anchor + passed * self.period > now:
            passed -= 1
        self._next = max(passed, self._next) + 1

    def restart(self, now: float) -> None:
        """A triggered round begins now; the next beat is a period away."""
        self.anchor = now
        self._next = 1
