"""How long an engine's counters have stood still while it worked, in the last hour: what its longest steps take."""

from math import ceil
from typing import Final

import msgspec

WINDOW: Final = 3600.0  # seconds
SLOT: Final = 300.0  # short gaps are only counted, in slots of so many seconds
MOST_LONG: Final = 1000
TIMES: Final = 10.0  # so many of the longest usual gaps must pass before standing still is unusual
LONGEST: Final = 1800.0  # and no longer than this, whatever was usual


class Gaps(msgspec.Struct, frozen=True):
    """``long`` are the gaps that matter, as (when it ended, seconds); ``short`` counts the others as (slot, count)."""

    long: tuple[tuple[float, float], ...] = ()
    short: tuple[tuple[int, int], ...] = ()


def noted(gaps: Gaps, gap: float, at: float, *, matters: float) -> Gaps:
    """One more progress event, seen at ``at`` after ``gap`` seconds for which the counters certainly stood still.

    A gap below ``matters`` seconds can't move the threshold, so only that there was one is kept.
    """
    slot = int(at // SLOT)
    first = int((at - WINDOW) // SLOT)
    long = tuple(one for one in gaps.long if at - one[0] < WINDOW)
    short = tuple(one for one in gaps.short if one[0] > first)
    if gap >= matters:
        return Gaps((*long, (at, gap))[-MOST_LONG:], short)
    if short and short[-1][0] == slot:
        return Gaps(long, (*short[:-1], (slot, short[-1][1] + 1)))
    return Gaps(long, (*short, (slot, 1)))


def usual(gaps: Gaps, now: float) -> float:
    """The 99th percentile (nearest rank) of the last hour's gaps, in seconds; a short gap counts as none."""
    first = int((now - WINDOW) // SLOT)
    long = sorted(gap for at, gap in gaps.long if now - at < WINDOW)
    short = sum(count for slot, count in gaps.short if slot > first)
    rank = ceil(0.99 * (short + len(long)))
    return long[rank - short - 1] if rank > short else 0.0


def allowance(gaps: Gaps, now: float) -> float:
    """How long standing still is usual enough to be waited for, seconds."""
    return min(TIMES * usual(gaps, now), LONGEST)
