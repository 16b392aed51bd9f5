"""The usual pauses of the last hour: exact where they matter, counted where they don't, forgotten in time."""

from hypothesis import given
from hypothesis import strategies as st

from agent.core.gaps import LONGEST, MOST_LONG, Gaps, allowance, noted, usual

MATTERS = 12.0


def after(pauses: list[float], every: float = 10.0) -> Gaps:
    gaps = Gaps()
    for number, pause in enumerate(pauses):
        gaps = noted(gaps, pause, number * every, matters=MATTERS)
    return gaps


def test_nothing_seen_allows_nothing() -> None:
    assert allowance(Gaps(), 0.0) == 0.0


def test_the_first_long_pause_counts_alone_and_ten_times() -> None:
    assert allowance(after([60.0]), 0.0) == 600.0


def test_it_takes_more_than_one_in_a_hundred() -> None:
    assert usual(after([0.0] * 99 + [60.0]), 1000.0) == 0.0
    assert usual(after([0.0] * 98 + [60.0, 60.0]), 1000.0) == 60.0


def test_an_hour_later_it_is_forgotten() -> None:
    gaps = after([60.0])
    assert usual(gaps, 3599.0) == 60.0
    assert usual(gaps, 3600.0) == 0.0


def test_short_pauses_of_an_hour_ago_do_not_dilute_todays_long_ones() -> None:
    gaps = after([0.0] * 300)
    assert usual(noted(gaps, 60.0, 10_000.0, matters=MATTERS), 10_000.0) == 60.0


def test_no_pause_however_usual_is_allowed_for_more_than_half_an_hour() -> None:
    assert allowance(after([900.0] * 5), 100.0) == LONGEST


@given(st.lists(st.floats(0, 500), min_size=1, max_size=300))
def test_the_percentile_is_exact_where_it_matters(pauses: list[float]) -> None:
    """Nearest rank; below the bound it only has to be too small to move the threshold."""
    ordered = sorted(pauses)
    exact = ordered[-(-99 * len(ordered) // 100) - 1]
    found = usual(after(pauses, every=1.0), float(len(pauses)))
    assert found == exact if exact >= MATTERS else found < MATTERS


def test_what_is_kept_is_bounded() -> None:
    gaps = after([60.0] * (2 * MOST_LONG), every=0.5)
    assert len(gaps.long) == MOST_LONG
    assert len(after([0.0] * 5000, every=1.0).short) <= 14
