"""Maintenance: what an operator said, the file, and what readiness makes of both."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core import upkeep as rules
from agent.core.upkeep import Upkeep


@pytest.mark.parametrize(
    ("upkeep", "now", "stands", "hides", "left"),
    [
        (Upkeep(), 100.0, False, False, None),
        (Upkeep(160.0), 100.0, True, False, 60.0),
        (Upkeep(160.0, "false"), 100.0, True, True, 60.0),
        (Upkeep(160.0, "false"), 159.9, True, True, pytest.approx(0.1)),
        (Upkeep(160.0, "false"), 160.0, False, False, None),
        (Upkeep(file=True), 100.0, True, False, None),
        (Upkeep(160.0, "false", file=True), 200.0, True, False, None),  # the operator's word is over, the file is not
    ],
)
def test_it_stands_for_its_time_and_while_the_file_is_there(
    upkeep: Upkeep, now: float, stands: bool, hides: bool, left: float | None
) -> None:
    assert (rules.stands(upkeep, now), rules.hides(upkeep, now), rules.left(upkeep, now)) == (stands, hides, left)


def test_the_last_word_counts_and_zero_seconds_end_it() -> None:
    long = rules.begun(Upkeep(), 100.0, 3600.0, "false")
    short = rules.begun(long, 200.0, 60.0, "keep")
    assert (short.until, short.ready) == (260.0, "keep")
    assert rules.begun(short, 210.0, 0.0, "false") == Upkeep()


def test_the_file_is_another_matter_than_the_operators_word() -> None:
    both = rules.found(rules.begun(Upkeep(), 0.0, 60.0, "false"), file=True)
    assert rules.begun(both, 10.0, 0.0, "keep") == Upkeep(file=True)
    assert rules.found(both, file=False) == Upkeep(60.0, "false")


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.sampled_from(["keep", "false"]), st.floats(0, 1e7))
def test_it_always_ends_by_itself(now: float, seconds: float, ready: rules.Readiness, later: float) -> None:
    upkeep = rules.begun(Upkeep(), now, seconds, ready)
    assert rules.stands(upkeep, now) is (seconds > 0 and now + seconds > now)
    assert not rules.stands(upkeep, now + seconds + later)
    assert rules.stands(upkeep, now) or not rules.hides(upkeep, now)
