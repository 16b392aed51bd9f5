"""How long a restart waits after the one before: the kubelet's CrashLoopBackOff (probe-semantics 3.4)."""

import msgspec

from agent.core.settings import Backoff


class BackoffState(msgspec.Struct, frozen=True):
    """``delay`` seconds must pass after ``since`` (the last action's end, on the engine's clock) before the next."""

    delay: float = 0.0
    since: float | None = None


def waiting(rule: Backoff, state: BackoffState, now: float) -> float:
    """Seconds until a restart may come; 0 when it may come now."""
    if state.since is None or expired(rule, state, now):
        return 0.0
    return max(0.0, state.since + state.delay - now)


def expired(rule: Backoff, state: BackoffState, now: float) -> bool:
    """Whether the last instance ran for so long (strictly more, as in the kubelet) that the series is forgiven."""
    return state.since is not None and now - state.since > rule.reset_after_seconds


def restarted(rule: Backoff, state: BackoffState, begun: float, ended: float) -> BackoffState:
    """After an action, done or failed: the next one waits for initial, then twice as long each time, up to max.

    ``begun`` is when it was decided: a series is forgiven by the run before it, not by a long action.
    """
    if state.since is None or expired(rule, state, begun):
        return BackoffState(min(rule.initial_seconds, rule.max_seconds), ended)
    return BackoffState(min(state.delay * 2, rule.max_seconds), ended)
