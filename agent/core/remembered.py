"""What is remembered of one instance in `Target.seen`, and what its checks may read there of each other.

`seen` is new with each instance. The keys that more than one party knows are here, each with who writes it:

- `ANSWERS`: the engine, after every round: each check's last `Answer`, by TYPE/NAME;
- `SAYINGS`: a method, by `say`: what it says of the whole container beyond its Result, by TYPE/NAME;
- `CANARY`: the `inference` method: its `Canary`;
- `PASSIVE`: the `progress` method, after every scrape: what the server's metrics tell, as a `Passive`.

All times are seconds on the event loop's clock, which is the engine's.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import msgspec

from agent.core.model import Outcome, Result, Target

ANSWERS: Final = "answers"
SAYINGS: Final = "sayings"
MEASURED: Final = "measured"
CANARY: Final = "canary"
PASSIVE: Final = "passive"

Seen = Mapping[str, Any]

NO_HEALTH: Final = frozenset({"tcp_socket", "progress", "process", "gpu"})
"""Methods whose success is no answer of the server: a hung one still accepts connections, and has processes."""


class Answer(msgspec.Struct, frozen=True, gc=False):
    """How a check's last round ended, ``at`` its end; an error is kept too, and says nothing of the target."""

    method: str
    result: Result
    at: float


class Saying(msgspec.Struct, frozen=True, gc=False):
    """What a method says of the whole container, whatever the type of its check.

    ``state`` is a candidate for the container's state (contract 4), "" where it has none to offer. ``unready`` takes
    readiness away for as long as it is said. ``detail`` is for people with access, as a result's.
    """

    state: Literal["", "down", "hung", "blind", "stalling", "working", "idle"] = ""
    unready: bool = False
    detail: str = ""


class Canary(msgspec.Struct, frozen=True, gc=False):
    """The real requests that the `inference` method sends; build it with `sent`, `answered` and `failed` below.

    ``overdue``: when the latest one was sent that got no answer in its time; None again as soon as any is answered,
    rightly or wrongly. ``failed_at``: when the last one ended without the answer that was expected, late ones
    included; None after a good one.
    """

    sent_at: float
    answered_at: float | None = None  # the last good answer
    failed_at: float | None = None
    overdue: float | None = None
    in_flight: bool = False


class Passive(msgspec.Struct, frozen=True, gc=False):
    """What the server's metrics tell without asking it for work; the canary keeps out of its way by it.

    ``confirm``: work without progress has been seen for a while, and whoever looks wants to know what it means.
    """

    good_at: float | None = None  # the newest scrape that held what is looked for
    risen_at: float | None = None  # when work was last seen to be done
    in_flight: float | None = None  # running and waiting
    waiting: float = 0.0
    confirm: bool = False

    def is_fresh(self, now: float, within: float) -> bool:
        return self.good_at is not None and now - self.good_at <= within


def canary_sent(before: Canary | None, now: float) -> Canary:
    """One is sent; what the one before came to stands until this one has ended."""
    if before is None:
        return Canary(now, in_flight=True)
    return Canary(now, before.answered_at, before.failed_at, before.overdue, in_flight=True)


def canary_answered(before: Canary, now: float) -> Canary:
    """It was answered as expected."""
    return Canary(before.sent_at, now)


def canary_failed(before: Canary, now: float, *, overdue: bool) -> Canary:
    """It ended otherwise: with a wrong answer or a refusal, or (``overdue``) with none in its time."""
    return Canary(before.sent_at, before.answered_at, now, before.sent_at if overdue else None)


_NOTHING: Final = Passive()


def canary(seen: Seen) -> Canary | None:
    found: Canary | None = seen.get(CANARY)
    return found


def passive(seen: Seen) -> Passive:
    """What is known of the server's work; nothing where no check looks, or none has found it yet."""
    found: Passive = seen.get(PASSIVE, _NOTHING)
    return found


def say(target: Target, saying: Saying) -> None:
    """For a method: replaces what its check said before."""
    target.seen.setdefault(SAYINGS, {})[target.check] = saying


def sayings(seen: Seen) -> Mapping[str, Saying]:
    """What is said of the container, by TYPE/NAME of who says it."""
    found: Mapping[str, Saying] = seen.get(SAYINGS, {})
    return found


def measure(target: Target, name: str, what: Callable[[], Any]) -> None:
    """For a method: what its check has last read, for the evidence file ``name``; it replaces what it read before.

    ``what`` makes plain data of it, should anybody want it.
    """
    target.seen.setdefault(MEASURED, {}).setdefault(name, {})[target.check] = what


def measured(seen: Seen) -> Mapping[str, Any]:
    """What was last read, by evidence file and TYPE/NAME of who did."""
    found: Mapping[str, Mapping[str, Callable[[], Any]]] = seen.get(MEASURED, {})
    return {name: {check: what() for check, what in each.items()} for name, each in found.items()}


def note_answer(seen: dict[str, Any], path: str, answer: Answer) -> None:
    """For the engine: a round of the check TYPE/NAME has ended."""
    seen.setdefault(ANSWERS, {})[path] = answer


def health_since(seen: Seen, moment: float) -> bool | None:
    """What the container's health checks have answered since ``moment``: True good, False failing, None nothing.

    One good answer is enough: something in there still answers. A canary that fails says nothing here, since it may be
    waiting behind the users' requests; one that succeeds does.
    """
    answers: Mapping[str, Answer] = seen.get(ANSWERS, {})
    found = [one for one in answers.values() if one.at >= moment and one.method not in NO_HEALTH]
    if any(one.result.outcome in (Outcome.SUCCESS, Outcome.WARNING) for one in found):
        return True
    failing = any(one.result.outcome is Outcome.FAILURE and one.method != "inference" for one in found)
    return False if failing else None
