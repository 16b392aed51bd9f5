"""What an operator may have one container do: what the admin listener's paths and the command line come down to."""

from typing import TYPE_CHECKING, Final

from agent.core.upkeep import Readiness

if TYPE_CHECKING:
    from agent.engine.guard import Guard

LONGEST_SECONDS: Final = 2_147_483_647.0  # as every number of seconds in the configuration
REFUSALS: Final = {
    "busy": "a restart is under way already, or nothing runs that could be restarted",
    "leaving": "the agent is about to end",
    "maintenance": "it is in maintenance: end that first",
    "dry_run": "restart.dry_run is set: nothing is ever done",
}


class Operator:
    """The orders of one container. What changes what must survive the agent is on disk when a call returns."""

    def __init__(self, guard: "Guard") -> None:
        self._guard = guard

    async def restart(self) -> str:
        """Restart it, as a kill with reason `operator`; "" once that has begun, else why it is refused, in words.

        It is refused while a restart is under way, in maintenance, and where `dry_run` is set; the other brakes guard
        against the agent's own judgement and do not hold for a human's. Given up is left. It uses one of the budget.
        """
        refused = self._guard.remedy.order()
        await self._guard.save()
        return REFUSALS.get(refused, refused)

    async def resume(self) -> bool:
        """Take it out of given up, its budget whole again, and withdraw a restart that an operator asked for.

        Returns whether there was anything to resume from.
        """
        guard = self._guard
        ordered = guard.container.ordered
        if ordered:
            guard.container.withdraw(guard.clock())
        resumed = guard.remedy.ledger.resume()
        await guard.save()
        return resumed or ordered

    async def maintain(self, seconds: float, ready: Readiness = "keep") -> None:
        """Keep hands off for so long from now, ready as it is or not at all; 0 seconds end it (a file still counts)."""
        self._guard.maintenance.order(min(seconds, LONGEST_SECONDS), ready)
        await self._guard.save()

    async def drain(self, seconds: float = 300.0) -> None:
        """Not ready for so long from now, or until a new instance; nobody is killed for it. 0 seconds end it."""
        self._guard.drain.order(min(seconds, LONGEST_SECONDS))
        await self._guard.save()

    async def drained(self) -> bool:
        """Wait until nothing is in flight (True), or the drain is over otherwise (False)."""
        return await self._guard.drain.idle()

    def probe(self) -> None:
        """Run a round of every check at once; the next one of each is a period away."""
        self._guard.workers.trigger(self._guard.container.slots)
