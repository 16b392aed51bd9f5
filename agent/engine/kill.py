"""One kill from its decision to its end: drain, evidence, hook, action, hold, new instance; each step bounded."""

import asyncio
import logging
from contextlib import AbstractAsyncContextManager
from typing import Final

from msgspec.structs import replace

from agent.actions import ExitRequested, LeftAloneError
from agent.core.brakes import Why
from agent.core.settings import Restart
from agent.core.verdict import Record, Step
from agent.engine.acting import Acting
from agent.engine.cause import Cause
from agent.engine.ledger import Ledger
from agent.engine.lookout import Lookout
from agent.engine.statefile import Hold
from agent.engine.surroundings import Surroundings
from agent.engine.watch import Sign
from agent.engine.worker import told_to_leave

NOTHING_FOUND: Final = (
    "the runtime finds nothing that runs: the server is gone already, or `runtime` does not describe it"
)
AGENT_LEFT: Final = "the agent was told to leave before it was over"
STILL_THERE: Final = "the runtime still tells of the old instance: the action did not end it"
SLACK_SECONDS: Final = 1.0  # of what bounds itself as it should
LOOK_SECONDS: Final = 1.0  # how often a hold looks whether the old instance is gone, and what the rules are now

log = logging.getLogger(__name__)


def holds(rule: Restart) -> bool:
    """Whether a new instance is expected after the rule's action, and nothing is probed until it is seen."""
    return interrupts(rule) and bool(getattr(rule.action, "holds", True))


def interrupts(rule: Restart) -> bool:
    """Whether the container goes out of service for the rule's action."""
    return bool(getattr(rule.action, "interrupts", True))


class Kill:
    """What is under way; ``step``, ``requested`` and ``hold`` are shown and remembered.

    ``lookout`` is None where the action interrupts nothing, so that no new instance is to come of it. The order of the
    steps is that of one of the `ways`; what comes first is `open`, or `take_up`.
    """

    def __init__(
        self, around: Surroundings, ledger: Ledger, acting: Acting, cause: Cause, lookout: Lookout | None
    ) -> None:
        self.around, self.ledger, self.acting = around, ledger, acting
        self.cause = cause
        self.lookout = lookout
        self.step: Step = "drain" if lookout is not None and self.rule.drain.max_seconds > 0 else "evidence"
        self.requested = False  # the 503 of /healthz/NAME
        self.hold: Hold | None = None
        self.record: Record | None = None
        self._before = (ledger.backoff, ledger.streak)
        self.over = False
        self.left_alone = False

    @property
    def rule(self) -> Restart:
        return self.ledger.rule

    @property
    def signed(self) -> bool:
        return self.lookout is not None and self.lookout.signed

    @property
    def sign(self) -> Sign | None:
        return None if self.lookout is None else self.lookout.sign

    # -- its steps, in their order -----------------------------------------------------------------------------------

    def open(self) -> None:
        """Begin the first attempt, or the next: it uses one of the budget."""
        self.record = self.ledger.open(self.cause)

    def take_up(self, hold: Hold, record: Record) -> None:
        """Instead: what an earlier process left, which acted and was still waiting for the new instance."""
        self.hold, self.record = hold, record
        self.step, self.requested, self.left_alone = "hold", True, hold.left_alone

    @property
    def _opened(self) -> Record:
        assert self.record is not None  # noqa: S101 - by `open` or `take_up`
        return self.record

    async def prepare(self) -> None:
        """What comes before the action: it is told, drained, looked into, and the hook has its say (it has no veto)."""
        record = self._opened
        self.ledger.tell("restart.decided", record, "decided", level="warning")
        drain = self.rule.drain
        if drain.max_seconds > 0 and self.lookout is not None:
            self.ledger.tell("restart.draining", record, "drain", seconds=drain.max_seconds)
            end = await self.around.drain.of_kill(drain, self.lookout)
            self.ledger.tell("restart.drained", record, "drain", why=end or "over")
        if not self.signed:
            await self.gather()
        if not self.signed or self.sign is not None:
            await self.hook("pre_restart")
        # The action is for the instance that failed: one that came meanwhile ends the kill instead.
        sign = await self.around.watch.another()
        if sign is not None and not sign.first and self.lookout is not None:
            self.lookout.tell(sign)
        if self.around.watch.absent:
            log.warning("runtime.nothing", extra={"container": self._name, "detail": NOTHING_FOUND})
        await self.around.maintenance.look()  # the file may have come meanwhile, which then ends this kill
        await self.acting.unless_leaving()

    async def gather(self) -> None:
        """Evidence of what is about to go: bounded, and never a reason to fail."""
        record, self.step = self._opened, "evidence"
        try:
            async with asyncio.timeout(self.rule.evidence_seconds + SLACK_SECONDS):
                record.evidence = await self.around.evidence(self.ledger.order("evidence", self.cause, record)) or None
        except (Exception, asyncio.CancelledError) as problem:
            if told_to_leave():
                raise
            text = self.around.redact(f"{type(problem).__name__}: {problem}")
            log.warning("evidence.failed", extra={"container": self._name, "detail": text})
        if record.evidence is not None:
            self.ledger.tell("restart.evidence", record, "evidence")

    async def hook(self, name: Step) -> None:
        """One of the hooks around a restart, where there is one."""
        record = self._opened
        if getattr(self.rule.hooks, name) is not None:
            self.step = name
            self.ledger.tell(f"restart.{name}", record, name)
            await self.ledger.hook(name, self.cause, record)

    async def request(self) -> None:
        """Ask the platform, unless it came to that without: the request stands from now on."""
        record = self._opened
        self.ledger.begin()
        await self.around.save()
        await self.acting.unless_leaving()
        if not self.signed:
            self.step, self.requested = "action", True
            self.ledger.asked(self.around.clock())
            self.ledger.tell("restart.requested", record, "action", level="warning")
            order = self.ledger.order("action", self.cause, record)
            self.ledger.note(record, await self.acting.run(self.rule, order))
            await self.around.save()

    async def act_in_passing(self) -> None:
        """The action of a kill that interrupts nothing, and how it ended."""
        record = self._opened
        self.ledger.begin()
        begun = self.around.clock()
        await self.around.save()
        await self.acting.unless_leaving()
        self.step = "action"
        problem = await self.acting.run(self.rule, self.ledger.order("action", self.cause, record))
        self.ledger.acted(begun)
        self.ledger.note(record, problem)
        self.close("failed" if problem else "succeeded")
        await self.around.save()

    def close(self, outcome: str) -> None:
        """How the attempt ended."""
        self.ledger.close(self._opened, outcome)

    async def attempt(self) -> bool:
        """The action once; True when it did its work. An action that has the agent leave does not come back.

        What the next process must know is on disk before: the action may end the agent itself, and the agent may be
        killed in the middle of it.
        """
        record = self._opened
        if self.signed:
            self.close("withdrawn")  # it restarted by itself before we had to, or is to be left alone
            return False
        grace = self.rule.grace_period_seconds if self.cause.grace is None else self.cause.grace
        order = self.ledger.order("action", self.cause, record, grace)  # names the instance that is to go
        self.ledger.begin()
        begun = self.around.clock()
        self._before = (self.ledger.backoff, self.ledger.streak)
        self.ledger.acted(begun)  # as if it were over: whatever saves meanwhile must not have it act again at once
        self.hold = Hold(since=begun, check=record.check, reason=record.reason, action=record.action)
        await self.around.save()
        await self.acting.unless_leaving()
        if self.signed:
            self.hold = None
            self._did_not_act()
            self.close("withdrawn")
            return False
        self.step, self.requested = "action", True
        self.ledger.tell("restart.action", record, "action", level="warning")
        problem = await self.acting.run(self.rule, replace(order, remembers=self.around.remembers))
        self._did_not_act()
        self.ledger.acted(begun)
        if problem is None:
            self.hold = replace(self.hold, acted_at=self.around.clock())
            return True
        if isinstance(problem, LeftAloneError):
            return self._leave_alone(problem)
        self.hold = None
        if isinstance(problem, ExitRequested):
            self.ledger.close(record, "succeeded")
            self.acting.leaving = True
            self.around.leave(problem.code)  # which saves
            await self.acting.unless_leaving()
        self.ledger.note(record, problem)
        self.ledger.close(record, "failed")
        return False

    def _leave_alone(self, problem: LeftAloneError) -> bool:
        """Somebody took it down: no attempt of ours, and whoever did will start it again, whenever that is."""
        assert self.hold is not None  # noqa: S101 - set before the action
        self.left_alone = True
        self.hold = replace(self.hold, acted_at=self.around.clock(), left_alone=True)
        self._did_not_act()
        self.ledger.refund()
        self.ledger.note(self._opened, problem)
        self.close("withdrawn")
        return True

    @property
    def _expects_nobody(self) -> bool:
        """No new instance is due: policy Never, which a reload may change, or a human's doing."""
        return self.left_alone or self.rule.policy == "Never"

    def _did_not_act(self) -> None:
        """What was saved for the case of a crash is not so, or not so yet."""
        self.ledger.backoff, self.ledger.streak = self._before

    async def wait_to_retry(self) -> Why:
        """After a failed action: wait for the backoff, or for a sign; why nothing may be done any more, or ""."""
        why = self.ledger.why_not_again(self.around.clock())
        if why:
            return why
        self.step = "retry"
        await self.around.save()
        await self.await_sign(self.ledger.waiting(self.around.clock()))
        await self.acting.unless_leaving()
        self.ledger.choose(self.around.clock())
        return self.ledger.why_not_again(self.around.clock())

    async def wait_for_instance(self, *, again: bool = False) -> None:
        """The hold: until a sign of the new instance, or until one is assumed; it never lasts for ever.

        Under policy Never none is expected: the container stays down, nothing is asked for, and a sign is taken over.
        ``again``: an earlier process acted.
        """
        record = self._opened
        assert self.hold is not None  # noqa: S101 - the action has just set it, or the state file held it
        acted_at = self.around.clock() if self.hold.acted_at is None else self.hold.acted_at
        self.hold = replace(self.hold, acted_at=acted_at)  # for the next process this is no doubt any more
        if self._expects_nobody:
            if not record.outcome:
                self.ledger.close(record, "succeeded", again=again)
            self.step, self.requested = "", False
        else:
            self.step = "gone" if self.around.watch.known is not None else "hold"
            self.ledger.tell("restart.holding", record, self.step)
        await self.around.save()
        sign = await self._until_assumed(acted_at, record)
        if sign is not None:
            sign = await self.around.watch.latest(sign)  # it may be of before the action's end
        if not record.outcome:
            if sign is None and self.step == "gone" and not self.around.watch.absent:
                record.detail = STILL_THERE
            self.ledger.close(record, "timed_out" if sign is None else "succeeded")
        await self.end(sign or Sign("assumed"))

    async def _until_assumed(self, acted_at: float, record: Record) -> Sign | None:
        """The sign, or None once a new instance is to be assumed, which is never while the policy is Never."""
        while True:
            if self.step == "gone" and self.around.watch.absent:
                self.step = "hold"
                self.ledger.tell("restart.gone", record, "gone")
            never = self._expects_nobody
            left = acted_at + self.rule.assumed_after - self.around.clock()
            if left <= 0 and not never:
                return None
            sign = await self.await_sign(LOOK_SECONDS if never else min(left, LOOK_SECONDS))
            if sign is not None:
                return sign

    async def end(self, sign: Sign | None) -> None:
        """The kill is over: with a new instance, of which the hook is told, or (None) without one."""
        self.clear()
        if sign is not None:
            self.around.renew(sign)
        elif not self.around.container.running:
            self.around.container.resume(self.around.clock())
        await self.around.save()
        if sign is not None:
            await self.hook("post_restart")
        self.step = ""

    async def resign(self, why: Why) -> None:
        """The action failed and may not be tried again: the same instance is probed on, and nobody acts."""
        self.clear()
        container, now = self.around.container, self.around.clock()
        slot = container.slot(self.cause.check)
        if why and slot is not None:  # before it is looked at again: who has given up is not ready
            self.ledger.suppress(self.cause, why, now)
        container.resume(now)
        if why and slot is not None:
            container.wanted = slot
        await self.around.save()

    def clear(self) -> None:
        self.step, self.requested, self.hold, self.over = "", False, None, True

    def leave_to_the_next(self) -> None:
        """The agent ended, and no action runs: a hold is the next process's, what was still to come did not happen."""
        if self.hold is not None and self.hold.acted_at is None:
            self.hold = None
            self._did_not_act()
        if self.hold is None and self.record is not None and not self.record.outcome:
            self.record.detail = AGENT_LEFT
            self.ledger.close(self.record, "withdrawn")

    def fail(self) -> None:
        """A bug of ours must not leave the container held for ever: probing goes on."""
        if self.record is not None and not self.record.outcome:
            self.ledger.close(self.record, "failed")
        self.clear()
        if self.lookout is not None:
            self.around.container.resume(self.around.clock())

    # -- the look-out ------------------------------------------------------------------------------------------------

    @property
    def _name(self) -> str:
        return self.around.container.spec.name

    async def await_sign(self, seconds: float | None) -> Sign | None:
        return None if self.lookout is None else await self.lookout.wait(seconds)

    def looking(self, *, edge_counts: bool = False) -> AbstractAsyncContextManager[None]:
        assert self.lookout is not None  # noqa: S101 - only `tell_only` has none
        return self.lookout.looking(
            edge_counts=edge_counts or self.around.container.ever_started, counters_count=self._is_held
        )

    def _is_held(self) -> bool:
        return self.hold is not None and self.step in ("gone", "hold")
