"""Has the agent itself leave with an exit status, for a platform that acts on it (restartPolicyRules)."""

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from agent.actions import ExitRequested, Order


class Exit(msgspec.Struct, frozen=True):
    """The agent leaves in order, with this exit status."""

    code: Annotated[int, Meta(ge=1, le=255, description="the agent's exit status")] = 1

    needs_state_file: ClassVar[bool] = True

    async def act(self, order: Order) -> None:  # noqa: ARG002 - whatever it is about
        raise ExitRequested(self.code)
