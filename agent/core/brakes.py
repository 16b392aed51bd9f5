"""Whether a kill that is wanted is permitted now, and if not, why: one pure rule for every action (contract 5)."""

from typing import Final, Literal, get_args

import msgspec

from agent.core import backoff, budget
from agent.core.backoff import BackoffState
from agent.core.budget import BudgetState
from agent.core.settings import Restart

Why = Literal["", "dry_run", "budget", "backoff", "maintenance", "correlated", "gpu", "impaired", "arming"]
WHYS: Final[tuple[str, ...]] = tuple(why for why in get_args(Why) if why)


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """What the decision depends on; times are seconds on the engine's clock."""

    now: float
    agent_started_at: float
    impaired: bool
    backoff: BackoffState
    budget: BudgetState
    maintenance: bool = False
    gpu: bool = False  # a GPU is to be reset or drained
    correlated: bool = False  # something that the container depends on fails too
    correlated_since: float | None = None  # when this kill was first held back for that


def why_not(rule: Restart, at: Situation) -> Why:
    """The first brake that holds, or "" when the kill is permitted.

    A dry run comes after what would hold a real one back as well, and before backoff and budget, which only what is
    really done can exhaust. With action `none` the platform has a backoff of its own.
    """
    held_for = 0.0 if at.correlated_since is None else at.now - at.correlated_since
    brakes: tuple[tuple[Why, bool], ...] = (
        ("maintenance", at.maintenance),
        ("arming", at.now - at.agent_started_at < rule.arm_after_seconds),
        ("impaired", at.impaired),
        ("gpu", at.gpu),
        ("correlated", at.correlated and held_for < rule.correlated_hold_seconds),
        ("dry_run", rule.dry_run),
        ("budget", at.budget.given_up_at is not None),
        ("backoff", rule.action_name != "none" and backoff.waiting(rule.backoff, at.backoff, at.now) > 0),
        ("budget", budget.remaining(rule.budget, at.budget, at.now) == 0),
    )
    return next((why for why, holds in brakes if holds), "")


def why_not_ordered(rule: Restart, at: Situation) -> Why:
    """The brakes on a restart that an operator asks for.

    Those that guard against the agent's own judgement (arming, impaired, gpu, correlated, backoff, budget) do not apply
    to a human's; that nothing is ever done (dry_run), or not now (maintenance), does.
    """
    return "maintenance" if at.maintenance else "dry_run" if rule.dry_run else ""
