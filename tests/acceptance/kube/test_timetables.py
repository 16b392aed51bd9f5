"""The timetables are decisive: on any grid the rules lead to the named transitions, less than a period apart."""

import heapq
import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.model import Check, CheckType, Outcome, Published
from agent.core.settings import Container as Spec
from agent.engine.container import Container, Sentence, Slot
from tests.acceptance.kube.comparison import Probe, Seen, Side, disorder, pairs
from tests.acceptance.kube.timetables import TIMETABLES, Timetable

ROUNDING_SECONDS = 1e-9
RESTART_SECONDS = 1.0  # from a kill to the next instance
BOOT_SECONDS = 0.5  # from a process's start to its first answer


class Prober:
    """Plays a timetable by the agent's own rules on a grid of its own; ``trigger`` as the kubelet has it since 1.21."""

    def __init__(self, timetable: Timetable, phases: dict[Probe, float], *, trigger: bool) -> None:
        self.timetable = timetable
        self.trigger = trigger
        self.instance = 1
        self.processes = [0.0]
        self.seen: list[Seen] = []
        self.ready = False
        checks = {probe: self._check(probe) for probe in timetable.checks}
        fields = {probe: (check,) for probe, check in checks.items()}
        self.container = Container(Spec(name="main", **fields), self)
        self.beats = [(phases[slot.check.type.value], number, slot) for number, slot in enumerate(self.container.slots)]
        self.order = itertools.count(len(self.beats))
        heapq.heapify(self.beats)

    def _check(self, probe: Probe) -> Check:
        check = self.timetable.checks[probe]
        return Check(
            name=probe, type=CheckType(probe), method=check.method, options=None,
            initial_delay_seconds=check.delay, period_seconds=check.period,
            success_threshold=check.successes, failure_threshold=check.failures,
        )  # fmt: skip

    def play(self) -> Side:
        self.container.begin(0.0)
        while True:
            due, _, slot = self.beats[0]
            restart = self.container.killed_at if not self.container.running else None
            if restart is not None and restart + RESTART_SECONDS <= due:
                self._next_instance(restart + RESTART_SECONDS)
                continue
            if self.instance >= self.timetable.instances and due > self.served(self.instance) + self.timetable.seconds:
                break
            self._again(slot, due + slot.check.period_seconds)
            self._round(slot, due)
        served = tuple(self.served(number) for number in range(1, self.instance + 1))
        return Side("prober", served, tuple(self.processes), tuple(self.seen))

    def served(self, instance: int) -> float:
        return self.processes[instance - 1] + BOOT_SECONDS

    def _next_instance(self, now: float) -> None:
        self.instance += 1
        self.processes.append(now)
        self.container.new_instance(now)

    def _again(self, slot: Slot, due: float) -> None:
        self.beats = [beat for beat in self.beats if beat[2] is not slot]
        heapq.heapify(self.beats)
        heapq.heappush(self.beats, (due, next(self.order), slot))

    def _round(self, slot: Slot, now: float) -> None:
        seen = self.container.view(now)
        if self.container.enter(slot, seen, now):
            self.container.finish(slot, seen, self._outcome(slot, now), now)

    def _outcome(self, slot: Slot, now: float) -> Outcome:
        at = now - self.served(self.instance)
        if at < 0:
            return Outcome.FAILURE  # it is not there yet
        states = self.timetable.states(self.instance, slot.check.type.value)
        return Outcome.SUCCESS if [state for since, state in states if since <= at][-1] == "good" else Outcome.FAILURE

    # -- what the container tells (agent.engine.container.Life) --------------------------------------------------------

    def on_published(self, kind: CheckType, value: Published, slot: Slot, now: float, *, initial: bool) -> None:
        pass

    def on_status(self, name: str, value: bool, now: float) -> None:
        if name == "started" and value and "startup" in self.timetable.checks:
            self.seen.append(Seen("startup", "started", now, now))
        elif name == "ready" and "readiness" in self.timetable.checks and value is not self.ready:
            self.ready = value
            self.seen.append(Seen("readiness", "ready" if value else "unready", now, now))

    def on_trigger(self, slot: Slot, now: float) -> None:
        if self.trigger:
            self._again(slot, now + slot.check.period_seconds)
            self._round(slot, now)

    def sentence(self, slot: Slot, now: float) -> Sentence:
        return Sentence.KILL

    def on_kill(self, slot: Slot, now: float) -> None:
        self.seen.append(Seen(slot.check.type.value, "killed", now, now))

    def on_recovered(self, slot: Slot, now: float) -> None:
        pass


def on_a_grid(data: st.DataObject, timetable: Timetable, *, trigger: bool) -> Side:
    """The timetable as a prober plays it whose workers start somewhere within their first period."""
    phases = {
        probe: data.draw(st.floats(0, check.period, exclude_max=True), label=probe)
        for probe, check in timetable.checks.items()
    }
    return Prober(timetable, phases, trigger=trigger).play()


@pytest.mark.parametrize("timetable", TIMETABLES, ids=lambda one: one.name)
@settings(max_examples=60)
@given(data=st.data(), triggers=st.tuples(st.booleans(), st.booleans()))
def test_the_phase_changes_no_order_and_no_moment_by_a_period(
    timetable: Timetable, data: st.DataObject, triggers: tuple[bool, bool]
) -> None:
    """Two probers of the same rules are never told apart: what the comparison finds is no accident of their grids."""
    one, other = (on_a_grid(data, timetable, trigger=trigger) for trigger in triggers)
    assert not disorder(timetable.expected, one, other)
    periods = {probe: float(check.period) for probe, check in timetable.checks.items()}
    for pair in pairs(timetable.expected, periods, one, other):
        assert pair.apart <= pair.period + ROUNDING_SECONDS, str(pair)


def test_every_probe_type_is_compared_by_every_method() -> None:
    compared: set[Any] = {
        (one.probe, timetable.checks[one.probe].method) for timetable in TIMETABLES for one in timetable.expected
    }
    assert compared == set(itertools.product(("startup", "readiness", "liveness"), ("http", "tcp", "exec")))
    assert len(TIMETABLES) >= 10
