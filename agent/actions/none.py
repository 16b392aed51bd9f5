"""The default action: the restart request on /healthz stands, and a platform acts on it."""

from typing import ClassVar

import msgspec

from agent.actions import Order


class NoAction(msgspec.Struct, frozen=True):
    """A platform restarts the container when it asks /healthz/NAME and is told 503."""

    holds: ClassVar[bool] = False  # nobody may come

    async def act(self, order: Order) -> None: ...
