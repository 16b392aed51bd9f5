"""One container's life: started, ready, instance and kill follow from its checks' published results.

The daemon and `simulate` run this same code; they differ in the clock and in the `Life` that listens.
"""

from collections import deque
from enum import Enum
from typing import Any, Protocol

from agent.core import state as rules
from agent.core.model import Check, CheckType, Outcome, Published, Result
from agent.core.remembered import Answer, note_answer, sayings
from agent.core.settings import Container as Spec
from agent.core.state import ProbeState, Seen
from agent.engine.stats import CheckStats

HISTORY = 100  # results kept of each check


class Slot:
    """One check's place in its container: what it is, where its worker stands, what it last found."""

    __slots__ = ("check", "history", "last", "last_time", "state", "stats")

    def __init__(self, check: Check) -> None:
        self.check = check
        self.state = ProbeState()
        self.last: Result | None = None
        self.last_time: float | None = None  # Unix time, seconds
        self.history: deque[tuple[float, Result]] = deque(maxlen=HISTORY)
        self.stats = CheckStats()

    @property
    def path(self) -> str:
        return f"{self.check.type}/{self.check.name}"

    def record(self, result: Result, unix_time: float) -> None:
        self.last = result
        self.last_time = unix_time
        self.history.append((unix_time, result))
        self.stats.count(result)


class Sentence(Enum):
    """What is done about a startup or liveness check at its failure threshold."""

    KILL = "kill"  # not running from now on, until the new instance
    ASK = "ask"  # the platform is asked; probing goes on, since nobody may come
    SPARE = "spare"  # not permitted: the Failure stays, probing and counting go on
    SPARE_AND_RESET = "spare and reset"  # the same, and the next decision needs a full run


class Life(Protocol):
    """Whoever listens to a container. Called in the middle of a change: note it, and act later."""

    def on_published(self, kind: CheckType, value: Published, slot: Slot, now: float, *, initial: bool) -> None:
        """A type's aggregate changed because of this slot, or (initial) an instance's first value was set."""

    def on_status(self, name: str, value: bool, now: float) -> None:
        """`started` or `ready` changed."""

    def on_trigger(self, slot: Slot, now: float) -> None:
        """Run this readiness check's round at once, its next beat a period away."""

    def sentence(self, slot: Slot, now: float) -> Sentence:
        """A kill is wanted because of this check: say what shall be done."""

    def on_kill(self, slot: Slot | None, now: float) -> None:
        """The sentence was KILL or ASK and is carried out (None: for an operator); `started` and `ready` follow."""

    def on_also(self, slot: Slot, now: float) -> None:
        """This check fails too while a kill is under way: no second one comes of it."""

    def on_recovered(self, now: float) -> None:
        """The kill that was asked for, or suppressed, is wanted no more: its check publishes Success, or is gone."""


class Container:
    """The mutable state of one container. All times are seconds on the caller's clock."""

    def __init__(self, spec: Spec, life: Life) -> None:
        self.spec = spec
        self.life = life
        self.slots = [Slot(check) for check in spec.checks()]
        self.instance = 1
        self.running = True
        self.started = False
        self.ready = False
        self.ever_started = False  # in this instance; `started` begins anew while a restart is asked for
        self.asked: Slot | None = None  # a restart is asked for because of this check; nothing is held
        self.ordered = False  # a restart is asked for because an operator said so
        self.wanted: Slot | None = None  # a kill wanted by this check was not permitted and is still wanted
        self.started_at = 0.0
        self.killed_at: float | None = None
        self.seen: dict[str, Any] = {}  # what methods remember of this instance (agent.core.remembered)
        self._public: dict[CheckType, tuple[int, Published]] = {}

    @property
    def is_asked(self) -> bool:
        """A restart is asked for, and probing goes on."""
        return self.ordered or self.asked is not None

    def begin(self, now: float, started_at: float | None = None) -> None:
        """The first instance: it is running since ``started_at`` (now where unknown)."""
        self.started_at = now if started_at is None else started_at
        self._recompute(now, first=True)
        self._trigger(now)

    def view(self, now: float) -> Seen:
        """The status as a round that falls due now sees it."""
        return Seen(self.instance, self.running, self.started, now - self.started_at)

    def enter(self, slot: Slot, seen: Seen, now: float) -> bool:
        """Begin a round of this check; True when it is to probe."""
        before = slot.state
        slot.state = arrived = rules.arrive(slot.check, before, seen)
        if arrived is not before:
            self._announce(slot, now, initial=True)
        slot.state, probe = rules.enter(slot.check, arrived, seen)
        if slot.state is not before:
            self._announce(slot, now)
            self._recompute(now)
        return probe

    def remember(self, slot: Slot, seen: Seen, result: Result, now: float) -> None:
        """A round that began with ``seen`` has ended: the other checks may read its answer."""
        if seen.instance != self.instance:
            return
        note_answer(self.seen, slot.path, Answer(slot.check.method, result, now))
        if sayings(self.seen):  # the only way in which a mere result changes the status
            self._recompute(now)

    def finish(self, slot: Slot, seen: Seen, outcome: Outcome, now: float) -> None:
        """End a round that began with ``seen``. One that outlived its instance, or its kill, says nothing."""
        if seen.instance != self.instance or (not self.running and now != self.killed_at):
            return
        before = slot.state
        done = rules.finish(slot.check, before, outcome)
        slot.state = done.state
        if done.changed:
            self._announce(slot, now)
            if done.state.published is Published.SUCCESS:
                self._recovered(slot, now)
            self._recompute(now)
        verdict = self._judge(slot, before, now) if done.failing else None
        if verdict is Sentence.KILL:
            self._kill(slot, now)
        elif verdict is Sentence.ASK:
            self._ask(slot, now)
        elif done.changed and slot.check.type is not CheckType.LIVENESS:
            self._trigger(now)

    def _judge(self, slot: Slot, before: ProbeState, now: float) -> Sentence | None:
        """A kill is wanted: what is not permitted leaves the check probing on, its Failure published."""
        if not self.running:  # the round began at the moment of the kill
            self.life.on_also(slot, now)
            return None
        if self.is_asked:
            if slot is not self.asked:
                self.life.on_also(slot, now)
            verdict = Sentence.SPARE
        else:
            verdict = self.life.sentence(slot, now)
        if verdict in (Sentence.SPARE, Sentence.SPARE_AND_RESET):
            slot.state = rules.spared(before, slot.state, keep_run=verdict is Sentence.SPARE)
            if verdict is Sentence.SPARE_AND_RESET:
                self._reset_runs()
            if not self.is_asked:
                self.wanted = self.wanted or slot
        return verdict

    def order(self, sentence: Sentence, now: float) -> None:
        """An operator's restart, which no check wants: KILL or ASK."""
        if sentence is Sentence.KILL:
            self._kill(None, now)
        else:
            self._ask(None, now)

    def new_instance(self, now: float, started_at: float | None = None) -> None:
        """Another run of the target was seen: every published value is initial again; workers and counters carry on."""
        self.instance += 1
        self.running = True
        self.ever_started = self.ordered = False
        self.asked = self.wanted = None
        self.started_at = now if started_at is None else started_at
        self.seen = {}  # a new one: a round that outlives its instance still writes into the old one
        for slot in self.slots:
            slot.last = slot.last_time = None  # what was seen of the old instance stays in the history
        self._recompute(now)
        self._trigger(now)

    def resume(self, now: float) -> None:
        """The same instance is looked at again, from its startup checks on: a kill was given up or withdrawn."""
        self.running = True
        self.ordered = False
        self.asked = self.wanted = None
        self._begin_anew(now)
        self._recompute(now)
        self._trigger(now)

    def withdraw(self, now: float) -> None:
        """What is asked for is asked no more; a check that still fails decides anew."""
        if self.is_asked:
            self.asked, self.ordered = None, False
            self.life.on_recovered(now)
            self._recompute(now)

    def published(self, slot: Slot) -> Published:
        """The check's public value in this instance."""
        return rules.value_of(slot.check, slot.state, self.instance)

    def restore_started(self) -> None:
        """This instance had already started before the agent did: its startup checks have said so."""
        for slot in self._of(CheckType.STARTUP):
            slot.state = ProbeState(self.instance, Published.SUCCESS, None, 0, on_hold=True)

    def replace(self, spec: Spec, now: float) -> list[Slot]:
        """Take another definition over; returns the slots that are new and need a worker (contract 3, reload).

        An unchanged check keeps its slot; a changed one keeps only its published result, until its first publication.
        """
        old = {slot.path: slot for slot in self.slots}
        slots, fresh = [], []
        for check in spec.checks():
            slot = old.get(f"{check.type}/{check.name}")
            if slot is None or slot.check != check:
                before, slot = slot, Slot(check)
                if before is not None:
                    slot.state = ProbeState(before.state.instance, before.state.published)
                fresh.append(slot)
            slots.append(slot)
        self.spec, self.slots = spec, slots
        self._settle_after_replacement(now)
        self._recompute(now)
        return fresh

    def _settle_after_replacement(self, now: float) -> None:
        """A started container stays started: a startup check that came with the reload has nothing to hold back.

        What is asked for or wanted goes on with the check's new definition, and is withdrawn where the check is gone.
        """
        if self.started:
            self.restore_started()
        here = {slot.path: slot for slot in self.slots}
        for name in ("asked", "wanted"):
            slot = getattr(self, name)
            if slot is not None:
                setattr(self, name, here.get(slot.path))
                if slot.path not in here:
                    self.life.on_recovered(now)

    def slot(self, path: str) -> Slot | None:
        """The check TYPE/NAME; None where there is none (any more)."""
        return next((slot for slot in self.slots if slot.path == path), None)

    def _of(self, kind: CheckType) -> list[Slot]:
        return [slot for slot in self.slots if slot.check.type is kind]

    def _kill(self, slot: Slot | None, now: float) -> None:
        self.running = False
        self.killed_at = now
        self.wanted = None
        self._reset_runs()
        self.life.on_kill(slot, now)
        self._recompute(now)

    def _ask(self, slot: Slot | None, now: float) -> None:
        self.asked, self.ordered = slot, slot is None
        self.wanted = None
        self._begin_anew(now)
        self.life.on_kill(slot, now)
        self._recompute(now)

    def _reset_runs(self) -> None:
        """A kill, also one that a dry run only tells of, has every startup and liveness check count from nothing."""
        for slot in self.slots:
            if slot.check.type is not CheckType.READINESS:
                slot.state = rules.killed(slot.state)

    def _begin_anew(self, now: float) -> None:
        for slot in self.slots:
            if slot.check.type is not CheckType.READINESS and slot.state.instance == self.instance:
                slot.state = rules.again(slot.check, slot.state)
                self._announce(slot, now)

    def _recovered(self, slot: Slot, now: float) -> None:
        if slot is self.asked:
            self.asked = None
        elif slot is self.wanted:
            self.wanted = None
        else:
            return
        self.life.on_recovered(now)

    def _announce(self, slot: Slot, now: float, *, initial: bool = False) -> None:
        kind = slot.check.type
        value = rules.aggregate(kind, [self.published(s) for s in self._of(kind)])
        if self._public.get(kind) != (self.instance, value):
            self._public[kind] = (self.instance, value)
            self.life.on_published(kind, value, slot, now, initial=initial)

    def _all(self, kind: CheckType) -> bool:
        return all(self.published(slot) is Published.SUCCESS for slot in self._of(kind))

    def _is_held_unready(self) -> bool:
        """Whether a check says that the container is not to be used, whatever its type and result."""
        said = sayings(self.seen)
        return any(said[slot.path].unready for slot in self.slots if slot.path in said)

    def _recompute(self, now: float, *, first: bool = False) -> None:
        started = self.running and self._all(CheckType.STARTUP)
        ready = started and not self.is_asked and self._all(CheckType.READINESS) and not self._is_held_unready()
        was_started, was_ready = self.started, self.ready
        self.started, self.ready = started, ready
        self.ever_started = self.ever_started or started
        if first or started is not was_started:
            self.life.on_status("started", started, now)
        if first or ready is not was_ready:
            self.life.on_status("ready", ready, now)

    def _trigger(self, now: float) -> None:
        """The readiness trigger: whoever is not Success looks again at once (probe-semantics, decisions)."""
        for slot in self._of(CheckType.READINESS):
            if self.running and self.started and self.published(slot) is not Published.SUCCESS:
                self.life.on_trigger(slot, now)
