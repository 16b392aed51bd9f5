"""When a restart that does not help is followed by another action: kills in a row, and the step they have reached."""

from collections.abc import Sequence

import msgspec

from agent.core.settings import Escalation


class Streak(msgspec.Struct, frozen=True):
    """Kills in a row: how many, and when the last one's action ended (engine clock, seconds)."""

    kills: int = 0
    last: float | None = None


def length(streak: Streak, now: float, within: float) -> int:
    """Kills of the row that one begun ``now`` would continue; 0 where the last one was longer ago than ``within``."""
    if streak.last is None or now - streak.last > within:
        return 0
    return streak.kills


def killed(streak: Streak, begun: float, ended: float, within: float) -> Streak:
    """After one more action, done or failed, that was decided at ``begun``."""
    return Streak(length(streak, begun, within) + 1, ended)


def level(steps: Sequence[Escalation], kills: int) -> int:
    """Which action is due after so many kills in a row: 0 the restart's own, n the n-th step's."""
    return sum(kills >= step.after for step in steps)
