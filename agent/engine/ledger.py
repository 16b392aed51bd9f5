"""One container's restarts on paper: what is permitted, what was done, what is left; `remedy` does them."""

import time
from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from msgspec.structs import replace

from agent.actions import Order
from agent.core import backoff, brakes, budget, escalation, gpu
from agent.core.backoff import BackoffState
from agent.core.brakes import Situation, Why
from agent.core.budget import BudgetState
from agent.core.escalation import Streak
from agent.core.settings import Restart
from agent.core.verdict import Record
from agent.engine.cause import BY_OPERATOR, Cause
from agent.engine.past import Past
from agent.engine.statefile import Hold
from agent.engine.stats import bump
from agent.engine.surroundings import Surroundings

RECORDS: Final = 50  # restarts that /status tells of, and the state file keeps
ALSO: Final = 20  # checks that failed besides, kept of one restart


class Ledger:
    """Budget, backoff, escalation and records of one container."""

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self.budget = BudgetState()
        self.backoff = BackoffState()
        self.streak = Streak()
        self.level = 0  # of escalation, as chosen for the attempt under way
        self.records: deque[Record] = deque(maxlen=RECORDS)
        self.past = Past()
        self.suppressed: Why = ""  # why the kill that is still wanted was not permitted
        self.correlated_since: float | None = None  # when it was first held back for what the container depends on

    @property
    def rule(self) -> Restart:
        """The restart block, with the action that is due."""
        return self.around.container.spec.restart.escalated(self.level)

    @property
    def given_up(self) -> bool:
        return self.budget.given_up_at is not None

    # -- what is permitted -------------------------------------------------------------------------------------------

    def choose(self, now: float) -> None:
        """Which action the next attempt takes: another one where those before it, done or failed, did not help."""
        self.level = escalation.level(self.around.container.spec.restart.escalations, self.in_a_row(now))

    def in_a_row(self, now: float) -> int:
        """Kills that one begun now would follow closely enough to make a row of them."""
        return escalation.length(self.streak, now, self.rule.backoff.reset_after_seconds)

    def permits(self, cause: Cause, now: float) -> bool:
        """Decide on a kill that a check wants; what is not permitted is counted and told."""
        self.choose(now)
        why = brakes.why_not(self.rule, self._situation(now))
        if why == "correlated":
            self.correlated_since = now if self.correlated_since is None else self.correlated_since
        elif why in ("", "dry_run"):
            self.correlated_since = None
        if why:
            self.suppress(cause, why, now)
        else:
            self.suppressed = ""
        return not why

    def refuses_order(self, now: float) -> Why:
        """Why a restart that an operator asks for is not permitted, which is counted and told; "" where it is."""
        self.level = 0
        why = brakes.why_not_ordered(self.rule, self._situation(now))
        if why:
            self._spare(BY_OPERATOR, why)
        return why

    def _situation(self, now: float) -> Situation:
        around = self.around
        return Situation(
            now=now,
            agent_started_at=around.agent_started_at,
            impaired=around.pulse.impaired(now),
            backoff=self.backoff,
            budget=self.budget,
            maintenance=around.maintenance.stands(),
            gpu=bool(around.container.seen.get(gpu.FLAG)),
            correlated=bool(around.dependencies.failing()),
            correlated_since=self.correlated_since,
        )

    def why_not_again(self, now: float) -> Why:
        """Why an action that failed may not be tried again; "" where it may, once its backoff is over."""
        if self.around.maintenance.stands():
            return "maintenance"
        return "dry_run" if self.rule.dry_run else "budget" if self.left(now) == 0 else ""

    def suppress(self, cause: Cause, why: Why, now: float) -> None:
        """Count and tell a kill that is wanted and not done."""
        if why == "budget":
            self.give_up(cause, now)
        self._spare(cause, why, quietly=self.suppressed == why and why != "dry_run")
        self.suppressed = why

    def _spare(self, cause: Cause, why: Why, *, quietly: bool = False) -> None:
        around = self.around
        bump(around.stats.suppressed, why)
        if not quietly:
            more = {"with": ", ".join(around.dependencies.failing())} if why == "correlated" else {}
            fields = {"step": "suppressed", "why": why, "check": cause.check, "reason": cause.reason, **more}
            around.tell("restart.suppressed", fields, level="warning")
        slot = around.container.slot(cause.check)
        detail = around.redact(slot.last.detail) if slot and slot.last else ""
        self.past.spare(around.container, cause, why, self.rule.action_name, detail)

    def no_longer_wanted(self) -> None:
        """The check recovered: what was held back is not wanted any more."""
        self.suppressed, self.correlated_since = "", None

    def renewed(self) -> None:
        """A new instance: nothing is wanted of it yet."""
        self.no_longer_wanted()
        self.past.restarted()

    def give_up(self, cause: Cause, now: float) -> None:
        """No budget is left: nobody acts any more, until one of the ways back."""
        if self.given_up:
            return
        self.budget = budget.give_up(self.budget, now)
        self.around.tell("restart.given_up", {"step": "given_up", "check": cause.check}, level="error")
        self.around.hooks.tell(self.rule.hooks.on_give_up, self.order("on_give_up", cause))

    def tick(self, now: float, healthy_for: float) -> None:
        """Once a second: the ways back from given up."""
        rule, was = self.rule, self.given_up
        reset_after = rule.backoff.reset_after_seconds
        self.budget = budget.come_back(rule.budget, self.budget, now, healthy_for=healthy_for, reset_after=reset_after)
        if was and not self.given_up:
            self.around.tell("restart.resumed", {"step": "resumed"})

    def resume(self) -> bool:
        """An operator takes the container out of given up; whether it was."""
        was, self.budget = self.given_up, budget.resume(self.budget)
        if was:
            self.around.tell("restart.resumed", {"step": "resumed", "by": "operator"})
        return was

    def left(self, now: float) -> int:
        return budget.remaining(self.rule.budget, self.budget, now)

    def waiting(self, now: float) -> float:
        """Seconds of backoff still to wait."""
        return backoff.waiting(self.rule.backoff, self.backoff, now)

    # -- what was done -----------------------------------------------------------------------------------------------

    def open(self, cause: Cause) -> Record:
        """A record of one attempt, which uses one of the budget."""
        self.budget = budget.spend(self.rule.budget, self.budget, self.around.clock())
        self.past.restarted()
        return self._record(self.rule.action_name, cause)

    def refund(self) -> None:
        """The attempt was none: nothing was to be done."""
        self.budget = budget.refund(self.budget)

    def begin(self) -> None:
        """The attempt begins to act."""
        self.budget = budget.begin(self.budget, self.around.clock())

    def reopen(self, hold: Hold) -> Record:
        """The record of an attempt that an earlier process has paid for, with the action that it took.

        It is open still, or (policy Never) closed while nobody is expected.
        """
        rule = self.around.container.spec.restart
        actions = [rule.action_name, *(step.action_name for step in rule.escalations)]
        self.level = actions.index(hold.action) if hold.action in actions else 0
        last = self.records[-1] if self.records else None
        if last is not None and last.check == hold.check and last.outcome in ("", "succeeded", "withdrawn"):
            return last
        return self._record(hold.action, Cause(hold.check, hold.reason))

    def _record(self, action: str, cause: Cause) -> Record:
        record = Record(time=time.time(), action=action, reason=cause.reason, check=cause.check)
        self.records.append(record)
        return record

    def told(self) -> tuple[Record, ...]:
        """The records as they stand, oldest first; the one under way still changes."""
        return tuple(_copied(self.records))

    def restore(self, records: Iterable[Record], outcome: str = "", detail: str = "") -> None:
        """An earlier process's; one that it left open has ended with ``outcome``, unless its hold goes on."""
        self.records.extend(_copied(records))
        for record in self.records:
            if not record.outcome and outcome:
                record.detail = detail
                self.close(record, outcome)

    def acted(self, begun: float) -> None:
        """An action that was decided at ``begun`` is over, done or failed: the next one waits, or is another one."""
        rule, ended = self.rule.backoff, self.around.clock()
        self.backoff = backoff.restarted(rule, self.backoff, begun, ended)
        self.asked(begun)

    def asked(self, begun: float) -> None:
        """One more in the row; with action `none` the asking is all, and the backoff is the platform's."""
        within = self.rule.backoff.reset_after_seconds
        self.streak = escalation.killed(self.streak, begun, self.around.clock(), within)

    def also(self, record: Record | None, path: str, reason: str) -> None:
        """Another check fails while the kill is under way: recorded once, and not acted on."""
        if record is None or path == record.check or path in record.also or len(record.also) >= ALSO:
            return
        record.also.append(path)
        self.tell("restart.also", record, "also", also=path, also_reason=reason)

    def note(self, record: Record, problem: BaseException | None) -> None:
        """Why the action failed, for people with access."""
        record.detail = "" if problem is None else self.around.redact(f"{type(problem).__name__}: {problem}")

    def close(self, record: Record, outcome: str, *, again: bool = False) -> None:
        """How the attempt ended; ``again``: an earlier process has counted and told it."""
        record.outcome, record.ended = outcome, time.time()
        if again:
            return
        bump(self.around.stats.restarts, (record.action, record.reason, outcome))
        level = "info" if outcome in ("succeeded", "withdrawn") else "error"
        self.tell(f"restart.{outcome}", record, "done", level=level, outcome=outcome)

    def tell(self, name: str, record: Record, step: str, *, level: str = "info", **more: Any) -> None:
        fields = {"step": step, "action": record.action, "reason": record.reason, "check": record.check, **more}
        if record.evidence:
            fields["evidence"] = record.evidence
        self.around.tell(name, fields, level=level, detail=record.detail)

    def order(self, kind: str, cause: Cause, record: Record | None = None, grace: float = 0.0) -> Order:
        """What an action or a hook is told."""
        container = self.around.container
        return Order(
            type=kind,
            container=container.spec.name,
            reason=record.reason if record else cause.reason,
            check=cause.name,
            to=cause.to,
            instance=str(container.instance),
            evidence=(record.evidence or "") if record else "",
            runtime=container.spec.runtime,
            identity=self.around.watch.known.identity if self.around.watch.known else "",
            grace_seconds=grace,
            remembers=self.around.remembers,
        )

    async def hook(self, name: str, cause: Cause, record: Record) -> None:
        """Run one of the hooks around a restart now; it has no veto."""
        await self.around.hooks.run(getattr(self.rule.hooks, name), self.order(name, cause, record))


def _copied(records: Iterable[Record]) -> list[Record]:
    return [replace(record, also=[*record.also]) for record in records]
