"""Tells and does nothing: the record, the metric and the hooks of a kill, while the container stays in service."""

from typing import ClassVar

import msgspec

from agent.actions import Order


class Notify(msgspec.Struct, frozen=True):
    """Counts as an action; no drain, no hold, readiness and /healthz untouched."""

    interrupts: ClassVar[bool] = False
    holds: ClassVar[bool] = False

    async def act(self, order: Order) -> None: ...
