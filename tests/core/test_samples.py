"""A successor is told from its process by start time or by a counter that fell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.samples import MAX_COUNTERS, Marker, is_another, marker

EXPOSITION = """\
# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{path="/a b}",code="200"} 7 1700000000000
requests_total{path="/c"} 1e3
# TYPE depth gauge
depth 4
# TYPE tokens counter
tokens_total 12
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1700000000.25
broken_total{ nonsense
requests_total{path="/nan"} NaN
"""


def test_start_time_and_counters_are_read_and_gauges_and_nonsense_are_not() -> None:
    found = marker(EXPOSITION)
    assert found == Marker(
        1700000000.25,
        {'requests_total{path="/a b}",code="200"}': 7.0, 'requests_total{path="/c"}': 1000.0, "tokens_total": 12.0},
    )  # fmt: skip


@pytest.mark.parametrize("text", ["", "# only comments\n", "depth 4\n", "<html>no metrics</html>", "}{ 1"])
def test_what_holds_no_marker_tells_nothing(text: str) -> None:
    assert marker(text) is None


@pytest.mark.parametrize(
    ("before", "now", "another"),
    [
        (Marker(1.0), Marker(2.0), True),
        (Marker(1.0, {"a": 5.0}), Marker(1.0, {"a": 1.0}), True),
        (Marker(None, {"a": 5.0}), Marker(None, {"a": 1.0}), True),
        (Marker(None, {"a": 5.0}), Marker(None, {"a": 5.0}), False),
        (Marker(None, {"a": 5.0}), Marker(None, {"b": 0.0}), False),
        (Marker(1.0), Marker(None, {"a": 1.0}), False),
    ],
)
def test_another_start_time_or_a_counter_that_fell_is_another_process(
    before: Marker, now: Marker, another: bool
) -> None:
    assert is_another(before, now) is another


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    marker(text)


def test_an_exposition_without_end_is_kept_in_bounds() -> None:
    text = "# TYPE x counter\n" + "".join(f'x{{n="{n}"}} 1\n' for n in range(2 * MAX_COUNTERS))
    found = marker(text)
    assert found is not None
    assert len(found.counters) == MAX_COUNTERS
