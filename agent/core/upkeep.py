"""Maintenance: until when an operator has the agent keep its hands off, and what readiness says meanwhile."""

from typing import Literal

import msgspec

Readiness = Literal["keep", "false"]


class Upkeep(msgspec.Struct, frozen=True):
    """What was asked for. ``until`` is seconds on the engine's clock, None where nothing was."""

    until: float | None = None
    ready: Readiness = "keep"
    file: bool = False  # the maintenance file was there when it was last looked for


def begun(upkeep: Upkeep, now: float, seconds: float, ready: Readiness) -> Upkeep:
    """Asked for anew: what was asked for before no longer counts; 0 seconds end it."""
    return Upkeep(now + seconds if seconds > 0 else None, ready if seconds > 0 else "keep", upkeep.file)


def found(upkeep: Upkeep, *, file: bool) -> Upkeep:
    """The file was looked for."""
    return Upkeep(upkeep.until, upkeep.ready, file)


def stands(upkeep: Upkeep, now: float) -> bool:
    """Whether nothing is to be done about the container now."""
    return upkeep.file or _asked(upkeep, now)


def hides(upkeep: Upkeep, now: float) -> bool:
    """Whether the container is to be not ready meanwhile; the file alone leaves readiness as it is."""
    return upkeep.ready == "false" and _asked(upkeep, now)


def left(upkeep: Upkeep, now: float) -> float | None:
    """Seconds until it ends by itself; None where it does not, or there is none."""
    return upkeep.until - now if upkeep.until is not None and _asked(upkeep, now) else None


def _asked(upkeep: Upkeep, now: float) -> bool:
    return upkeep.until is not None and now < upkeep.until
