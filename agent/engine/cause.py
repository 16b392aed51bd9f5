"""What a kill is for: the check that wants it, as it then stood, or an operator."""

import msgspec

from agent.engine.container import Container, Slot

OPERATOR = "operator"


class Cause(msgspec.Struct, frozen=True):
    """``check`` is TYPE/NAME, or operator; ``reason`` its result's, or operator; ``to`` what the check published.

    ``grace`` is the check's own termination grace in seconds, which wins over the container's.
    """

    check: str
    reason: str
    to: str = ""
    grace: float | None = None

    @property
    def name(self) -> str:
        """The check's name as hooks are told it; "" where no check is to blame."""
        return self.check.partition("/")[2]


BY_OPERATOR = Cause(OPERATOR, OPERATOR)


def cause_of(container: Container, slot: Slot) -> Cause:
    """The check as it stands now."""
    return Cause(
        slot.path,
        slot.last.reason if slot.last else "internal",
        str(container.published(slot)),
        slot.check.termination_grace_period_seconds,
    )
