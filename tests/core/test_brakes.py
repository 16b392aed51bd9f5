"""Whether a wanted kill is permitted, and which brake is named when several hold."""

from typing import Any

import pytest
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


def test_without_a_brake_a_kill_is_permitted() -> None:
    assert brakes.why_not(RULE, CALM) == ""


@pytest.mark.parametrize(
    ("rule", "situation", "why"),
    [
        ({}, {"agent_started_at": 950.0}, "arming"),
        ({}, {"agent_started_at": 940.0}, ""),  # armed at the very second
        ({}, {"impaired": True}, "impaired"),
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
        (DRY, {"agent_started_at": 999.0, "impaired": True, **SPENT, **BACKING_OFF}, "arming"),
        (DRY, {"impaired": True, **SPENT, **BACKING_OFF}, "impaired"),
        (DRY, {**SPENT, **BACKING_OFF}, "dry_run"),  # only what is really done can exhaust anything
        ({}, {**GIVEN_UP, **BACKING_OFF}, "budget"),
        ({}, {**SPENT, **BACKING_OFF}, "backoff"),  # it passes first; giving up waits until it has
    ],
)
def test_of_several_brakes_the_first_is_named(rule: dict[str, Any], situation: dict[str, Any], why: str) -> None:
    assert brakes.why_not(replace(RULE, **rule), replace(CALM, **situation)) == why


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
