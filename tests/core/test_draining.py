"""When a drain is over."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core import draining
from agent.core.draining import Looks


def after(*seen: float | None) -> Looks:
    looks = Looks()
    for each in seen:
        looks = draining.looked(looks, each)
    return looks


@pytest.mark.parametrize(
    ("seen", "idle"),
    [
        ((), False),
        ((0,), False),  # between two requests of one client a gauge reads 0 too
        ((0, 0), True),
        ((3, 0, 0), True),
        ((0, 1, 0), False),
        ((0, None, 0), False),  # what cannot be told is not idle
        ((None, None, None), False),
        ((0, 0, 1), False),
    ],
)
def test_it_is_idle_once_nothing_was_in_flight_twice_in_a_row(seen: tuple[float | None, ...], idle: bool) -> None:
    assert draining.is_idle(after(*seen)) is idle


@pytest.mark.parametrize(
    ("seen", "now", "until_idle", "end"),
    [
        ((0, 0), 5.0, True, "idle"),
        ((0, 0), 5.0, False, ""),
        ((2,), 5.0, True, ""),
        ((2,), 10.0, True, "time"),
        ((0, 0), 10.0, False, "time"),
        ((None, None), 9.9, True, ""),
    ],
)
def test_it_ends_with_its_time_or_where_that_is_wanted_once_idle(
    seen: tuple[float | None, ...], now: float, until_idle: bool, end: str
) -> None:
    assert draining.ended(after(*seen), now, 10.0, until_idle=until_idle) == end


@given(st.lists(st.none() | st.floats(0, 100), max_size=30), st.floats(0, 60), st.floats(0, 60), st.booleans())
def test_no_drain_outlasts_its_time(seen: list[float | None], now: float, until: float, until_idle: bool) -> None:
    end = draining.ended(after(*seen), now, until, until_idle=until_idle)
    assert end or now < until
    assert end != "idle" or (until_idle and seen[-2:] == [0, 0])
