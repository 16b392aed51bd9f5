"""What the endpoints say: pure functions from what is known of the containers to answers (contract 3)."""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from agent.core.model import CheckType, Outcome, Published, Result

State = Literal[
    "maintenance", "given_up", "draining", "restarting", "holding", "starting", "down", "hung", "blind", "stalling",
    "busy", "unready", "working", "idle", "ready",
]  # fmt: skip
STATES: Final[tuple[State, ...]] = State.__args__  # type: ignore[attr-defined]

Phase = Literal["", "given_up", "draining", "restarting", "holding"]
"""Where a container's restart stands; "" when none is under way."""


class CheckView(msgspec.Struct, frozen=True, kw_only=True):
    """One check as the endpoints see it; ``published`` is the current instance's value, or its initial one."""

    name: str
    type: CheckType
    method: str
    published: Published
    run: int = 0
    last: Result | None = None
    last_time: float | None = None  # Unix time of the last result, seconds


class Record(msgspec.Struct, kw_only=True):
    """One restart, as /status tells it. ``outcome`` is "" while it is under way."""

    time: float  # Unix time, seconds
    action: str
    reason: str
    check: str
    outcome: str = ""
    evidence: str | None = None
    detail: str = ""


class ContainerView(msgspec.Struct, frozen=True, kw_only=True):
    """One container as the endpoints see it."""

    name: str
    instance: int
    identity: str
    running: bool
    started: bool
    ready: bool
    checks: tuple[CheckView, ...]
    phase: Phase = ""
    requested: bool = False  # a restart is decided, permitted and not yet seen: the 503 of /healthz/NAME
    cause: str = ""  # TYPE/CHECK that caused the kill under way
    suppressed: str = ""  # why the last wanted kill was not permitted, while it is still wanted
    maintenance: bool = False
    restarts: tuple[Record, ...] = ()
    budget_remaining: int = 0
    backoff_seconds: float = 0.0

    @property
    def live(self) -> bool:
        """The verdict, not the request: False while any liveness check has published Failure."""
        return not any(c.type is CheckType.LIVENESS and c.published is Published.FAILURE for c in self.checks)


def state(view: ContainerView) -> State:
    """The first word of the closed set that applies (contract 4)."""
    if view.maintenance:
        return "maintenance"
    if view.phase:
        return view.phase
    if not view.started:
        return "starting"
    by_reason = _state_of_reasons(view)
    if by_reason:
        return by_reason
    return "ready" if view.ready else "unready"


def _state_of_reasons(view: ContainerView) -> State | None:
    last = [c.last for c in view.checks if c.last is not None and c.type is not CheckType.STARTUP]
    failed = {r.reason for r in last if r.outcome is Outcome.FAILURE}
    if not view.running or failed & {"refused", "gone"}:
        return "down"
    if failed & {"hung", "stopped"}:
        return "hung"
    return None


class Item(msgspec.Struct, frozen=True):
    """One line of an answer's body, e.g. `[+]model/liveness/answers ok`."""

    container: str
    name: str  # MODEL/liveness/answers
    ok: bool
    note: str = "ok"  # or "failed: reason withheld", "suppressed: budget"

    def __str__(self) -> str:
        return f"[{'+' if self.ok else '-'}]{self.name} {self.note}"


WITHHELD: Final = "failed: reason withheld"
Endpoint = Literal["healthz", "livez", "ready", "readyz", "startupz"]


def items(endpoint: Endpoint, views: Iterable[ContainerView], *, exclude: Sequence[str] = ()) -> list[Item]:
    """Every line of the answer, in document order, without what ``exclude`` names.

    ``exclude`` holds names of containers or of checks, or a line's whole name.
    """
    one = {"healthz": _healthz, "livez": _healthz, "ready": _ready, "readyz": _ready, "startupz": _startupz}[endpoint]
    found = [item for view in views if view.name not in exclude for item in one(view)]
    if not exclude:
        return found
    return [item for item in found if item.name not in exclude and item.name.rpartition("/")[2] not in exclude]


def _healthz(view: ContainerView) -> list[Item]:
    found = []
    for check in view.checks:
        if check.type is CheckType.LIVENESS or f"{check.type}/{check.name}" == view.cause:
            bad = view.requested and view.cause == f"{check.type}/{check.name}"
            found.append(_item(view, f"{check.type}/{check.name}", not bad))
    if view.requested and not any(not item.ok for item in found):
        found.append(_item(view, view.cause or "restart", ok=False))
    if view.suppressed:
        kind = view.cause.partition("/")[0] or "liveness"
        found.append(Item(view.name, f"{view.name}/{kind}", ok=True, note=f"suppressed: {view.suppressed}"))
    return found or [_item(view, "liveness", ok=True)]


def _ready(view: ContainerView) -> list[Item]:
    found = [] if view.started else [_item(view, "started", ok=False)]
    found += [
        _item(view, f"readiness/{c.name}", c.published is Published.SUCCESS)
        for c in view.checks
        if c.type is CheckType.READINESS
    ]
    if view.phase or view.requested:
        found.append(_item(view, view.phase or "restart", ok=False))
    if not view.ready and all(item.ok for item in found):
        found.append(_item(view, "ready", ok=False))
    return found or [_item(view, "readiness", ok=True)]


def _startupz(view: ContainerView) -> list[Item]:
    found = [
        _item(view, f"startup/{c.name}", c.published is Published.SUCCESS)
        for c in view.checks
        if c.type is CheckType.STARTUP
    ]
    if not view.started and all(item.ok for item in found):
        found.append(_item(view, "started", ok=False))
    return found or [_item(view, "startup", ok=True)]


def _item(view: ContainerView, name: str, ok: bool) -> Item:
    return Item(view.name, f"{view.name}/{name}", ok, "ok" if ok else WITHHELD)
