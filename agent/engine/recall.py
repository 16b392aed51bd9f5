"""What a guard leaves to the next process, and how the next one takes it up."""

from typing import TYPE_CHECKING

from agent.core.backoff import BackoffState
from agent.core.budget import BudgetState
from agent.core.escalation import Streak
from agent.engine.cause import Cause
from agent.engine.statefile import Hold, Memory
from agent.runtimes import Instance

if TYPE_CHECKING:
    from agent.engine.guard import Guard


def memory_of(guard: "Guard") -> Memory:
    """What the next process should know."""
    ledger, known = guard.remedy.ledger, guard.watch.known
    return Memory(
        instance=guard.container.instance,
        identity=known.identity if known else "",
        started=guard.container.ever_started,  # also in a kill that has not acted: it is the same instance still
        spent=ledger.budget.spent,
        given_up_at=ledger.budget.given_up_at,
        backoff_delay=ledger.backoff.delay,
        backoff_since=ledger.backoff.since,
        hold=guard.remedy.hold,
        kills=ledger.streak.kills,
        killed_at=ledger.streak.last,
        correlated_since=ledger.correlated_since,
        maintenance_until=guard.maintenance.upkeep.until,
        maintenance_ready=guard.maintenance.upkeep.ready,
        maintenance_file=guard.maintenance.upkeep.file,
        drain_until=guard.drain.ends_at,
        restarts=ledger.told(),
        spared=ledger.past.all(),
    )


def take_up(guard: "Guard", memory: Memory, known: Instance | None) -> Hold | None:
    """Restore what counts before the first instance begins, of which the runtime tells ``known``.

    Returns the hold that goes on, if any: without a process to be seen, an action whose end nobody saw may well have
    worked, and is waited for. `started` is restored for a proven same instance only.
    """
    ledger, container, hold = guard.remedy.ledger, guard.container, memory.hold
    ledger.budget = BudgetState(memory.spent, memory.given_up_at)
    ledger.backoff = BackoffState(memory.backoff_delay, memory.backoff_since)
    ledger.streak = Streak(memory.kills, memory.killed_at)
    ledger.past.restore(memory.spared)
    container.instance = memory.instance
    same = known is not None and known.identity == memory.identity
    goes_on = hold is not None and (known is None or (same and (hold.acted_at is not None or _acts_on(guard, hold))))
    if goes_on and known is None and memory.identity and guard.watch.runtime is not None:
        guard.watch.known = Instance(memory.identity)
    if same and memory.started and not goes_on:
        container.restore_started()
    elif _is_another(memory, known):
        container.instance += 1
    return hold if goes_on else None


def settle(guard: "Guard", memory: Memory, known: Instance | None, hold: Hold | None) -> None:
    """Once the first instance has begun: what an operator said, how the last restart ended, the hold that goes on."""
    guard.maintenance.restore(memory.maintenance_until, memory.maintenance_ready)
    another, ledger = _is_another(memory, known), guard.remedy.ledger
    if not another:
        ledger.correlated_since = memory.correlated_since
        guard.drain.restore(memory.drain_until)
    if hold is not None:
        ledger.restore(memory.restarts)
        guard.remedy.resume(hold)
    elif memory.hold is None:
        ledger.restore(memory.restarts, "withdrawn", "the agent ended before it was over")
    elif another:
        ledger.restore(memory.restarts, "succeeded", "the new instance came while the agent was away")
        _tell_of_the_new_instance(guard, memory.hold)
    elif memory.another_boot:
        ledger.restore(memory.restarts, "succeeded", "the machine was started anew while the agent was away")
        _tell_of_the_new_instance(guard, memory.hold)
    else:
        ledger.restore(memory.restarts, "failed", "the agent ended during the action, and the same instance runs")


def _tell_of_the_new_instance(guard: "Guard", hold: Hold) -> None:
    """It came while nobody looked: whoever was told of the restart's beginning is told of its end."""
    ledger = guard.remedy.ledger
    guard.tell("instance.new", {"to": "instance", "instance": guard.container.instance, "sign": "runtime"})
    record = ledger.records[-1] if ledger.records else None
    order = ledger.order("post_restart", Cause(hold.check, hold.reason), record)
    guard.hooks.tell(ledger.rule.hooks.post_restart, order)


def _acts_on(guard: "Guard", hold: Hold) -> bool:
    """Whether an action that another party carries out may still be at it, with nobody to hear of its end."""
    rule = guard.container.spec.restart
    longest = max((c.termination_grace_period_seconds or 0.0 for c in guard.container.spec.checks()), default=0.0)
    seconds = rule.action_timeout_seconds + max(rule.grace_period_seconds, longest)
    actions = {rule.action_name: rule.action, **{step.action_name: step.action for step in rule.escalations}}
    outlives = getattr(actions.get(hold.action), "outlives_the_agent", False)
    return bool(outlives) and guard.clock() < hold.since + seconds


def _is_another(memory: Memory, known: Instance | None) -> bool:
    """The runtime tells of another instance than the one that was left."""
    return bool(memory.identity) and known is not None and known.identity != memory.identity
