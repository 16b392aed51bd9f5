"""When a canary may be sent, and what its silence means."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.canary import hold_back, silence, tells
from agent.core.remembered import Canary, Passive, canary_answered, canary_failed, canary_sent

NUMBERS: dict[str, Any] = {"quiet": 30.0, "cooldown": 60.0}
WELL = canary_answered(canary_sent(None, 10.0), 11.0)
LATE = canary_failed(canary_sent(None, 40.0), 70.0, overdue=True)
WRONG = canary_failed(canary_sent(None, 95.0), 96.0, overdue=False)


def scraped(**given: Any) -> Passive:
    """Metrics that were scraped a second before 100."""
    return Passive(**{"good_at": 99.0, "in_flight": 0.0, **given})


@pytest.mark.parametrize(
    ("what", "canary", "passive", "hold"),
    [
        ("the first one, nothing known", None, Passive(), ""),
        ("an idle server", WELL, scraped(risen_at=60.0), ""),
        ("work was seen just now", WELL, scraped(risen_at=99.0), "progress"),
        ("work was seen within quiet_seconds", WELL, scraped(risen_at=70.5), "progress"),
        ("work was seen quiet_seconds ago", WELL, scraped(risen_at=70.0), ""),
        ("before the first answer too", None, scraped(risen_at=99.0), "progress"),
        ("requests wait", WELL, scraped(waiting=3.0, in_flight=9.0), "overload"),
        ("requests wait and work is done", WELL, scraped(waiting=3.0, risen_at=99.0), "overload"),
        ("requests run, none is done, nobody asked", WELL, scraped(in_flight=9.0), ""),
        ("a hang is to be confirmed", WELL, scraped(waiting=3.0, in_flight=9.0, confirm=True), ""),
        ("what was scraped long ago is no knowledge", WELL, Passive(good_at=60.0, risen_at=60.0, waiting=9.0), ""),
        ("one was late 30 s ago", LATE, Passive(), "cooldown"),
        ("a hang is to be confirmed, but not by a heap", LATE, scraped(confirm=True), "cooldown"),
        ("a wrong answer is no silence", WRONG, Passive(), ""),
    ],
)
def test_one_is_held_back_while_it_would_harm_or_tell_nothing(
    what: str, canary: Canary | None, passive: Passive, hold: str
) -> None:
    assert hold_back(canary, passive, 100.0, **NUMBERS) == hold, what


@pytest.mark.parametrize(
    ("what", "passive", "load", "now", "hold"),
    [
        ("the cooldown is over", Passive(), None, 130.0, ""),
        ("not quite", Passive(), None, 129.9, "cooldown"),
        ("the work in flight has fallen", scraped(in_flight=3.0), 4.0, 100.0, ""),
        ("it is the same", scraped(in_flight=4.0), 4.0, 100.0, "cooldown"),
        ("it fell before the time-out", Passive(good_at=69.0, in_flight=3.0), 4.0, 75.0, "cooldown"),
        ("it was not known then", scraped(in_flight=0.0), None, 100.0, "cooldown"),
    ],
)
def test_after_one_that_was_not_answered_the_next_waits(
    what: str, passive: Passive, load: float | None, now: float, hold: str
) -> None:
    assert hold_back(LATE, passive, now, load=load, **NUMBERS) == hold, what


def test_a_warm_up_is_asked_for_whatever_work_is_seen_until_it_was_answered_once() -> None:
    working = scraped(risen_at=99.0)
    assert hold_back(None, working, 100.0, warm=True, **NUMBERS) == ""
    assert hold_back(WRONG, working, 100.0, warm=True, **NUMBERS) == ""
    assert hold_back(WELL, working, 100.0, warm=True, **NUMBERS) == "progress"
    assert hold_back(LATE, working, 100.0, warm=True, **NUMBERS) == "cooldown"
    assert hold_back(None, scraped(waiting=1.0), 100.0, warm=True, **NUMBERS) == "overload"


@pytest.mark.parametrize(("quiet", "at", "known"), [(30, 70, True), (30, 69, False), (0, 75, True), (90, 20, True)])
def test_metrics_tell_for_a_while_however_short_the_quiet_time(quiet: float, at: float, known: bool) -> None:
    """Without a quiet time a server at work is asked too, and its queue is respected all the same."""
    assert tells(Passive(good_at=at), 100.0, quiet=quiet) is known
    waiting = Passive(good_at=at, risen_at=at, waiting=1.0)
    assert hold_back(None, waiting, 100.0, quiet=quiet, cooldown=60) == ("overload" if known else "")


@pytest.mark.parametrize(
    ("what", "passive", "now", "meaning"),
    [
        ("work was done since", Passive(good_at=35.0, risen_at=20.0), 40.0, "busy"),
        ("no work was done since", Passive(good_at=35.0, risen_at=9.0), 40.0, "hung"),
        ("no work was ever seen", Passive(good_at=35.0), 40.0, "hung"),
        ("nothing was scraped since", Passive(good_at=9.0, risen_at=9.0), 40.0, "busy"),
        ("nothing was ever scraped, and it is early", Passive(), 40.0, "busy"),
        ("nothing was ever scraped, and it waited long enough", Passive(), 130.0, "timeout"),
        ("the timer began a moment before the sending", Passive(), 129.97, "timeout"),
        ("nothing was scraped since, for long enough", Passive(good_at=9.0, risen_at=9.0), 130.0, "timeout"),
    ],
)
def test_silence_is_a_hang_only_where_no_work_was_done_meanwhile(
    what: str, passive: Passive, now: float, meaning: str
) -> None:
    assert silence(passive, sent_at=10.0, now=now, alone_after=120.0) == meaning, what


times = st.floats(0, 1000)
passives = st.builds(
    Passive,
    good_at=st.none() | times,
    risen_at=st.none() | times,
    in_flight=st.none() | times,
    waiting=times,
    confirm=st.booleans(),
)


@given(passive=passives, sent_at=times, waited=times)
def test_a_server_that_did_work_since_is_never_hung(passive: Passive, sent_at: float, waited: float) -> None:
    meaning = silence(passive, sent_at=sent_at, now=sent_at + waited, alone_after=120.0)
    known = passive.good_at is not None and passive.good_at > sent_at
    if known and passive.risen_at is not None and passive.risen_at > sent_at:
        assert meaning == "busy"
    if not known:
        assert meaning != "hung", "without metrics nobody knows"
        assert meaning == ("timeout" if waited + 0.05 >= 120 else "busy")


@given(passive=passives, late_for=st.floats(0, 59.9), load=st.none() | times)
def test_canaries_never_pile_up(passive: Passive, late_for: float, load: float | None) -> None:
    """Within the cooldown the next one is sent only where a later scrape shows less work than at the time-out."""
    hold = hold_back(LATE, passive, 70.0 + late_for, load=load, **NUMBERS)
    if hold != "cooldown":
        assert passive.good_at is not None and passive.good_at > 70.0  # noqa: PT018 - one condition
        assert passive.in_flight is not None and load is not None and passive.in_flight < load  # noqa: PT018
