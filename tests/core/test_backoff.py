"""The wait before a restart: the kubelet's CrashLoopBackOff (probe-semantics 3.4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core import backoff
from agent.core.backoff import BackoffState
from agent.core.settings import Backoff

RULE = Backoff()


def test_the_first_restart_comes_at_once_and_the_waits_double_up_to_the_cap() -> None:
    state, now, waits = BackoffState(), 1000.0, []
    for _ in range(8):
        waits.append(backoff.waiting(RULE, state, now))
        now += waits[-1]
        state = backoff.restarted(RULE, state, now, now)
    assert waits == [0, 10, 20, 40, 80, 160, 300, 300]


def test_the_wait_is_counted_from_the_actions_end() -> None:
    state = backoff.restarted(RULE, BackoffState(), 100.0, 130.0)
    assert backoff.waiting(RULE, state, 130.0) == 10.0
    assert backoff.waiting(RULE, state, 139.5) == 0.5
    assert backoff.waiting(RULE, state, 140.0) == 0.0


@pytest.mark.parametrize(("ran", "next_delay"), [(600.0, 20.0), (600.001, 10.0)])
def test_a_series_is_forgiven_after_strictly_more_than_its_time(ran: float, next_delay: float) -> None:
    state = BackoffState(10.0, 50.0)
    assert backoff.restarted(RULE, state, 50.0 + ran, 50.0 + ran).delay == next_delay


def test_a_long_action_does_not_forgive_its_own_series() -> None:
    """What was decided 60 s after the last restart is part of the series, however long it then takes."""
    state = backoff.restarted(RULE, BackoffState(40.0, 0.0), 60.0, 5000.0)
    assert state == BackoffState(80.0, 5000.0)


def test_an_initial_wait_above_the_cap_is_the_cap() -> None:
    rule = Backoff(initial_seconds=60, max_seconds=5)
    assert backoff.restarted(rule, BackoffState(), 0.0, 0.0).delay == 5.0


def test_forgetting_sooner_than_the_wait_is_over_ends_the_wait() -> None:
    """A reset below the cap: nobody waits longer than it takes to be forgiven."""
    rule = Backoff(max_seconds=300, reset_after_seconds=60)
    assert backoff.waiting(rule, BackoffState(300.0, 0.0), 61.0) == 0.0


@given(st.lists(st.tuples(st.floats(0, 2000), st.floats(0, 200)), max_size=20))
def test_a_wait_is_never_negative_nor_above_the_cap(steps: list[tuple[float, float]]) -> None:
    state, now = BackoffState(), 0.0
    for idle, acting in steps:
        now += idle
        assert 0.0 <= backoff.waiting(RULE, state, now) <= RULE.max_seconds + 1e-6
        state = backoff.restarted(RULE, state, now, now + acting)
        now += acting
        assert RULE.initial_seconds - 1e-6 <= backoff.waiting(RULE, state, now) <= RULE.max_seconds + 1e-6
