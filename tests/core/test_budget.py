"""At most so many restarts in any window, and the ways back from given up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core import budget
from agent.core.budget import BudgetState
from agent.core.settings import Budget

RULE = Budget(restarts=2, window_seconds=100)


def test_what_was_spent_comes_back_when_the_window_has_passed_it() -> None:
    state = budget.spend(RULE, budget.spend(RULE, BudgetState(), 10.0), 60.0)
    assert [budget.remaining(RULE, state, now) for now in (60.0, 109.9, 110.0, 159.9, 160.0)] == [0, 0, 1, 1, 2]


def test_what_has_left_the_window_is_not_kept() -> None:
    state = BudgetState()
    for now in range(0, 10_000, 50):
        state = budget.spend(RULE, state, float(now))
    assert state.spent == (9900.0, 9950.0)


def test_a_budget_of_none_permits_nothing_ever() -> None:
    assert budget.remaining(Budget(restarts=0), BudgetState(), 1e9) == 0


def test_an_attempt_counts_from_when_it_begins_to_act() -> None:
    state = budget.begin(budget.spend(RULE, budget.spend(RULE, BudgetState(), 10.0), 60.0), 90.0)
    assert state.spent == (10.0, 90.0)
    assert budget.begin(BudgetState(), 90.0) == BudgetState(), "an operator may have forgiven it meanwhile"


def test_giving_up_again_does_not_make_it_later() -> None:
    assert budget.give_up(budget.give_up(BudgetState(), 5.0), 9.0).given_up_at == 5.0


@pytest.mark.parametrize(
    ("now", "healthy_for", "after"),
    [
        (99.0, 0.0, BudgetState((0.0, 50.0), 50.0)),
        (100.0, 0.0, BudgetState((50.0,))),  # the window passed one of them
        (99.0, 599.9, BudgetState((0.0, 50.0), 50.0)),
        (99.0, 600.0, BudgetState()),  # healthy for long enough: all is forgiven
    ],
)
def test_the_ways_back_from_given_up(now: float, healthy_for: float, after: BudgetState) -> None:
    given_up = BudgetState((0.0, 50.0), 50.0)
    assert budget.come_back(RULE, given_up, now, healthy_for=healthy_for, reset_after=600.0) == after


def test_an_operator_forgives_what_was_spent() -> None:
    """Else the next kill would give up again at once."""
    assert budget.resume(BudgetState((0.0, 50.0), 50.0)) == BudgetState()
    assert budget.resume(BudgetState((0.0, 50.0))) == BudgetState((0.0, 50.0)), "who has not given up has nothing to"


def test_who_has_not_given_up_has_nowhere_to_come_back_from() -> None:
    state = BudgetState((0.0, 50.0))
    assert budget.come_back(RULE, state, 5000.0, healthy_for=5000.0, reset_after=600.0) is state


@given(
    st.integers(0, 4),
    st.floats(1, 100),
    st.lists(st.one_of(st.just(0.0), st.floats(0, 60), st.floats(0, 1)), max_size=60),
)
def test_no_window_ever_holds_more_than_the_budget(restarts: int, window: float, pauses: list[float]) -> None:
    rule, state, now, spent = Budget(restarts=restarts, window_seconds=window), BudgetState(), 0.0, []
    for pause in pauses:
        now += pause
        if budget.remaining(rule, state, now) > 0:
            state = budget.spend(rule, state, now)
            spent.append(now)
    for first in spent:
        assert sum(first <= t and t - first < window for t in spent) <= restarts
