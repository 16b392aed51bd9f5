"""When a drain is over: its time, or nothing in flight as the server's own gauges say."""

from typing import Final, Literal

import msgspec

IDLE_LOOKS: Final = 2
"""So many looks in a row must find nothing in flight: between two requests of one client a gauge reads 0 too."""

End = Literal["", "idle", "time"]


class Looks(msgspec.Struct, frozen=True):
    """What was seen of the requests in flight; ``last`` is None where it could not be told."""

    zeros: int = 0
    last: float | None = None


def looked(looks: Looks, in_flight: float | None) -> Looks:
    """After one more look."""
    return Looks(looks.zeros + 1 if in_flight is not None and in_flight <= 0 else 0, in_flight)


def is_idle(looks: Looks) -> bool:
    return looks.zeros >= IDLE_LOOKS


def ended(looks: Looks, now: float, until: float, *, until_idle: bool) -> End:
    """How the drain that may last until ``until`` has ended; "" while it goes on. What cannot be told is not idle."""
    if until_idle and is_idle(looks):
        return "idle"
    return "time" if now >= until else ""
