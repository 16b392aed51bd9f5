"""The same containers on a virtual clock with scripted outcomes (probe-semantics 5)."""

from collections.abc import Iterator
from heapq import merge
from typing import Any

import msgspec

from agent.core.model import Check, CheckType, Outcome, Published
from agent.core.settings import Config
from agent.core.settings import Container as Spec
from agent.core.timing import Grid
from agent.engine.container import Container, Sentence, Slot

SAME_INSTANT_SECONDS = 1e-6  # 2 * 0.3 and 6 * 0.1 are one moment, though not one float
OUTCOMES = {"s": Outcome.SUCCESS, "f": Outcome.FAILURE, "u": Outcome.ERROR}


class SimulationInputError(ValueError):
    """The input does not fit: says where and what is expected."""


class Input(msgspec.Struct, forbid_unknown_fields=True):
    """``until`` and ``restart_delay`` in seconds; letters per container, type and, for lists, check."""

    until: float
    restart_delay: float | None = None
    outcomes: dict[str, dict[str, str | dict[str, str]]] = {}


class Script:
    """One check's letters: the last repeats for ever; without any it always succeeds."""

    def __init__(self, letters: str) -> None:
        self.letters = letters or "s"
        self.next = 0

    def take(self) -> Outcome:
        letter = self.letters[min(self.next, len(self.letters) - 1)]
        self.next += 1
        return OUTCOMES[letter]


class Simulation:
    """One container's run; it is its container's `Life` and prints what it is told."""

    def __init__(self, spec: Spec, scripts: dict[str, Script], restart_delay: float | None) -> None:
        self.container = Container(spec, self)
        self.restart_delay = restart_delay
        self.restart_at: float | None = None
        self.over = False
        self.events: list[dict[str, Any]] = []
        self.slots = self.container.slots
        self.grids = {slot.path: Grid(0.0, slot.check.period_seconds) for slot in self.slots}
        self.scripts = scripts

    def run(self, until: float) -> Iterator[dict[str, Any]]:
        """Every event up to and including ``until``, in order."""
        self.container.begin(0.0)
        now = 0.0
        while now <= until + SAME_INSTANT_SECONDS:
            self._instant(now)
            yield from self.events
            self.events = []
            times = [grid.due for grid in self.grids.values()]
            if self.restart_at is not None:
                times.append(self.restart_at)
            if self.over or not times:
                return
            now = min(times)

    def _instant(self, now: float) -> None:
        instant = now + SAME_INSTANT_SECONDS
        if self.restart_at is not None and self.restart_at <= instant:
            self._restart(now)
        seen = self.container.view(now)
        for slot in [s for s in self.slots if self.grids[s.path].due <= instant]:
            grid = self.grids[slot.path]
            if grid.due <= instant:  # a trigger may have moved the beat away meanwhile
                grid.take(now)
                self._round(slot, seen, now)
        if self.restart_at is not None and self.restart_at <= instant:
            self._restart(now)

    def _round(self, slot: Slot, seen: Any, now: float) -> None:
        if self.container.enter(slot, seen, now):
            self.container.finish(slot, seen, self.scripts[slot.path].take(), now)

    def _restart(self, now: float) -> None:
        self.restart_at = None
        self._print(now, "restart", self.container.instance + 1)
        self.container.new_instance(now)

    def _print(self, now: float, event: str, value: Any) -> None:
        line = {"t": round(now, 3), "container": self.container.spec.name, "event": event, "value": value}
        self.events.append(line)

    def on_published(self, kind: CheckType, value: Published, slot: Slot, now: float, *, initial: bool) -> None:  # noqa: ARG002
        self._print(now, str(kind), str(value))

    def on_status(self, name: str, value: bool, now: float) -> None:
        self._print(now, name, value)

    def on_trigger(self, slot: Slot, now: float) -> None:
        self.grids[slot.path].restart(now)
        self._round(slot, self.container.view(now), now)

    def sentence(self, slot: Slot, now: float) -> Sentence:  # noqa: ARG002
        return Sentence.KILL

    def on_kill(self, slot: Slot | None, now: float) -> None:
        if slot is not None:  # nobody orders anything here
            self._print(now, "kill", str(slot.check.type))
        if self.restart_delay is None:
            self.over = True
        else:
            self.restart_at = now + self.restart_delay

    def on_also(self, slot: Slot, now: float) -> None:
        """A second Failure of one instant kills nothing."""

    def on_recovered(self, now: float) -> None:
        """Nothing is asked for or suppressed here."""


def simulate(config: Config, document: Any) -> Iterator[dict[str, Any]]:
    """The events of all containers, ordered by time. Raises SimulationInputError for input that does not fit."""
    given = _decode(document)
    specs = {spec.name: spec for spec in config.containers}
    for name in given.outcomes:
        if name not in specs:
            raise SimulationInputError(f"outcomes: no container named {name!r}; there are {', '.join(specs)}")
    runs = [
        Simulation(spec, _scripts(spec, given.outcomes.get(spec.name, {})), given.restart_delay).run(given.until)
        for spec in config.containers
    ]
    return merge(*runs, key=lambda event: event["t"])


def _decode(document: Any) -> Input:
    try:
        given = msgspec.convert(document, Input)
    except msgspec.ValidationError as problem:
        raise SimulationInputError(f"input: {problem}") from None
    if given.until < 0 or (given.restart_delay or 0) < 0:
        raise SimulationInputError("input: until and restart_delay are seconds, 0 or more")
    return given


def _scripts(spec: Spec, outcomes: dict[str, str | dict[str, str]]) -> dict[str, Script]:
    where = f"outcomes.{spec.name}"
    unknown = set(outcomes) - {str(kind) for kind in CheckType}
    if unknown:
        raise SimulationInputError(f"{where}: unknown type {min(unknown)!r}: startup, readiness or liveness")
    scripts = {}
    for kind in CheckType:
        checks = spec.of_type(kind)
        given = outcomes.get(str(kind), {})
        named = given if isinstance(given, dict) else _alone(checks, given, f"{where}.{kind}")
        for name in set(named) - {check.name for check in checks}:
            raise SimulationInputError(f"{where}.{kind}: no check named {name!r}")
        for check in checks:
            letters = named.get(check.name, "")
            if set(letters) - set(OUTCOMES):
                raise SimulationInputError(f"{where}.{kind}: {letters!r} holds a letter that is not s, f or u")
            scripts[f"{kind}/{check.name}"] = Script(letters)
    return scripts


def _alone(checks: tuple[Check, ...], letters: str, where: str) -> dict[str, str]:
    """Letters that are not keyed by name belong to the only check of their type."""
    if len(checks) > 1:
        raise SimulationInputError(f"{where}: {len(checks)} checks: key their letters by check name")
    return {check.name: letters for check in checks}
