"""Follows the connection edge on a container's liveness port from what its probes meet there."""

import asyncio
from typing import TYPE_CHECKING

from agent.core import instance as signs
from agent.core.model import Result
from agent.engine.container import Slot
from agent.engine.watch import Sign

if TYPE_CHECKING:
    from agent.engine.guard import Guard


class Edges:
    """A server that was refused twice in a row and then accepts has been started again (contract 5, sign 3)."""

    def __init__(self, guard: "Guard") -> None:
        self._guard = guard
        self._following: asyncio.Task[None] | None = None

    def note(self, slot: Slot, result: Result) -> None:
        """A round has ended. A probe may be the first to be accepted, and the first to be refused."""
        guard, container = self._guard, self._guard.container
        address = container.spec.address_of(slot.check)
        if address is None or address != guard.watch.address:
            return
        if guard.remedy.busy and result.reached:  # before the recovery withdraws everything
            guard.watch.edge, seen = signs.accepted(guard.watch.edge)
            if seen and container.ever_started and guard.watch.known is None:
                guard.remedy.signed(Sign("edge"))
        # A refusal of another port than liveness asks, of readiness say, is no end of the server's.
        refused = result.reason == "refused" and address in map(container.spec.address_of, container.spec.liveness)
        if refused and container.running and container.started and not guard.remedy.busy and not self.tasks():
            guard.watch.refused()
            self._following = asyncio.create_task(self._follow(), name=f"edge {container.spec.name}")

    def tasks(self) -> list["asyncio.Task[None]"]:
        """What is under way."""
        return [self._following] if self._following is not None and not self._following.done() else []

    def stop(self) -> None:
        """A kill begins, which looks out by itself."""
        for task in self.tasks():
            task.cancel()

    async def _follow(self) -> None:
        """From a refused probe until the port accepts again: a server that crashed by itself is a new one."""
        guard, container = self._guard, self._guard.container
        instance = container.instance
        edge = await guard.watch.until_accepted()
        same = container.instance == instance and container.started and not guard.remedy.busy
        if edge and same and guard.watch.known is None:
            guard.seen(Sign("edge"))
        elif same:
            await guard.ask_runtime()
