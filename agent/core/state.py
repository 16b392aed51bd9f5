"""One check's state machine: the kubelet's prober worker as pure functions (probe-semantics 1.2 and 1.3)."""

import msgspec

from agent.core.model import INITIAL, Check, CheckType, Outcome, Published
from agent.core.timing import reached


class ProbeState(msgspec.Struct, frozen=True, gc=False):
    """What one worker remembers. ``last`` and ``run`` belong to the worker and survive a restart of the container."""

    instance: int = 0  # the instance it last looked at; 0 before its first round
    published: Published | None = None  # None: nothing yet in this instance
    last: Published | None = None  # SUCCESS or FAILURE: the result that the run is made of
    run: int = 0
    on_hold: bool = False


class Seen(msgspec.Struct, frozen=True, gc=False):
    """What a round sees of its container: the status when the round fell due."""

    instance: int
    running: bool
    started: bool
    elapsed: float  # seconds since the instance started


class Finished(msgspec.Struct, frozen=True, gc=False):
    """What a round's outcome makes of the state.

    ``changed``: the published value is another one. ``failing``: a startup or liveness check at or above its failure
    threshold: a kill is wanted, whether or not the value changed.
    """

    state: ProbeState
    changed: bool = False
    failing: bool = False


def arrive(check: Check, state: ProbeState, seen: Seen) -> ProbeState:
    """What every round does first: at a new instance the value is initial and the hold is over; the run carries on."""
    if state.instance == seen.instance:
        return state
    return ProbeState(seen.instance, INITIAL[check.type], state.last, state.run)


def enter(check: Check, state: ProbeState, seen: Seen) -> tuple[ProbeState, bool]:
    """Then, in the kubelet's order: the hold, "not running is Failure", whose turn it is, the delay.

    Returns the state it leaves and whether to probe.
    """
    if state.on_hold:
        return state, False
    if not seen.running:
        return published(state, Published.FAILURE), False
    turn = seen.started is (check.type is not CheckType.STARTUP)
    return state, turn and reached(seen.elapsed, check.initial_delay_seconds)


def finish(check: Check, state: ProbeState, outcome: Outcome) -> Finished:
    """End a round with what its probe found. An error is thrown away unless the check counts errors as failures."""
    if outcome is Outcome.ERROR and not check.errors_are_failures:
        return Finished(state)
    value = Published.FAILURE if outcome in (Outcome.FAILURE, Outcome.ERROR) else Published.SUCCESS
    run = state.run + 1 if state.last is value else 1
    failed = value is Published.FAILURE
    if run < (check.failure_threshold if failed else check.success_threshold):
        return Finished(ProbeState(state.instance, state.published, value, run, state.on_hold))
    failing = failed and check.type is not CheckType.READINESS
    hold = failing or check.type is CheckType.STARTUP
    after = ProbeState(state.instance, value, value, 0 if hold else run, hold)
    return Finished(after, changed=state.published is not value, failing=failing)


def published(state: ProbeState, value: Published) -> ProbeState:
    """The state with another published value, its counters untouched."""
    return ProbeState(state.instance, value, state.last, state.run, state.on_hold)


def killed(state: ProbeState) -> ProbeState:
    """After a kill of its container: a startup or liveness worker counts from nothing."""
    return ProbeState(state.instance, state.published, state.last, 0, state.on_hold)


def spared(before: ProbeState, after: ProbeState, *, keep_run: bool) -> ProbeState:
    """After a kill that was wanted and not permitted: the Failure stays public, probing and counting go on.

    Without ``keep_run`` (a dry run) the next would-be kill needs a full run.
    """
    run = before.run + 1 if before.last is after.last else 1
    return ProbeState(after.instance, after.published, after.last, run if keep_run else 0, on_hold=False)


def again(check: Check, state: ProbeState) -> ProbeState:
    """While a restart is asked for and nobody may come: a startup check begins anew, a held liveness check goes on."""
    value = INITIAL[check.type] if check.type is CheckType.STARTUP else state.published
    return ProbeState(state.instance, value, state.last, 0, on_hold=False)


def value_of(check: Check, state: ProbeState, instance: int) -> Published:
    """The check's public value in this instance: a result belongs to the instance that it was seen in."""
    if state.published is None or state.instance != instance:
        return INITIAL[check.type]
    return state.published


def aggregate(kind: CheckType, values: list[Published]) -> Published:
    """What a list of checks of one type amounts to (probe-semantics 5)."""
    if kind is CheckType.LIVENESS:
        return Published.FAILURE if Published.FAILURE in values else Published.SUCCESS
    if all(v is Published.SUCCESS for v in values):
        return Published.SUCCESS
    if kind is CheckType.READINESS or Published.FAILURE in values:
        return Published.FAILURE
    return Published.UNKNOWN
