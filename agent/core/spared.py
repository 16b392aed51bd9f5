"""Kills that were wanted and not done, told so that a report can say which thresholds would have changed them."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from agent.core.model import Check, Outcome, Result

Ended = Literal["", "recovered", "restarted", "unknown"]


class Spared(msgspec.Struct, frozen=True, kw_only=True):
    """One failing of one check: from the first kill it wanted in vain until it recovered or a new instance came.

    All times are Unix time, durations seconds. The thresholds are those at that time. ``failures`` is the length of
    the whole run of failed rounds, so a higher ``failure_threshold`` would have spared the container without a brake;
    ``failing_since`` to ``ended_at`` is how long it failed; ``slowest`` is the longest that a good answer took before,
    which a ``timeout_seconds`` must allow.
    """

    time: float  # when the kill was first wanted
    last: float  # and when last
    times: int = 1  # how often a kill was wanted; a dry run wants a full run of failures each time
    why: str
    action: str
    check: str  # TYPE/NAME, or operator
    reason: str
    detail: str = ""
    instance: int = 1
    failures: int = 0
    failing_since: float | None = None
    failure_threshold: int = 0
    period_seconds: float = 0.0
    timeout_seconds: float = 0.0
    slowest_seconds: float | None = None
    ended: Ended = ""
    ended_at: float | None = None


def told(spared: Spared, check: Check, history: Sequence[tuple[float, Result]]) -> Spared:
    """With what the check's last results (Unix time and result) say: the failures that they end with, and before.

    No more than the last hundred results are kept; a kill is wanted after `failure_threshold` failures at the soonest.
    """
    failures, since, good = 0, spared.time, list(history)
    while good and (is_failed(check, good[-1][1]) or good[-1][1].outcome is Outcome.ERROR):
        when, result = good.pop()
        if is_failed(check, result):
            failures, since = failures + 1, when
    if history and not good and failures < check.failure_threshold:
        since -= (check.failure_threshold - failures) * check.period_seconds
        failures = check.failure_threshold
    answered = [result.duration for _, result in good if result.outcome in (Outcome.SUCCESS, Outcome.WARNING)]
    return msgspec.structs.replace(
        spared,
        failures=failures,
        failing_since=since,
        failure_threshold=check.failure_threshold,
        period_seconds=check.period_seconds,
        timeout_seconds=check.timeout_seconds,
        slowest_seconds=max(answered, default=None),
    )


def is_failed(check: Check, result: Result) -> bool:
    """Whether a round counted as failed; an error is in no run, unless the check counts it."""
    return result.outcome is Outcome.FAILURE or (result.outcome is Outcome.ERROR and check.errors_are_failures)


def again(spared: Spared, now: float, reason: str, detail: str) -> Spared:
    """The same failing wants a kill once more."""
    return msgspec.structs.replace(spared, last=now, times=spared.times + 1, reason=reason, detail=detail)


def failed(spared: Spared) -> Spared:
    """One more failed round of it."""
    return msgspec.structs.replace(spared, failures=spared.failures + 1)


def ended(spared: Spared, how: Ended, now: float) -> Spared:
    return msgspec.structs.replace(spared, ended=how, ended_at=now)


def advice(spared: Spared) -> str:
    """Which thresholds would have changed it, in words for people; what no threshold would have changed, too."""
    if spared.check == "operator":
        return "an operator asked for it"
    if spared.ended == "":
        return "it still fails: whatever the thresholds, a restart is what it waits for"
    if spared.ended == "unknown":
        return "the agent ended while it failed: what came of it is not known"
    if spared.ended == "restarted":
        return "it did not recover by itself: a new instance did"
    lasted = max(0.0, (spared.ended_at or spared.last) - (spared.failing_since or spared.time))
    told = (
        f"it recovered by itself after {lasted:.0f} s: with failure_threshold above {spared.failures} "
        f"(it is {spared.failure_threshold}) nothing would have been restarted"
    )
    if spared.reason == "timeout" and spared.slowest_seconds is not None:
        slowest = f"good answers took up to {spared.slowest_seconds:.1f} s"
        told = f"{told}; {slowest}, and timeout_seconds is {spared.timeout_seconds:g}"
    return told
