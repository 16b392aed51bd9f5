"""Decides on one container's kills and has them carried out, one at a time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from agent.core.model import Published
from agent.core.verdict import BEFORE_ACTION, Phase, Step, phase_of
from agent.engine import ways
from agent.engine.acting import Acting
from agent.engine.cause import BY_OPERATOR, Cause, cause_of
from agent.engine.container import Sentence, Slot
from agent.engine.kill import Kill, holds, interrupts
from agent.engine.ledger import Ledger
from agent.engine.lookout import Lookout
from agent.engine.statefile import Hold
from agent.engine.surroundings import Surroundings
from agent.engine.watch import Sign
from agent.engine.worker import told_to_leave

log = logging.getLogger(__name__)


class Remedy:
    """The restarts of one container; `step`, `phase` and `requested` are what the endpoints show."""

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self.ledger = Ledger(around)
        self.acting = Acting()
        self.cause = ""  # TYPE/CHECK of the last kill that was wanted, or operator
        self.kill: Kill | None = None  # the last one; see `busy` and `under_way`
        self._task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """A kill is under way that a new instance ends: signs belong to it."""
        return self.kill is not None and self.kill.lookout is not None and not self.kill.over

    @property
    def under_way(self) -> bool:
        """The same, or an action that interrupts nothing, or the hook after either."""
        return self._task is not None and not self._task.done()

    @property
    def step(self) -> Step:
        return "" if self.kill is None else self.kill.step

    @property
    def requested(self) -> bool:
        return self.kill is not None and self.kill.requested

    @property
    def hold(self) -> Hold | None:
        return None if self.kill is None else self.kill.hold

    @property
    def phase(self) -> Phase:
        if self.kill is None and not self.around.drain.ordered and not self.ledger.given_up:
            return ""  # nearly always, and asked for with each answer of the endpoints
        return phase_of(
            self.step if self.busy else "",  # what interrupts nothing is no phase
            drains=self.ledger.rule.drain.max_seconds > 0,
            given_up=self.ledger.given_up,
            drained=self.around.drain.ordered,
        )

    def sentence(self, slot: Slot, now: float) -> Sentence:
        """Decide on a kill that ``slot`` wants.

        While the one before is not quite over (its hook, or an action that nobody waits for), nothing is decided: the
        next failed round asks again.
        """
        if self.under_way:
            self.also(slot)
            return Sentence.SPARE
        cause = cause_of(self.around.container, slot)
        self.cause = cause.check
        if not self.ledger.permits(cause, now):
            return Sentence.SPARE_AND_RESET if self.ledger.suppressed == "dry_run" else Sentence.SPARE
        if interrupts(self.ledger.rule):
            return Sentence.KILL if holds(self.ledger.rule) else Sentence.ASK
        self._tell_only(cause)
        return Sentence.SPARE_AND_RESET

    def order(self) -> str:
        """An operator wants a restart: why it is refused (busy, leaving, or a brake), or "" and it begins."""
        container, now = self.around.container, self.around.clock()
        if self.acting.leaving or self.under_way or not container.running:
            return "leaving" if self.acting.leaving else "busy"
        why = self.ledger.refuses_order(now)
        if why:
            return why
        self.ledger.resume()
        self.ledger.no_longer_wanted()
        self.cause = BY_OPERATOR.check
        if interrupts(self.ledger.rule):
            container.order(Sentence.KILL if holds(self.ledger.rule) else Sentence.ASK, now)
        else:
            self._tell_only(BY_OPERATOR)
        return ""

    def begin(self, slot: Slot | None) -> None:
        """The kill was permitted and the container is down for it, or asked for: carry it out."""
        cause = BY_OPERATOR if slot is None else cause_of(self.around.container, slot)
        self.kill = kill = self._new(cause, Lookout(self.around.container.spec.name, self.around.watch))
        kill.open()
        self._start(kill, ways.restart if holds(self.ledger.rule) else ways.ask)

    def resume(self, hold: Hold) -> None:
        """An earlier process acted and was still waiting for the new instance: so does this one."""
        self.cause = hold.check
        lookout = Lookout(self.around.container.spec.name, self.around.watch)
        self.kill = kill = self._new(Cause(hold.check, hold.reason), lookout)
        kill.take_up(hold, self.ledger.reopen(hold))
        self._start(kill, ways.resumed)

    def also(self, slot: Slot) -> None:
        """This check fails too while a kill is under way: recorded, and not acted on."""
        if self.kill is not None:
            self.ledger.also(self.kill.record, slot.path, slot.last.reason if slot.last else "internal")

    def signed(self, sign: Sign | None) -> None:
        """A new instance was seen while a kill is under way, or (None) what it was for has passed."""
        if self.kill is not None and self.kill.lookout is not None and self.busy:
            self.kill.lookout.tell(sign)

    def reconsider(self) -> None:
        """After a reload: what is asked, or has not acted yet, ends where the action is of another kind now, or none.

        The check that wanted it asks anew with its next failed round. What waits to be tried again looks for itself.
        """
        rule, container = self.ledger.rule, self.around.container
        if container.is_asked:
            if holds(rule) or rule.dry_run or not interrupts(rule):
                container.withdraw(self.around.clock())
        elif self.step in BEFORE_ACTION and (rule.dry_run or not holds(rule)):
            self.signed(None)

    def stand_down(self) -> None:
        """Maintenance begins: what is asked for is asked no more, and what has not acted yet does not."""
        container = self.around.container
        if container.is_asked:
            slot = container.asked
            container.withdraw(self.around.clock())
            if slot is not None and container.published(slot) is Published.FAILURE:
                self.ledger.suppressed, container.wanted = "maintenance", slot
        elif self.step in BEFORE_ACTION or self.step == "retry":
            self.signed(None)

    async def stop(self) -> None:
        """Finish a running action, then leave the rest to the next process (contract 5, SIGTERM)."""
        await self.acting.finish()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self.kill is not None:
            self.kill.leave_to_the_next()

    def _new(self, cause: Cause, lookout: Lookout | None) -> Kill:
        return Kill(self.around, self.ledger, self.acting, cause, lookout)

    def _tell_only(self, cause: Cause) -> None:
        self.kill = kill = self._new(cause, None)
        kill.open()
        self._start(kill, ways.tell_only)

    def _start(self, kill: Kill, way: Callable[[Kill], Awaitable[None]]) -> None:
        self._task = asyncio.get_running_loop().create_task(self._guarded(kill, way), name="remedy")

    async def _guarded(self, kill: Kill, way: Callable[[Kill], Awaitable[None]]) -> None:
        """A bug of ours is told, and nothing is held for it."""
        try:
            await way(kill)
        except (Exception, asyncio.CancelledError):
            if told_to_leave():
                raise
            log.exception("remedy.error", extra={"container": self.around.container.spec.name})
            kill.fail()
