"""Whether a wanted kill is permitted, and which brake is named when several hold."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.core import brakes
from agent.core.backoff import BackoffState
from agent.core.brakes import Situation
from agent.core.budget import BudgetState
from agent.core.settings import Budget, Restart

RULE = Restart(action_name="signal", arm_after_seconds=60, budget=Budget(restarts=1))
CALM = Situation(now=1000.0, agent_started_at=0.0, impaired=False, backoff=BackoffState(), budget=BudgetState())
BACKING_OFF: dict[str, Any] = {"backoff": BackoffState(300.0, 990.0)}
SPENT: dict[str, Any] = {"budget": BudgetState((995.0,))}
GIVEN_UP: dict[str, Any] = {"budget": BudgetState((), 995.0)}
DRY: dict[str, Any] = {"dry_run": True}
CORRELATED: dict[str, Any] = {"correlated": True, "correlated_since": 900.0}


def test_without_a_brake_a_kill_is_permitted() -> None:
    assert brakes.why_not(RULE, CALM) == ""


@pytest.mark.parametrize(
    ("rule", "situation", "why"),
    [
        ({}, {"agent_started_at": 950.0}, "arming"),
        ({}, {"agent_started_at": 940.0}, ""),  # armed at the very second
        ({}, {"impaired": True}, "impaired"),
        ({}, {"maintenance": True}, "maintenance"),
        ({}, {"gpu": True}, "gpu"),
        ({}, {"correlated": True}, "correlated"),  # for the first time
        ({}, CORRELATED, "correlated"),
        ({}, {"correlated": True, "correlated_since": 700.0}, ""),  # for at most so long
        ({}, {"correlated": False, "correlated_since": 900.0}, ""),  # what it depends on is back
        ({"correlated_hold_seconds": 0.0}, {"correlated": True}, ""),
        ({"correlated_hold_seconds": 50.0}, CORRELATED, ""),
        (DRY, {}, "dry_run"),
        ({}, BACKING_OFF, "backoff"),
        ({}, SPENT, "budget"),
        ({}, GIVEN_UP, "budget"),
    ],
)
def test_each_brake_holds_alone(rule: dict[str, Any], situation: dict[str, Any], why: str) -> None:
    assert brakes.why_not(replace(RULE, **rule), replace(CALM, **situation)) == why


@pytest.mark.parametrize(
    ("rule", "situation", "why"),
    [
        (DRY, {"maintenance": True, "agent_started_at": 999.0, "impaired": True, **SPENT}, "maintenance"),
        (DRY, {"agent_started_at": 999.0, "impaired": True, **SPENT, **BACKING_OFF}, "arming"),
        (DRY, {"impaired": True, "gpu": True, **CORRELATED}, "impaired"),
        (DRY, {"gpu": True, **CORRELATED, **SPENT}, "gpu"),
        (DRY, {**CORRELATED, **SPENT, **GIVEN_UP}, "correlated"),  # it would have held a real one back as well
        (DRY, {"impaired": True, **SPENT, **BACKING_OFF}, "impaired"),
        (DRY, {**SPENT, **BACKING_OFF}, "dry_run"),  # only what is really done can exhaust anything
        ({}, {**GIVEN_UP, **BACKING_OFF}, "budget"),
        ({}, {**SPENT, **BACKING_OFF}, "backoff"),  # it passes first; giving up waits until it has
    ],
)
def test_of_several_brakes_the_first_is_named(rule: dict[str, Any], situation: dict[str, Any], why: str) -> None:
    assert brakes.why_not(replace(RULE, **rule), replace(CALM, **situation)) == why


@pytest.mark.parametrize(
    ("rule", "situation", "why"),
    [
        ({}, {"agent_started_at": 999.0, "impaired": True, "gpu": True, **CORRELATED, **SPENT, **BACKING_OFF}, ""),
        ({}, GIVEN_UP, ""),
        ({}, {"maintenance": True}, "maintenance"),
        (DRY, {}, "dry_run"),
        (DRY, {"maintenance": True}, "maintenance"),
    ],
)
def test_an_operators_order_is_held_back_only_where_nothing_is_ever_done_or_not_now(
    rule: dict[str, Any], situation: dict[str, Any], why: str
) -> None:
    assert brakes.why_not_ordered(replace(RULE, **rule), replace(CALM, **situation)) == why


@given(
    st.builds(
        Restart,
        action_name=st.sampled_from(["none", "signal"]),
        dry_run=st.booleans(),
        arm_after_seconds=st.sampled_from([0.0, 60.0]),
        correlated_hold_seconds=st.floats(0, 600),
        budget=st.builds(Budget, restarts=st.integers(0, 2)),
    ),
    st.builds(
        Situation,
        now=st.just(1000.0),
        agent_started_at=st.floats(0, 1000),
        impaired=st.booleans(),
        backoff=st.builds(BackoffState, st.floats(0, 300), st.none() | st.floats(0, 1000)),
        budget=st.builds(BudgetState, st.lists(st.floats(0, 1000), max_size=3).map(tuple), st.none() | st.just(995.0)),
        maintenance=st.booleans(),
        gpu=st.booleans(),
        correlated=st.booleans(),
        correlated_since=st.none() | st.floats(0, 1000),
    ),
)
def test_one_brake_less_never_permits_less(rule: Restart, at: Situation) -> None:
    """What is permitted with a brake is permitted without it, and nobody is held as correlated for ever."""
    if brakes.why_not(rule, at) == "":
        for calmer in ({"maintenance": False}, {"impaired": False}, {"gpu": False}, {"correlated": False}):
            assert brakes.why_not(rule, replace(at, **calmer)) == ""
        assert brakes.why_not_ordered(rule, at) == ""
    since = at.now - rule.correlated_hold_seconds - 0.001
    held_long = replace(at, correlated=True, correlated_since=since)
    assert brakes.why_not(rule, held_long) != "correlated"


def test_with_action_none_the_platform_has_a_backoff_of_its_own() -> None:
    none = replace(RULE, action_name="none")
    assert brakes.why_not(none, replace(CALM, **BACKING_OFF)) == ""
    assert brakes.why_not(none, replace(CALM, **SPENT)) == "budget", "its budget counts all the same"


def test_every_brake_is_of_the_closed_set_of_the_metrics() -> None:
    assert set(brakes.WHYS) == {
        "dry_run",
        "budget",
        "backoff",
        "maintenance",
        "correlated",
        "gpu",
        "impaired",
        "arming",
    }
