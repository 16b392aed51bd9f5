"""Single series are read exactly, whatever surrounds them; a successor is told by start time or a counter that fell."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from agent.core.samples import MAX_COUNTERS, MAX_SAMPLES, Marker, Sample, is_another, marker, parse, samples_of

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


# -- single series ---------------------------------------------------------------------------------------------------

TRAPS = """\
# HELP vllm:iteration_tokens_total Tokens of each engine step.
# TYPE vllm:iteration_tokens_total histogram
vllm:iteration_tokens_total_bucket{engine="0",le="1.0"} 3.0
vllm:iteration_tokens_total_bucket{engine="0",le="+Inf"} 41.0
vllm:iteration_tokens_total_count{engine="0"} 41.0
vllm:iteration_tokens_total_sum{engine="0"} 900.0
vllm:iteration_tokens_total_created{engine="0"} 1.7e+09
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="a}b, \\"c\\" \\\\ d"} 7.0 1700000000000
vllm:generation_tokens_total{engine="1"} NaN
vllm:generation_tokens_total{engine="2"} +Inf
vllm:generation_tokens_created{engine="0"} 1.7e+09
	indented_total  5
vllm:generation_tokens_total_of_something_else 9
bare 1e3
"""


def values(text: str, name: str) -> list[float]:
    return [sample.value for sample in samples_of(text.encode(), name)]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("vllm:iteration_tokens_total_count", [41.0]),
        ("vllm:iteration_tokens_total", []),  # a histogram has no sample of its own name
        ("vllm:generation_tokens_total", [7.0]),  # NaN and Inf tell nothing
        ("vllm:generation_tokens", []),
        ("bare", [1000.0]),
        ("bar", []),
        ("absent", []),
    ],
)
def test_a_series_is_found_by_its_exact_sample_name(name: str, found: list[float]) -> None:
    assert values(TRAPS, name) == found


def test_labels_may_hold_anything_that_can_be_quoted() -> None:
    (sample,) = samples_of(TRAPS.encode(), "vllm:generation_tokens_total")
    assert dict(sample.labels) == {"engine": "0", "model_name": 'a}b, "c" \\ d'}


def test_a_series_is_found_on_the_first_and_on_an_unfinished_last_line() -> None:
    assert values('x{a="1"} 1\nx{a="2"} 2\ny 3\nx 4', "x") == [1, 2, 4]


@pytest.mark.parametrize(
    ("line", "sample"),
    [
        ('a_total{} 1.5e2 123.5 # {trace_id="}"} 0.3', Sample("a_total", (), 150.0, "a_total{}")),
        ('a{x="1",} -.5', Sample("a", (("x", "1"),), -0.5, 'a{x="1",}')),
        ('a { x = "1" , y="\\n" } +2.', Sample("a", (("x", "1"), ("y", "\n")), 2.0, 'a{ x = "1" , y="\\n" }')),
        ("a 1\r", Sample("a", (), 1.0, "a")),
    ],
)
def test_timestamps_exemplars_blanks_and_a_last_comma_are_part_of_the_format(line: str, sample: Sample) -> None:
    assert parse(line) == sample


@pytest.mark.parametrize(
    "line",
    ["", "# a 1", "a", "a{", 'a{x="1} 1', "a{x=1} 1", 'a{x="1"}', "a 1_0", "a \u0661", "a 0x1", "a one", "a 1e999",
     "1a 1", 'a{"x y"="1"} 1', "{} 1", "a NaN", "a -Inf", 'a{x="1"y="2"} 1'],
)  # fmt: skip
def test_what_is_no_finite_sample_is_left_out(line: str) -> None:
    assert parse(line) is None


_names = st.from_regex(r"[a-z_:][a-z0-9_:]{0,8}", fullmatch=True)
_labels = st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,4}", fullmatch=True), st.text(max_size=8), max_size=3)
_values = st.floats(allow_nan=False, allow_infinity=False)


def _line(name: str, labels: dict[str, str], value: float) -> str:
    def quoted(text: str) -> str:
        return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    inside = ",".join(f'{key}="{quoted(text)}"' for key, text in labels.items())
    return f"{name}{{{inside}}} {value!r}"


@given(st.lists(st.tuples(_names, _labels, _values), max_size=6))
def test_what_prometheus_own_parser_reads_is_read_alike(samples: list[tuple[str, dict[str, str], float]]) -> None:
    """Both formats; where the other parser renames a counter its sample keeps the name."""
    text = "".join(_line(*sample) + "\n" for sample in samples)
    lines = [line for line in text.split("\n") if line]
    mine = [found for line in lines if (found := parse(line)) is not None]
    theirs = [sample for line in lines for family in prometheus(line + "\n") for sample in family.samples]
    assert [(s.name, dict(s.labels), s.value) for s in mine] == [(s.name, s.labels, s.value) for s in theirs]


def test_an_openmetrics_exposition_is_read_like_any_other() -> None:
    text = (
        '# TYPE steps counter\nsteps_total{engine="0"} 5.0 # {trace_id="a}b"} 1.0 1.5\n'
        'steps_created{engine="0"} 1.7e9\n# TYPE depth gauge\ndepth{engine="0"} 3.0\n# EOF\n'
    )
    assert [s.value for family in openmetrics(text) for s in family.samples if s.name == "steps_total"] == [5.0]
    assert (values(text, "steps_total"), values(text, "depth")) == ([5.0], [3.0])


@pytest.mark.parametrize(
    "line",
    ["a{" + '"' * 60_000, "a{" + 'x="' * 20_000, "a{" + 'x="y",' * 10_000 + "}", "a" * 60_000, 'a{b="' + "\\" * 60_000,
     "a" + " " * 60_000 + "{", "a 1" + " # {" * 20_000],
)  # fmt: skip
def test_a_hostile_line_costs_no_more_than_its_length(line: str) -> None:
    begun = time.process_time()
    parse(line)
    assert time.process_time() - begun < 0.25


def test_ten_megabytes_of_other_series_are_passed_over_quickly_and_a_flood_of_one_name_is_cut_off() -> None:
    other = b'vllm:time_to_first_token_seconds_bucket{engine="0",le="0.25",model_name="llama"} 12345.0\n'
    body = other * ((10 << 20) // len(other)) + b"wanted 1\n" * (2 * MAX_SAMPLES)
    begun = time.process_time()
    assert len(list(samples_of(body, "wanted"))) == MAX_SAMPLES
    assert list(samples_of(body, "absent")) == []
    assert time.process_time() - begun < 1.0


@given(st.binary(), _names)
def test_no_bytes_break_the_search(body: bytes, name: str) -> None:
    assert all(sample.name == name for sample in samples_of(body, name))
