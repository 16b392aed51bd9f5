"""The grid of due times: a late beat is remembered once, and the grid never drifts."""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import repeat

from hypothesis import given
from hypothesis import strategies as st

from agent.core.timing import Grid


def starts(grid: Grid, durations: Iterable[float]) -> Iterator[float]:
    """When the rounds begin of a worker whose rounds take so long: as soon as one is due and the last is over."""
    now = grid.anchor
    for seconds in durations:
        now = max(now, grid.due)
        grid.take(now)
        yield now
        now += seconds


def test_the_first_round_is_at_once_and_then_every_period() -> None:
    assert list(starts(Grid(100.0, 10.0), [0.5] * 4)) == [100.0, 110.0, 120.0, 130.0]


def test_rounds_of_a_hanging_target_are_a_timeout_apart() -> None:
    """Timeout 15, period 10: each remembers one beat, so the next begins as soon as it is over."""
    assert list(starts(Grid(0.0, 10.0), [15.0] * 6)) == [0.0, 15.0, 30.0, 45.0, 60.0, 75.0]


def test_of_several_beats_missed_one_is_remembered_and_then_the_grid_goes_on() -> None:
    assert list(starts(Grid(0.0, 10.0), [47.0, 1.0, 1.0, 1.0])) == [0.0, 47.0, 50.0, 60.0]


def test_a_beat_at_the_very_end_of_a_round_is_one_round() -> None:
    assert list(starts(Grid(0.0, 10.0), [20.0, 1.0, 1.0])) == [0.0, 20.0, 30.0]


def test_a_triggered_round_moves_the_grid() -> None:
    grid = Grid(0.0, 30.0)
    grid.take(0.0)
    grid.restart(35.0)
    assert grid.due == 65.0
    grid.take(65.0)
    assert grid.due == 95.0


def test_the_grid_does_not_drift_in_a_year_of_awkward_periods() -> None:
    grid = Grid(183223.4, 0.7)
    (last,) = deque(starts(grid, repeat(0.01, 200_000)), maxlen=1)
    assert last == 183223.4 + 199_999 * 0.7


periods = st.floats(0.1, 100, allow_nan=False)


@given(st.floats(0, 1e6), periods, st.lists(st.floats(0, 400), min_size=1, max_size=30))
def test_a_round_begins_on_a_beat_or_at_the_end_of_one_that_swallowed_a_beat(
    anchor: float, period: float, durations: list[float]
) -> None:
    grid = Grid(anchor, period)
    began = list(starts(grid, durations))
    for before, took, start in zip(began, durations, began[1:], strict=False):
        beat = round((start - anchor) / period)
        assert start == anchor + beat * period or start == before + took
        assert start >= before + took, "rounds never overlap"
        assert start - before <= max(period, took) * (1 + 1e-9) + 1e-9, "at most one period late"


@given(st.floats(0, 1e6), periods, st.lists(st.floats(0, 400), max_size=30))
def test_the_next_beat_is_always_ahead_and_less_than_a_period_away(
    anchor: float, period: float, durations: list[float]
) -> None:
    grid = Grid(anchor, period)
    for start in starts(grid, durations):
        assert start < grid.due <= start + period * (1 + 1e-9) + 1e-9


@given(periods, st.floats(0, 1000), st.integers(0, 3))
def test_after_a_trigger_the_beat_is_exactly_a_period_away(period: float, moment: float, taken: int) -> None:
    grid = Grid(0.0, period)
    for _ in range(taken):
        grid.take(grid.due)
    grid.restart(moment)
    assert grid.due == moment + period
