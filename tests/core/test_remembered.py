"""What the checks of one container know of each other: answers, sayings, the canary's life."""

import pytest

from agent.core.model import Result, Target, error, failure, success, warning
from agent.core.remembered import (
    Answer,
    Canary,
    Saying,
    canary,
    canary_answered,
    canary_failed,
    canary_sent,
    health_since,
    note_answer,
    say,
    sayings,
)


def seen(**answers: tuple[str, Result, float]) -> dict[str, object]:
    found: dict[str, object] = {}
    for path, (method, result, at) in answers.items():
        note_answer(found, path, Answer(method, result, at))
    return found


@pytest.mark.parametrize(
    ("what", "answers", "health"),
    [
        ("nothing has looked", {}, None),
        ("a good answer", {"a": ("http_get", success(), 100.0)}, True),
        ("a warning is a success", {"a": ("http_get", warning("redirect"), 100.0)}, True),
        ("a failing one", {"a": ("http_get", failure("timeout"), 100.0)}, False),
        ("one good of two is enough", {"a": ("exec", failure("exit"), 101.0), "b": ("grpc", success(), 100.0)}, True),
        ("what was before is no answer now", {"a": ("http_get", success(), 99.0)}, None),
        ("an old good one, a new bad one", {"a": ("exec", success(), 99.0), "b": ("exec", failure("exit"), 101.0)},
         False),
        ("an error says nothing", {"a": ("http_get", error("internal"), 100.0)}, None),
        ("an accepted connection is no answer", {"a": ("tcp_socket", success(), 100.0)}, None),
        ("nor is a refused one a failing answer", {"a": ("tcp_socket", failure("refused"), 100.0)}, None),
        ("a canary that fails may be waiting its turn", {"a": ("inference", failure("timeout"), 100.0)}, None),
        ("a canary that succeeds was answered", {"a": ("inference", success(), 100.0)}, True),
        ("progress is not its own witness", {"a": ("progress", success(), 100.0)}, None),
        ("a third party's method counts", {"a": ("my.checks:Redis", failure("status"), 100.0)}, False),
    ],
)  # fmt: skip
def test_health_is_what_the_health_checks_have_answered_since(
    what: str, answers: dict[str, tuple[str, Result, float]], health: bool | None
) -> None:
    assert health_since(seen(**answers), 100.0) is health, what


def test_a_check_says_one_thing_at_a_time() -> None:
    target = Target("model", "127.0.0.1", check="liveness/progress")
    assert sayings(target.seen) == {}
    say(target, Saying("stalling", unready=True))
    say(target, Saying("working"))
    assert sayings(target.seen) == {"liveness/progress": Saying("working")}


def test_a_canary_is_overdue_until_any_answer_comes() -> None:
    """A second request in flight does not excuse the first; a wrong answer is an answer, and late no more."""
    first = canary_sent(None, 10.0)
    assert first == Canary(10.0, in_flight=True)
    late = canary_failed(first, 40.0, overdue=True)
    assert (late.overdue, late.failed_at, late.in_flight) == (10.0, 40.0, False)
    second = canary_sent(late, 100.0)
    assert (second.overdue, second.failed_at, second.in_flight) == (10.0, 40.0, True)
    assert canary_failed(second, 130.0, overdue=True).overdue == 100.0
    wrong = canary_failed(second, 101.0, overdue=False)
    assert (wrong.overdue, wrong.failed_at, wrong.answered_at) == (None, 101.0, None)
    good = canary_answered(canary_sent(wrong, 160.0), 161.0)
    assert good == Canary(160.0, 161.0)
    assert canary_sent(good, 220.0).answered_at == 161.0


def test_no_canary_is_no_canary() -> None:
    assert canary({}) is None
    assert canary({"canary": Canary(1.0)}) == Canary(1.0)
