"""Moments that engines and API servers tell in wall-clock time, on the agent's own clock."""

import time
from datetime import UTC, datetime


def unix_time(text: str) -> float | None:
    """The Unix time of an RFC 3339 moment; None for none, and for the year 1 that Go writes for "never"."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp() if moment.year > 1 else None


def monotonic(unix: float | None) -> float | None:
    """A Unix time on time.monotonic()'s scale, as far as the wall clock is right now; never in the future."""
    return None if unix is None else time.monotonic() - max(0.0, time.time() - unix)
