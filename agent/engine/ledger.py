"""One container's restarts on paper: what is permitted, what was done, what is left; `remedy` does them."""

import time
from collections import deque
from typing import Any, Final

from agent.actions import Order
from agent.core import backoff, brakes, budget
from agent.core.backoff import BackoffState
from agent.core.brakes import Situation
from agent.core.budget import BudgetState
from agent.core.settings import Restart
from agent.core.verdict import Record
from agent.engine.container import Slot
from agent.engine.statefile import Hold
from agent.engine.stats import bump
from agent.engine.surroundings import Surroundings

RECORDS: Final = 50  # restarts that /status tells of


class Ledger:
    """Budget, backoff and records of one container."""

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self.budget = BudgetState()
        self.backoff = BackoffState()
        self.records: deque[Record] = deque(maxlen=RECORDS)
        self.suppressed = ""  # why the kill that is still wanted was not permitted

    @property
    def rule(self) -> Restart:
        return self.around.container.spec.restart

    @property
    def given_up(self) -> bool:
        return self.budget.given_up_at is not None

    def permits(self, slot: Slot, now: float) -> bool:
        """Decide on a kill that ``slot`` wants; what is not permitted is counted and told."""
        situation = Situation(
            now=now,
            agent_started_at=self.around.agent_started_at,
            impaired=self.around.pulse.impaired(now),
            backoff=self.backoff,
            budget=self.budget,
        )
        why = brakes.why_not(self.rule, situation)
        if why:
            self.suppress(slot, why, now)
        else:
            self.suppressed = ""
        return not why

    def open(self, slot: Slot) -> Record:
        """A record of one attempt, which uses one of the budget."""
        self.budget = budget.spend(self.rule.budget, self.budget, self.around.clock())
        record = Record(time=time.time(), action=self.rule.action_name, reason=_reason(slot), check=slot.path)
        self.records.append(record)
        return record

    def reopen(self, hold: Hold) -> Record:
        """The record of an attempt that an earlier process has paid for."""
        record = Record(time=time.time(), action=hold.action, reason=hold.reason, check=hold.check)
        self.records.append(record)
        return record

    def acted(self, begun: float) -> None:
        """An action that was decided at ``begun`` is over, done or failed: the next one waits."""
        self.backoff = backoff.restarted(self.rule.backoff, self.backoff, begun, self.around.clock())

    def note(self, record: Record, problem: BaseException | None) -> None:
        """Why the action failed, for people with access."""
        record.detail = "" if problem is None else self.around.redact(f"{type(problem).__name__}: {problem}")

    def close(self, record: Record, outcome: str, *, again: bool = False) -> None:
        """How the attempt ended; ``again``: an earlier process has counted and told it."""
        record.outcome = outcome
        if again:
            return
        bump(self.around.stats.restarts, (record.action, record.reason, outcome))
        level = "info" if outcome in ("succeeded", "withdrawn") else "error"
        self.tell(f"restart.{outcome}", record, "done", level=level, outcome=outcome)

    def tell(self, name: str, record: Record, step: str, *, level: str = "info", **more: Any) -> None:
        fields = {"step": step, "action": record.action, "reason": record.reason, "check": record.check, **more}
        self.around.tell(name, fields, level=level, detail=record.detail)

    def left(self, now: float) -> int:
        return budget.remaining(self.rule.budget, self.budget, now)

    def waiting(self, now: float) -> float:
        """Seconds of backoff still to wait."""
        return backoff.waiting(self.rule.backoff, self.backoff, now)

    def give_up(self, slot: Slot, now: float) -> None:
        """No budget is left: nobody acts any more, until one of the ways back."""
        if self.given_up:
            return
        self.budget = budget.give_up(self.budget, now)
        self.around.tell("restart.given_up", {"step": "given_up", "check": slot.path}, level="error")
        self.around.hooks.tell(self.rule.hooks.on_give_up, self.order("on_give_up", slot))

    def tick(self, now: float, healthy_for: float) -> None:
        """Once a second: the ways back from given up."""
        was = self.given_up
        self.budget = budget.come_back(
            self.rule.budget,
            self.budget,
            now,
            healthy_for=healthy_for,
            reset_after=self.rule.backoff.reset_after_seconds,
        )
        if was and not self.given_up:
            self.around.tell("restart.resumed", {"step": "resumed"})

    def order(self, kind: str, slot: Slot | None, record: Record | None = None, grace: float = 0.0) -> Order:
        """What an action or a hook is told."""
        container = self.around.container
        return Order(
            type=kind,
            container=container.spec.name,
            reason=record.reason if record else _reason(slot) if slot else "",
            check=slot.check.name if slot else "",
            to=str(container.published(slot)) if slot else "",
            instance=str(container.instance),
            evidence=(record.evidence or "") if record else "",
            runtime=container.spec.runtime,
            identity=self.around.watch.known.identity if self.around.watch.known else "",
            grace_seconds=grace,
        )

    async def hook(self, name: str, slot: Slot | None, record: Record) -> None:
        """Run one of the hooks around a restart now; it has no veto."""
        await self.around.hooks.run(getattr(self.rule.hooks, name), self.order(name, slot, record))

    def suppress(self, slot: Slot, why: str, now: float) -> None:
        """Count and tell a kill that is wanted and not done."""
        bump(self.around.stats.suppressed, why)
        if why == "budget":
            self.give_up(slot, now)
        if self.suppressed != why or why == "dry_run":
            fields = {"step": "suppressed", "why": why, "check": slot.path, "reason": _reason(slot)}
            self.around.tell("restart.suppressed", fields, level="warning")
        self.suppressed = why


def _reason(slot: Slot) -> str:
    return slot.last.reason if slot.last else "internal"
