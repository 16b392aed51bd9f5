"""What the endpoints are shown of a container: frozen views of its mutable state."""

from collections.abc import Callable
from typing import Any

from agent.core.gpu import GPUS
from agent.core.verdict import CheckView, ContainerView
from agent.engine.container import Container, Slot
from agent.engine.remedy import Remedy


def view_of(container: Container, remedy: Remedy, identity: str, now: float) -> ContainerView:
    """Everything that is known at ``now``, seconds on the engine's clock."""
    ledger = remedy.ledger
    return ContainerView(
        name=container.spec.name,
        instance=container.instance,
        identity=identity,
        running=container.running,
        started=container.started,
        ready=container.ready and not remedy.phase,
        checks=tuple(_check(container, slot) for slot in container.slots),
        phase=remedy.phase,
        requested=remedy.requested,
        cause=remedy.cause,
        suppressed=ledger.suppressed,
        restarts=tuple(ledger.records),
        gpus=container.seen.get(GPUS, {}),
        budget_remaining=ledger.left(now),
        backoff_seconds=ledger.waiting(now),
    )


def _check(container: Container, slot: Slot) -> CheckView:
    check = slot.check
    return CheckView(
        name=check.name,
        type=check.type,
        method=check.method,
        published=container.published(slot),
        run=slot.state.run,
        counted=slot.state.last,
        success_threshold=check.success_threshold,
        failure_threshold=check.failure_threshold,
        period_seconds=check.period_seconds,
        last=slot.last,
        last_time=slot.last_time,
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
