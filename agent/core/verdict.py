"""What the endpoints say: pure functions from what is known of the containers to answers (contract 3)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal

import msgspec

from agent.core.model import CheckType, Outcome, Published, Result
from agent.core.remembered import Saying
from agent.core.spared import Spared

State = Literal[
    "maintenance", "given_up", "draining", "restarting", "holding", "starting", "down", "hung", "blind", "stalling",
    "busy", "unready", "working", "idle", "ready",
]  # fmt: skip
STATES: Final[tuple[State, ...]] = State.__args__  # type: ignore[attr-defined]

Phase = Literal["", "given_up", "draining", "restarting", "holding"]
"""Where a container's restart stands; "" when none is under way."""

Step = Literal["", "drain", "evidence", "pre_restart", "action", "retry", "gone", "hold", "post_restart"]
"""The same, finer: ``retry`` waits for the backoff, ``gone`` for the old instance's end, ``hold`` for the new one."""


BEFORE_ACTION: Final[frozenset[Step]] = frozenset({"drain", "evidence", "pre_restart"})


def phase_of(step: Step, *, drains: bool, given_up: bool, drained: bool) -> Phase:
    """What the endpoints make of a step: the first that applies, in the order of the closed set (contract 4).

    ``drains``: the kill has a drain, which lasts until the action. ``drained``: by an operator.
    """
    if given_up:
        return "given_up"
    if drained or (drains and step in BEFORE_ACTION):
        return "draining"
    if step in BEFORE_ACTION or step == "action":
        return "restarting"
    return "holding" if step in ("retry", "gone", "hold") else ""


class CheckView(msgspec.Struct, frozen=True, kw_only=True):
    """One check as the endpoints see it; ``published`` is the current instance's value, or its initial one.

    ``run`` is the length of the current run and ``counted`` what it is a run of: ``last`` may be an error, which is in
    no run. Thresholds and period stand beside it for the reader who sees "2 failures" and asks "of how many?".
    """

    name: str
    type: CheckType
    method: str
    published: Published
    run: int = 0
    counted: Published | None = None  # SUCCESS or FAILURE; None before the first counted result
    success_threshold: int = 1
    failure_threshold: int = 3
    period_seconds: float = 10.0
    last: Result | None = None
    last_time: float | None = None  # Unix time of the last result, seconds
    said: Saying = Saying()  # what it says of the whole container, beyond its result


class Record(msgspec.Struct, kw_only=True):
    """One restart, as /status tells it. ``outcome`` is "" while it is under way."""

    time: float  # Unix time, seconds
    action: str
    reason: str
    check: str
    outcome: str = ""
    evidence: str | None = None
    detail: str = ""
    also: list[str] = []  # what else failed meanwhile, TYPE/CHECK: recorded, not acted on
    ended: float | None = None  # Unix time, seconds


class Ending(msgspec.Struct, frozen=True):
    """How the last instance that ended did so, as the runtime told it; ``detail`` is for people with access."""

    exit_code: int | None  # 128+n for a signal
    oom: bool  # the kernel killed it for its memory limit
    detail: str = ""


class Standing(msgspec.Struct, frozen=True, gc=False):
    """As much of a container as its yes and no take; read at every request, so it is kept small."""

    started: bool
    ready: bool
    requested: bool
    phase: Phase


class ContainerView(msgspec.Struct, frozen=True, kw_only=True):
    """One container as the endpoints see it.

    ``ready`` is the engine's own answer, an operator's word included; ``is_ready`` below is what is told.
    """

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
    maintenance_seconds: float | None = None  # until it ends by itself; None where it does not
    step: Step = ""
    drain_seconds: float | None = None  # until an operator's drain ends by itself
    depends_on: tuple[CheckView, ...] = ()
    kills_in_a_row: int = 0
    restarts: tuple[Record, ...] = ()
    spared: tuple[Spared, ...] = ()
    gpus: Mapping[str, str] = {}  # those that are watched: "", or the action that no restart replaces
    budget_remaining: int = 0
    backoff_seconds: float = 0.0
    ended: Ending | None = None
    in_flight: float | None = None  # requests that run or wait, by the server's own gauges; None where nobody tells

    @property
    def live(self) -> bool:
        """The verdict, not the request: False while any liveness check has published Failure."""
        return not any(c.type is CheckType.LIVENESS and c.published is Published.FAILURE for c in self.checks)


def is_left_alone(view: ContainerView | Standing) -> bool:
    """The 200 of /healthz/NAME: no restart is asked for, whatever the verdict."""
    return not view.requested


def is_ready(view: ContainerView | Standing) -> bool:
    """The 200 of /ready/NAME. `restarting` alone does not take it: `notify` acts and leaves readiness untouched."""
    return view.ready and view.started and not view.requested and view.phase in {"", "restarting"}


def is_started(view: ContainerView | Standing) -> bool:
    """The 200 of /startupz/NAME."""
    return view.started


def state(view: ContainerView) -> State:
    """The first word of the closed set that applies (contract 4).

    A request alone reads `restarting`: with action `none` the request is the action.
    """
    if view.maintenance:
        return "maintenance"
    if view.phase:
        return view.phase
    if view.requested:
        return "restarting"
    if not view.running:  # policy Never: nobody is expected to start it
        return "down"
    if not view.started:
        return "starting"
    found = {*_of_reasons(view.checks), *(check.said.state for check in view.checks)}
    if "working" in found and any(c.last is not None and c.last.reason in LATE for c in view.checks):
        found.add("busy")
    if not is_ready(view):
        found.add("unready")
    return next((word for word in STATES if word in found), "ready")


def level(before: State | None, now: State) -> Literal["debug", "info"]:
    """How loud a change of the state is told."""
    return "debug" if {before, now} <= EVERYDAY else "info"


def why(view: ContainerView, word: State) -> str:
    """What the check that speaks for this state has to say, for people with access; "" where none does."""
    return next((check.said.detail for check in view.checks if check.said.state == word), "")


STATE_OF_REASON: Final[dict[str, State]] = {
    "refused": "down",
    "gone": "down",
    "hung": "hung",
    "unresponsive": "hung",
    "stopped": "hung",
    "blind": "blind",
}
"""What a check's reason says about the whole container, once the check has published Failure."""

LATE: Final = frozenset({"timeout", "stalled"})
"""What the reasons of a busy server's checks are: a time-out while progress is made is no hang."""

EVERYDAY: Final[frozenset[State]] = frozenset({"stalling", "busy", "working", "idle", "ready"})
"""States between which a healthy server moves all day long; that it became unready is told by itself."""


def _of_reasons(checks: Iterable[CheckView]) -> Iterator[State]:
    for check in checks:
        if check.published is Published.FAILURE and check.last is not None and check.last.outcome is Outcome.FAILURE:
            word = STATE_OF_REASON.get(check.last.reason)
            if word is not None:
                yield word


class Item(msgspec.Struct, frozen=True):
    """One line of an answer's body, e.g. `[+]model/liveness/answers ok`."""

    container: str
    check: str  # TYPE/NAME, or what else speaks: liveness, started, holding
    ok: bool
    note: str = "ok"  # or "failed: reason withheld", "suppressed: budget", "excluded: ok"

    @property
    def name(self) -> str:
        return f"{self.container}/{self.check}" if self.container else self.check

    def is_called(self, name: str) -> bool:
        """Whether ``?exclude=name`` means this line: a container, a check, TYPE/CHECK, or the line's whole name."""
        return name in {self.container, self.check, self.check.rpartition("/")[2], self.name}

    def __str__(self) -> str:
        return f"[{'+' if self.ok else '-'}]{self.name} {self.note}"


WITHHELD: Final = "failed: reason withheld"
EXCLUDED: Final = "excluded: ok"
Endpoint = Literal["healthz", "livez", "ready", "readyz", "startupz"]


class Answer(msgspec.Struct, frozen=True):
    """What an endpoint says: its verdict, its lines in document order, and what `exclude` named in vain."""

    passed: bool
    items: tuple[Item, ...]
    unmatched: tuple[str, ...] = ()


def no_such(name: str, names: Iterable[str]) -> str:
    """What is told of a container that is not there, on every way to ask for one."""
    known = ", ".join(names)
    return f"no container is named {name}; {f'there are: {known}' if known else 'there are none'}"


def passes(endpoint: Endpoint, views: Iterable[ContainerView | Standing]) -> bool:
    """The verdict alone, for the hot path; the same as ``answer(...).passed`` where nothing is excluded."""
    rule = RULES[endpoint][0]
    return all(rule(view) for view in views)


def answer(endpoint: Endpoint, views: Iterable[ContainerView], exclude: Sequence[str] = ()) -> Answer:
    """Every line of the answer; what ``exclude`` names does not count and says so, as in kube-apiserver."""
    rule, explain = RULES[endpoint]
    return judged([item for view in views for item in explain(view, rule(view))], exclude)


def judged(items: Sequence[Item], exclude: Sequence[str] = ()) -> Answer:
    """The answer that these lines make."""
    if exclude:
        unmatched = tuple(sorted({name for name in exclude if not any(item.is_called(name) for item in items)}))
        items = [_without(item, exclude) for item in items]
    else:
        unmatched = ()
    return Answer(all(item.ok for item in items), tuple(items), unmatched)


def _without(item: Item, exclude: Sequence[str]) -> Item:
    return Item(item.container, item.check, True, EXCLUDED) if any(item.is_called(name) for name in exclude) else item


def failed(container: str, check: str) -> Item:
    return Item(container, check, False, WITHHELD)


def _line(view: ContainerView, check: str, ok: bool) -> Item:
    return Item(view.name, check, True) if ok else failed(view.name, check)


def _explain_health(view: ContainerView, passed: bool) -> Iterator[Item]:
    """The check that caused a permitted kill fails; a suppressed kill stands in its check's place."""
    wanted = view.cause or str(CheckType.LIVENESS)
    named = [f"{c.type}/{c.name}" for c in view.checks if c.type is CheckType.LIVENESS]
    silent = view.cause if view.suppressed or not passed else ""
    for check in named:
        if check != silent:
            yield _line(view, check, ok=True)
    if not passed:
        yield failed(view.name, wanted)
    if view.suppressed:
        yield Item(view.name, wanted.partition("/")[0], True, f"suppressed: {view.suppressed}")
    if passed and not named and not view.suppressed:
        yield _line(view, CheckType.LIVENESS, ok=True)


def _explain_readiness(view: ContainerView, passed: bool) -> Iterator[Item]:
    lines = [] if view.started else [failed(view.name, "started")]
    lines += _lines_of(view, CheckType.READINESS, passed)
    if not passed and (view.phase or view.requested):
        lines.append(failed(view.name, view.phase or "restart"))
    yield from _with_verdict(view, lines, CheckType.READINESS, passed)


def _explain_startup(view: ContainerView, passed: bool) -> Iterator[Item]:
    yield from _with_verdict(view, _lines_of(view, CheckType.STARTUP, passed), CheckType.STARTUP, passed)


def _lines_of(view: ContainerView, kind: CheckType, passed: bool) -> list[Item]:
    """The lines of one type's checks; of readiness also those of checks that take it away whatever their type."""
    return [
        _line(view, f"{check.type}/{check.name}", passed or not _fails(check, kind))
        for check in view.checks
        if check.type is kind or (kind is CheckType.READINESS and check.said.unready)
    ]


def _fails(check: CheckView, kind: CheckType) -> bool:
    failing = check.type is kind and check.published is not Published.SUCCESS
    return failing or (kind is CheckType.READINESS and check.said.unready)


def _with_verdict(view: ContainerView, lines: list[Item], word: str, passed: bool) -> list[Item]:
    """The lines, and one in the type's own name where none of them says what the verdict is."""
    if not lines or (not passed and all(item.ok for item in lines)):
        return [*lines, _line(view, word, passed)]
    return lines


Rule = Callable[[ContainerView | Standing], bool]
Explanation = Callable[[ContainerView, bool], Iterator[Item]]


_HEALTH: Final[tuple[Rule, Explanation]] = (is_left_alone, _explain_health)
_READINESS: Final[tuple[Rule, Explanation]] = (is_ready, _explain_readiness)
_STARTUP: Final[tuple[Rule, Explanation]] = (is_started, _explain_startup)
RULES: Final[dict[Endpoint, tuple[Rule, Explanation]]] = {
    "healthz": _HEALTH,
    "livez": _HEALTH,
    "ready": _READINESS,
    "readyz": _READINESS,
    "startupz": _STARTUP,
}
"""Each endpoint's rule, and what explains its verdict line by line; the aliases share theirs."""
