"""What the endpoints are shown of a container: frozen views of its mutable state."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from agent.core.gpu import GPUS
from agent.core.model import Published
from agent.core.remembered import Saying, sayings
from agent.core.verdict import CheckView, ContainerView, Ending
from agent.engine.container import Container, Slot

if TYPE_CHECKING:
    from agent.engine.guard import Guard

NOTHING: Final = Saying()


def view_of(guard: "Guard") -> ContainerView:
    """Everything that is known now."""
    container, remedy, maintenance, now = guard.container, guard.remedy, guard.maintenance, guard.clock()
    ledger, stands, drain = remedy.ledger, maintenance.stands(), guard.drain
    said = sayings(container.seen)
    return ContainerView(
        name=container.spec.name,
        instance=container.instance,
        identity=guard.watch.known.identity if guard.watch.known else "",
        running=container.running,
        started=container.started,
        ready=guard.is_ready(),
        checks=tuple(_check(slot, container.published(slot), said.get(slot.path, NOTHING)) for slot in container.slots),
        phase=remedy.phase,
        step=remedy.step,
        requested=remedy.requested and not stands,
        cause=remedy.cause,
        suppressed=ledger.suppressed,
        maintenance=stands,
        maintenance_seconds=maintenance.left(),
        in_flight=drain.looks.last if drain.ordered or remedy.step == "drain" else None,
        drain_seconds=drain.left,
        depends_on=tuple(_check(slot, slot.state.published or Published.UNKNOWN) for slot in guard.dependencies.slots),
        kills_in_a_row=ledger.in_a_row(now),
        restarts=tuple(ledger.records),
        spared=ledger.past.all(),
        gpus=container.seen.get(GPUS, {}),
        budget_remaining=ledger.left(now),
        backoff_seconds=ledger.waiting(now),
        ended=None if guard.ended is None else Ending(guard.ended.exit_code, guard.ended.oom, guard.ended.detail),
    )


def _check(slot: Slot, published: Published, said: Saying = NOTHING) -> CheckView:
    check = slot.check
    return CheckView(
        name=check.name,
        type=check.type,
        method=check.method,
        published=published,
        run=slot.state.run,
        counted=slot.state.last,
        success_threshold=check.success_threshold,
        failure_threshold=check.failure_threshold,
        period_seconds=check.period_seconds,
        last=slot.last,
        last_time=slot.last_time,
        said=said,
    )


def history_of(container: Container, redact: Callable[[str], str]) -> dict[str, list[dict[str, Any]]]:
    """The last results of each check, oldest first, keyed TYPE/CHECK."""
    return {
        slot.path: [
            {
                "time": when,
                "outcome": str(result.outcome),
                "reason": result.reason,
                "duration_seconds": result.duration,
                "detail": redact(result.detail),
            }
            for when, result in slot.history
        ]
        for slot in container.slots
    }
