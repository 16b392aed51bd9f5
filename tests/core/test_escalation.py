"""Kills in a row, and the action that is due after so many of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core import escalation
from agent.core.escalation import Streak
from agent.core.settings import Escalation, Restart

WITHIN = 600.0
STEPS = (Escalation(after=3, action="evict", action_name="kubernetes"), Escalation(after=5, action="tell"))


def row_of(*gaps: float, takes: float = 0.0) -> Streak:
    """Kills so many seconds after the end of the one before, each of which takes so long."""
    streak, now = Streak(), 1000.0
    for gap in gaps:
        streak = escalation.killed(streak, now + gap, now + gap + takes, WITHIN)
        now += gap + takes
    return streak


@pytest.mark.parametrize(
    ("gaps", "kills"),
    [
        ((), 0),
        ((0,), 1),
        ((0, 10, 20), 3),
        ((0, 600), 2),  # at the very second it is a row still, as for the backoff
        ((0, 600.001), 1),
        ((0, 10, 700, 10), 2),
    ],
)
def test_kills_make_a_row_while_each_comes_soon_enough_after_the_one_before(
    gaps: tuple[float, ...], kills: int
) -> None:
    assert row_of(*gaps).kills == kills


def test_a_row_is_over_once_nothing_was_killed_for_long_enough() -> None:
    streak = row_of(0, 10, 10)
    last = streak.last or 0.0
    assert escalation.length(streak, last + WITHIN, WITHIN) == 3
    assert escalation.length(streak, last + WITHIN + 0.001, WITHIN) == 0
    assert escalation.length(Streak(), 5.0, WITHIN) == 0


def test_a_long_action_does_not_break_its_own_row() -> None:
    """What was decided soon after the one before belongs to its row, however long it then takes."""
    assert row_of(0, 10, 10, takes=5000).kills == 3


@pytest.mark.parametrize(("kills", "level"), [(0, 0), (2, 0), (3, 1), (4, 1), (5, 2), (99, 2)])
def test_the_action_that_is_due_follows_from_the_kills_before_it(kills: int, level: int) -> None:
    assert escalation.level(STEPS, kills) == level
    assert escalation.level((), kills) == 0


@pytest.mark.parametrize(
    ("level", "action"), [(0, "restart"), (1, "evict"), (2, "tell"), (3, "restart"), (-1, "restart")]
)
def test_a_level_that_a_reload_took_away_is_the_restarts_own_action(level: int, action: str) -> None:
    assert Restart(action="restart", escalate=STEPS).escalated(level).action == action


def test_one_step_may_stand_without_a_list() -> None:
    assert Restart(escalate=STEPS[0]).escalations == STEPS[:1]
    assert Restart().escalations == ()
    assert Restart(escalate=STEPS).escalated(1).action_name == "kubernetes"


@given(st.lists(st.tuples(st.floats(0, 2000), st.floats(0, 200)), max_size=30), st.integers(1, 5), st.integers(1, 5))
def test_the_level_never_falls_within_a_row_and_is_0_after_it(
    history: list[tuple[float, float]], first: int, more: int
) -> None:
    steps = (Escalation(after=first, action=None), Escalation(after=first + more, action=None))
    streak, now, before = Streak(), 0.0, 0
    for idle, acting in history:
        now += idle
        length = escalation.length(streak, now, WITHIN)
        level = escalation.level(steps, length)
        assert level >= before or length == 0
        assert level == (length >= first) + (length >= first + more)
        streak = escalation.killed(streak, now, now + acting, WITHIN)
        now, before = now + acting, level
    assert escalation.level(steps, escalation.length(streak, now + WITHIN + 1, WITHIN)) == 0
