"""How many restarts are left: at most so many within a sliding window, then given up (contract 5)."""

import msgspec

from agent.core.settings import Budget


class BudgetState(msgspec.Struct, frozen=True):
    """When restarts were begun, oldest first, and since when the container is given up; engine clock, seconds."""

    spent: tuple[float, ...] = ()
    given_up_at: float | None = None


def remaining(rule: Budget, state: BudgetState, now: float) -> int:
    """Restarts left in the window that ends now."""
    return max(0, rule.restarts - len(_within(rule, state, now)))


def spend(rule: Budget, state: BudgetState, now: float) -> BudgetState:
    """One attempt more."""
    return BudgetState((*_within(rule, state, now), now), state.given_up_at)


def refund(state: BudgetState) -> BudgetState:
    """The attempt that was spent last was none."""
    return BudgetState(state.spent[:-1], state.given_up_at)


def begin(state: BudgetState, now: float) -> BudgetState:
    """The attempt that was spent last begins to act: from now on it counts, not from when it was decided.

    Else a long drain before one action and a short one before another would let more of them into one window.
    """
    return BudgetState((*state.spent[:-1], now), state.given_up_at) if state.spent else state


def give_up(state: BudgetState, now: float) -> BudgetState:
    """A kill was decided and none was left."""
    return state if state.given_up_at is not None else BudgetState(state.spent, now)


def resume(state: BudgetState) -> BudgetState:
    """An operator takes the container out of given up: what was spent is forgiven, or the next kill would give up."""
    return state if state.given_up_at is None else BudgetState()


def come_back(rule: Budget, state: BudgetState, now: float, *, healthy_for: float, reset_after: float) -> BudgetState:
    """The state after the ways back from given up: the window's passing, or ``reset_after`` seconds of healthy running.

    ``healthy_for`` is how long the container has been live and started without a break, in seconds. Healthy running
    forgives what was spent; the window's passing leaves what it still holds.
    """
    if state.given_up_at is None:
        return state
    if healthy_for >= reset_after:
        return BudgetState()
    if remaining(rule, state, now) > 0:
        return BudgetState(_within(rule, state, now))
    return state


def _within(rule: Budget, state: BudgetState, now: float) -> tuple[float, ...]:
    return tuple(t for t in state.spent if now - t < rule.window_seconds)
