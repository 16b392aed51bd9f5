"""What a report is told of a kill that was wanted and not done."""

from typing import Any

import msgspec
import pytest

from agent.core import spared as rules
from agent.core.model import Check, CheckType, Result, error, failure, success, warning
from agent.core.spared import Spared

SPARED = Spared(time=100.0, last=100.0, why="dry_run", action="signal", check="liveness/a", reason="status")
LETTERS = {"s": success(), "w": warning("redirect"), "f": failure("status"), "u": error("spawn")}


def check(**more: Any) -> Check:
    numbers = {"failure_threshold": 3, "timeout_seconds": 5.0, "period_seconds": 10.0, **more}
    return Check(name="a", type=CheckType.LIVENESS, method="http_get", options=None, **numbers)


def history(letters: str) -> list[tuple[float, Result]]:
    """One result each ten seconds, the n-th took n seconds."""
    return [(10.0 * n, LETTERS[letter].took(float(n))) for n, letter in enumerate(letters)]


@pytest.mark.parametrize(
    ("letters", "failures", "since", "slowest"),
    [
        ("", 0, 100.0, None),
        ("sff", 2, 10.0, 0.0),
        ("ssfuf", 2, 20.0, 1.0),  # an error is in no run, and breaks none
        ("wfff", 3, 10.0, 0.0),
        ("fff", 3, 0.0, None),
        ("sfsff", 2, 30.0, 2.0),
        ("ssuu", 0, 100.0, 1.0),
    ],
)
def test_the_run_of_failures_and_the_slowest_good_answer_are_told(
    letters: str, failures: int, since: float, slowest: float | None
) -> None:
    told = rules.told(SPARED, check(), history(letters))
    assert (told.failures, told.failing_since, told.slowest_seconds) == (failures, since, slowest)
    assert (told.failure_threshold, told.period_seconds, told.timeout_seconds) == (3, 10.0, 5.0)


def test_errors_that_count_as_failures_are_in_the_run() -> None:
    assert rules.told(SPARED, check(errors_are_failures=True), history("sufu")).failures == 3


def test_a_failing_goes_on_until_it_ends() -> None:
    one = rules.again(rules.failed(rules.failed(SPARED)), 130.0, "timeout", "no answer")
    assert (one.time, one.last, one.times, one.failures, one.reason) == (100.0, 130.0, 2, 2, "timeout")
    ended = rules.ended(one, "recovered", 140.0)
    assert (ended.ended, ended.ended_at, ended.times) == ("recovered", 140.0, 2)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"check": "operator"}, ["an operator asked"]),
        ({}, ["it still fails", "a restart is what it waits for"]),
        ({"ended": "restarted", "ended_at": 200.0}, ["did not recover by itself"]),
        (
            {"ended": "recovered", "ended_at": 200.0, "failing_since": 80.0, "failures": 7, "failure_threshold": 3},
            ["after 120 s", "failure_threshold above 7 (it is 3)"],
        ),
        (
            {
                "ended": "recovered",
                "ended_at": 200.0,
                "reason": "timeout",
                "slowest_seconds": 4.6,
                "timeout_seconds": 5,
            },
            ["up to 4.6 s, and timeout_seconds is 5"],
        ),
    ],
)
def test_the_thresholds_that_would_have_changed_it_are_named(more: dict[str, Any], words: list[str]) -> None:
    told = rules.advice(Spared(**{**msgspec.structs.asdict(SPARED), **more}))
    assert [word for word in words if word not in told] == []
