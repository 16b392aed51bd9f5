"""What came of one fault on one server, as it is kept, told and judged."""

from typing import Final, Literal

import msgspec

Wanted = Literal["quiet", "found"]

SLACK_SECONDS: Final = 3.0
"""What a machine with two busy cores may add to a threshold; the run in docs/faults.md needed none of it."""


class Seen(msgspec.Struct, frozen=True):
    """What the agent's log tells of one container, in seconds from the fault; None for what did not come to pass.

    ``early``: a kill that was wanted between the server's being ready and the fault.
    """

    unready: float | None = None
    killed: float | None = None
    reason: str = ""
    check: str = ""
    early: bool = False


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One fault on one server, by the plain check and by the preset. ``due``: seconds that a preset may take."""

    server: str
    fault: str
    wanted: Wanted
    due: float
    plain: Seen
    preset: Seen
    note: str = ""  # how users were served meanwhile

    def told(self, seen: Seen) -> str:
        """One cell of the table."""
        if self.wanted == "quiet":
            if seen.killed is None:
                return "quiet" if seen.unready is None or seen is self.plain else "left alone, not ready meanwhile"
            return f"**FALSELY restarted** after {_seconds(seen.killed)} ({seen.reason})"
        if seen.killed is None:
            return "**missed**"
        found = f"found after {_seconds(seen.killed)} ({seen.reason})"
        return found if seen.unready is None else f"{found}, not ready after {_seconds(seen.unready)}"

    def problem(self) -> str:
        """What the preset got wrong; "" for nothing. A fault is found in time, and out of rotation before that."""
        seen = self.preset
        if seen.early:
            return "restarted before anything was done to it"
        if self.wanted == "quiet":
            return "" if seen.killed is None else f"restarted, for nothing ({seen.check}: {seen.reason})"
        if seen.killed is None:
            return "missed"
        if seen.killed > self.due + SLACK_SECONDS:
            return f"found after {seen.killed:.1f} s only, {self.due:g} s were due"
        if seen.unready is None or seen.unready > seen.killed:
            return "in rotation until it was killed"
        return ""


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
