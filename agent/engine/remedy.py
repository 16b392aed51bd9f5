"""Carries out one container's kills, one at a time: drain, action, hold, new instance; each step bounded."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from msgspec.structs import replace

from agent.actions import ExitRequested, Order
from agent.core.settings import Restart
from agent.core.verdict import Phase, Record
from agent.engine.container import Sentence, Slot
from agent.engine.ledger import Ledger
from agent.engine.statefile import Hold
from agent.engine.surroundings import Surroundings
from agent.engine.watch import Sign
from agent.engine.worker import told_to_leave

NOTHING_FOUND: Final = (
    "the runtime finds nothing that runs: the server is gone already, or `runtime` does not describe it"
)
POLICY_SECONDS: Final = 1.0  # how often a wait without end looks whether it still is one

log = logging.getLogger(__name__)


class Remedy:
    """The restarts of one container; ``step`` and ``requested`` are what the endpoints show."""

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self.ledger = Ledger(around)
        self.step: Phase = ""
        self.requested = False
        self.cause = ""  # TYPE/CHECK of the last kill that was wanted
        self.hold: Hold | None = None
        self.leaving = False  # the agent is told to end: what has not begun is left to the next process
        self._record: Record | None = None  # of the kill under way
        self._sign: asyncio.Future[Sign | None] | None = None  # pending while a kill is under way; None: withdrawn
        self._task: asyncio.Task[None] | None = None
        self._acting: asyncio.Task[None] | None = None

    @property
    def rule(self) -> Restart:
        return self.around.container.spec.restart

    @property
    def _name(self) -> str:
        return self.around.container.spec.name

    @property
    def phase(self) -> Phase:
        return self.step or ("given_up" if self.ledger.given_up else "")

    @property
    def busy(self) -> bool:
        """A kill is under way: signs of a new instance belong to it."""
        return self._sign is not None

    @property
    def _holds(self) -> bool:
        """Whether a new instance is expected after the action, and nothing is probed until it is seen."""
        return bool(getattr(self.rule.action, "holds", True))

    def sentence(self, slot: Slot, now: float) -> Sentence:
        """Decide on a kill that ``slot`` wants.

        While the one before is not quite over (its hook, or an action that nobody waits for), nothing is decided: the
        next failed round asks again.
        """
        if self._task is not None and not self._task.done():
            return Sentence.SPARE
        self.cause = slot.path
        if not self.ledger.permits(slot, now):
            return Sentence.SPARE_AND_RESET if self.ledger.suppressed == "dry_run" else Sentence.SPARE
        if getattr(self.rule.action, "interrupts", True):
            return Sentence.KILL if self._holds else Sentence.ASK
        self._start(self._tell_only, slot)
        return Sentence.SPARE_AND_RESET

    def begin(self, slot: Slot) -> None:
        """The kill was permitted and the container is down for it, or asked for: carry it out."""
        self._sign = asyncio.get_running_loop().create_future()
        self.step = "draining" if self.rule.drain.max_seconds > 0 else "restarting"
        self._start(self._restart if self._holds else self._ask, slot)

    def resume_hold(self, hold: Hold) -> None:
        """An earlier process acted and was still waiting for the new instance: so does this one."""
        self.cause, self.hold = hold.check, hold
        self.step, self.requested = "holding", True
        self._sign = asyncio.get_running_loop().create_future()
        self._start(self._resumed, self.ledger.reopen(hold))

    def signed(self, sign: Sign | None) -> None:
        """A new instance was seen while a kill is under way, or (None) what it was for has passed."""
        if self._sign is not None and not self._sign.done():
            self._sign.set_result(sign)

    def reconsider(self) -> None:
        """After a reload: a request that stands is withdrawn where the agent is now to act by itself."""
        if self.around.container.asked is not None and self._holds:
            self.around.container.withdraw(self.around.clock())

    async def stop(self) -> None:
        """Finish a running action, then leave the rest to the next process (contract 5, SIGTERM)."""
        if self._acting is not None and not self._acting.done():
            await asyncio.wait([self._acting])  # it has a deadline of its own
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _restart(self, slot: Slot) -> None:
        """An action that ends the instance: drained before, held afterwards."""
        self._record = self.ledger.open(slot)
        async with self._looking_out():
            await self._prepare(slot, self._record)
            while not await self._attempt(slot, self._record):
                if self._signed:  # it is another instance already, by itself or for all that the action failed
                    await self._over(await self._await_sign(0), slot, self._record)
                    return
                if not await self._may_retry():
                    await self._resign(slot)
                    return
                self._record = self.ledger.open(slot)
            await self._wait_for_instance(slot, self._record)

    async def _ask(self, slot: Slot) -> None:
        """An action that holds nothing (none): the request stands until somebody came or it is no longer needed."""
        self._record = record = self.ledger.open(slot)
        async with self._looking_out():
            await self._prepare(slot, record)
            await self.around.save()
            if not self._signed:
                self.step, self.requested = "restarting", True
                self.ledger.tell("restart.requested", record, "action", level="warning")
                self.ledger.note(record, await self._run_action(self.ledger.order("action", slot, record)))
            sign = await self._await_sign(None)
        # A new instance that came before anything was asked for is no success of the asking.
        self.ledger.close(record, "succeeded" if sign is not None and self.requested else "withdrawn")
        await self._over(sign, slot, record)

    async def _tell_only(self, slot: Slot) -> None:
        """An action that interrupts nothing (notify): counted and told; no drain, no hold, readiness untouched."""
        self._record = record = self.ledger.open(slot)
        begun = self.around.clock()
        await self.around.save()
        await self.ledger.hook("pre_restart", slot, record)
        problem = await self._run_action(self.ledger.order("action", slot, record))
        self.ledger.acted(begun)
        self.ledger.note(record, problem)
        self.ledger.close(record, "failed" if problem else "succeeded")
        await self.around.save()
        await self.ledger.hook("post_restart", slot, record)

    async def _prepare(self, slot: Slot, record: Record) -> None:
        """What comes before the action: it is told, drained, and the hook has its say (it has no veto)."""
        self.ledger.tell("restart.decided", record, "decided", level="warning")
        seconds = self.rule.drain.max_seconds
        if seconds > 0:
            self.ledger.tell("restart.draining", record, "drain", seconds=seconds)
            await self._await_sign(seconds)
        await self.ledger.hook("pre_restart", slot, record)
        # The action is for the instance that failed: one that came meanwhile ends the kill instead.
        sign = await self.around.watch.another()
        if sign is not None and not sign.first:
            self.signed(sign)
        if self.around.watch.absent:
            log.warning(
                "runtime.nothing", extra={"container": self.around.container.spec.name, "detail": NOTHING_FOUND}
            )
        await self._unless_leaving()

    async def _attempt(self, slot: Slot, record: Record) -> bool:
        """The action once; True when it did its work. An action that has the agent leave does not come back.

        What the next process must know is on disk before: the action may end the agent itself, and the agent may be
        killed in the middle of it.
        """
        grace = slot.check.termination_grace_period_seconds
        grace = self.rule.grace_period_seconds if grace is None else grace
        order = self.ledger.order("action", slot, record, grace)
        begun, before = self.around.clock(), self.ledger.backoff
        self.ledger.acted(begun)
        self.hold = Hold(since=begun, check=record.check, reason=record.reason, action=record.action)
        await self.around.save()
        self.ledger.backoff = before
        await self._unless_leaving()
        if self._signed:
            self.hold = None
            self.ledger.close(record, "withdrawn")  # it restarted by itself before we had to
            return False
        self.step, self.requested = "restarting", True
        self.ledger.tell("restart.action", record, "action", level="warning")
        problem = await self._run_action(order)
        self.ledger.acted(begun)
        if problem is None:
            self.hold = replace(self.hold, acted_at=self.around.clock())
            return True
        self.hold = None
        if isinstance(problem, ExitRequested):
            self.ledger.close(record, "succeeded")
            self.leaving = True
            self.around.leave(problem.code)  # which saves
            await self._unless_leaving()
        self.ledger.note(record, problem)
        self.ledger.close(record, "failed")
        return False

    async def _run_action(self, order: Order) -> BaseException | None:
        """The action within its deadline; shielded, so that the agent's own end waits for it (see `stop`)."""
        rule = self.rule
        seconds = rule.action_timeout_seconds + order.grace_seconds

        async def act() -> None:
            async with asyncio.timeout(seconds):
                await rule.action.act(order)

        self._acting = asyncio.create_task(act(), name=f"action {order.container}")
        try:
            await asyncio.shield(self._acting)
        except asyncio.CancelledError:
            if told_to_leave() or not self._acting.cancelled():
                raise
            return RuntimeError("the action cancelled itself")
        except TimeoutError as problem:
            return problem if str(problem) else TimeoutError(f"not done within {seconds:g} s")
        except Exception as problem:  # noqa: BLE001 - whatever an action raises is its failure
            return problem
        return None

    async def _may_retry(self) -> bool:
        """After a failed action: wait for the backoff, or for a sign; False when nothing may be done any more."""
        now = self.around.clock()
        if self.ledger.left(now) == 0 or self.rule.dry_run:
            return False
        self.step = "holding"
        await self.around.save()
        await self._await_sign(self.ledger.waiting(now))
        await self._unless_leaving()
        return not self.rule.dry_run

    async def _resumed(self, record: Record) -> None:
        self._record = record
        async with self._looking_out(edge_counts=True):
            await self._wait_for_instance(None, record)

    async def _wait_for_instance(self, slot: Slot | None, record: Record) -> None:
        """The hold: until a sign of the new instance, or until one is assumed; it never lasts for ever.

        Under policy Never none is expected: the container stays down, nothing is asked for, and a sign is taken over.
        """
        assert self.hold is not None  # noqa: S101 - the action has just set it, or the state file held it
        acted_at = self.around.clock() if self.hold.acted_at is None else self.hold.acted_at
        self.hold = replace(self.hold, acted_at=acted_at)  # for the next process this is no doubt any more
        if self.rule.policy == "Never":
            self.ledger.close(record, "succeeded", again=slot is None)
            self.step, self.requested = "", False
        else:
            self.step = "holding"
            self.ledger.tell("restart.holding", record, "hold")
        await self.around.save()
        sign = await self._until_assumed(acted_at)
        if not record.outcome:
            self.ledger.close(record, "timed_out" if sign is None else "succeeded")
        await self._over(sign or Sign("assumed"), slot, record)

    async def _until_assumed(self, acted_at: float) -> Sign | None:
        """The sign, or None once a new instance is to be assumed, which is never while the policy is Never."""
        while True:
            never = self.rule.policy == "Never"  # a reload may change it
            left = acted_at + self.rule.assumed_after - self.around.clock()
            if left <= 0 and not never:
                return None
            sign = await self._await_sign(POLICY_SECONDS if never else left)
            if sign is not None:
                return sign

    async def _over(self, sign: Sign | None, slot: Slot | None, record: Record) -> None:
        """The kill is over: with a new instance, of which the hook is told, or (None) without one."""
        self._clear()
        if sign is not None:
            self.around.renew(sign)
        await self.around.save()
        if sign is not None:
            await self.ledger.hook("post_restart", slot, record)

    async def _resign(self, slot: Slot) -> None:
        """The action failed and may not be tried again: the same instance is probed on, and nobody acts."""
        self._clear()
        now = self.around.clock()
        self.around.container.resume(now)
        self.ledger.suppress(slot, "dry_run" if self.rule.dry_run else "budget", now)  # see `_may_retry`
        self.around.container.wanted = slot
        await self.around.save()

    @property
    def _signed(self) -> bool:
        return self._sign is not None and self._sign.done()

    async def _await_sign(self, seconds: float | None) -> Sign | None:
        """The sign, or None once ``seconds`` are over or the kill is withdrawn."""
        if self._sign is None:
            return None
        await asyncio.wait([self._sign], timeout=seconds)
        return self._sign.result() if self._sign.done() else None

    async def _unless_leaving(self) -> None:
        if self.leaving:
            await asyncio.Event().wait()  # until the agent's own end cancels this

    @asynccontextmanager
    async def _looking_out(self, *, edge_counts: bool = False) -> AsyncIterator[None]:
        """Signs of a new instance are looked for meanwhile, from the decision on."""
        edge_counts = edge_counts or self.around.container.ever_started
        watching = asyncio.create_task(self._look_out(edge_counts=edge_counts), name="watch")
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _look_out(self, *, edge_counts: bool) -> None:
        while not self._signed:
            try:
                self.signed(await self.around.watch.until_new(edge_counts=edge_counts, counters_count=self._is_held))
            except Exception:
                log.exception("watch.error", extra={"container": self._name})
                await asyncio.sleep(1.0)

    def _is_held(self) -> bool:
        return self.hold is not None and self.step == "holding"

    def _clear(self) -> None:
        self.step, self.requested, self.hold, self._sign = "", False, None, None

    def _start(self, way: Callable[..., Awaitable[None]], *given: Any) -> None:
        self._task = asyncio.get_running_loop().create_task(self._guarded(way, *given), name="remedy")

    async def _guarded(self, way: Callable[..., Awaitable[None]], *given: Any) -> None:
        """A bug of ours must not leave the container held for ever: it is told, and probing goes on."""
        try:
            await way(*given)
        except Exception:
            log.exception("remedy.error", extra={"container": self._name})
            if self._record is not None and not self._record.outcome:
                self.ledger.close(self._record, "failed")
            self._clear()
            self.around.container.resume(self.around.clock())
