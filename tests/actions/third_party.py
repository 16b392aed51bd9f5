"""An action as a third party would write it: `tests.actions.third_party:Touch`."""

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from agent.actions import ActionError, Order


class Touch(msgspec.Struct, frozen=True):
    """Leaves a note of each restart in a folder."""

    folder: Annotated[str, Meta(description="where the notes go")]

    async def act(self, order: Order) -> None:
        try:
            await asyncio.to_thread((Path(self.folder) / order.container).write_text, order.reason)
        except OSError as problem:
            raise ActionError(f"{self.folder} takes no notes: {problem.strerror}") from problem
