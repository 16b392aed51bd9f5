"""The metrics: names, labels, values, both formats, and docs/metrics.md beside them."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from agent import __version__
from agent.core import model
from agent.core.brakes import WHYS
from agent.core.verdict import STATES
from agent.engine.stats import CheckStats, ContainerStats
from agent.server import exposition, metrics
from tests.server.known import DEAD, Known, check, container, serving

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def _busy() -> Known:
    """A source in which everything that is counted has been counted."""
    source = Known(DEAD, container("other", check("readiness", 'q"uo\\te'), backoff_seconds=20.0, budget_remaining=4))
    stats = CheckStats()
    for result in (model.success(), model.warning("redirect"), model.failure("refused"), model.error("internal")):
        stats.count(result.took(0.004))
    source.checks = [
        ("model", "liveness", "answers", "http_get", stats),
        ("model", "liveness", "again", "tcp_socket", stats),
        ("other", "readiness", 'q"uo\\te', "exec", stats),
    ]
    counts = ContainerStats()
    counts.transitions[("liveness", "Failure")] = 2
    counts.restarts[("signal", "refused", "succeeded")] = 1
    counts.suppressed["budget"] = 3
    counts.time_to_ready = 12.5
    source.counts = [("model", counts), ("other", ContainerStats())]
    source.lateness.observe(0.002)
    return source


def _samples(families: Any) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


async def _scrape(source: Known) -> Samples:
    async with serving(source) as agent:
        return _samples(parse_text(await agent.body("/metrics")))


def _value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((f"health_agent_{name}", tuple(sorted(labels.items()))))


async def test_rounds_are_counted_with_the_contracts_labels() -> None:
    samples = await _scrape(_busy())
    check = {"container": "model", "probe_type": "Liveness", "check": "answers"}
    for result, reason in (
        ("successful", "ok"),
        ("warning", "redirect"),
        ("failed", "refused"),
        ("unknown", "internal"),
    ):
        assert _value(samples, "probe_total", **check, method="http_get", result=result, reason=reason) == 1
    assert _value(samples, "probe_success", **check) == 0
    assert _value(samples, "probe_consecutive", **check, result="failed") == 3
    assert _value(samples, "probe_consecutive", **check, result="successful") == 0


async def test_durations_of_all_results_are_summed_over_the_checks_of_a_type() -> None:
    samples = await _scrape(_busy())
    labels = {"container": "model", "probe_type": "Liveness"}
    assert _value(samples, "probe_duration_seconds_count", **labels) == 8
    assert _value(samples, "probe_duration_seconds_sum", **labels) == pytest.approx(0.032)
    assert _value(samples, "probe_duration_seconds_bucket", **labels, le="0.0025") == 0
    assert _value(samples, "probe_duration_seconds_bucket", **labels, le="0.005") == 8
    assert _value(samples, "probe_duration_seconds_bucket", **labels, le="+Inf") == 8
    assert _value(samples, "probe_lateness_seconds_count") == 1


async def test_a_containers_gauges_follow_the_verdict() -> None:
    samples = await _scrape(_busy())
    for name, dead, good in (("live", 0, 1), ("ready", 0, 1), ("started", 1, 1)):
        assert _value(samples, f"container_{name}", container="model") == dead
        assert _value(samples, f"container_{name}", container="other") == good
    states = {state: _value(samples, "container_state", container="model", state=state) for state in STATES}
    assert [state for state, value in states.items() if value] == ["down"]
    assert set(states.values()) == {0, 1}
    assert _value(samples, "restart_backoff_seconds", container="other") == 20
    assert _value(samples, "restart_budget_remaining", container="other") == 4
    assert _value(samples, "time_to_ready_seconds", container="model") == 12.5
    assert _value(samples, "time_to_ready_seconds", container="other") is None


async def test_transitions_and_restarts_are_counted_and_brakes_from_zero_on() -> None:
    samples = await _scrape(_busy())
    assert _value(samples, "transitions_total", container="model", probe_type="Liveness", to="Failure") == 2
    restart = {"action": "signal", "reason": "refused", "outcome": "succeeded"}
    assert _value(samples, "restarts_total", container="model", **restart) == 1
    assert _value(samples, "restarts_suppressed_total", container="model", why="budget") == 3
    assert _value(samples, "restarts_suppressed_total", container="other", why="backoff") == 0


async def test_the_agent_tells_of_itself_and_its_process() -> None:
    samples = await _scrape(Known())
    assert _value(samples, "build_info", version=__version__) == 1
    assert _value(samples, "config_last_reload_successful") == 1
    assert _value(samples, "config_last_reload_success_timestamp_seconds") == 1_700_000_000
    assert _value(samples, "event_loop_lag_seconds") == 0.001
    names = {name for name, _ in samples}
    assert {"process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds", "python_info"} <= names


PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;"
    "q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain;version=0.0.4", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", True),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.7", False),
        (PROMETHEUS_3, True),
        ("application/openmetrics-text;version=9.0.0", False),
        ("application/openmetrics-text;q=nonsense", False),
    ],
)
async def test_the_format_is_negotiated(accept: str, openmetrics: bool) -> None:
    source = _busy()
    async with serving(source) as agent:
        _, body, headers = await agent.fetch("/metrics", accept=accept)
        kind = exposition.OPENMETRICS_TYPE if openmetrics else exposition.TEXT_TYPE
        assert headers["content-type"] == kind
        assert body.endswith("# EOF\n") is openmetrics
        parsed = _samples(parse_openmetrics(body) if openmetrics else parse_text(body))  # type: ignore[no-untyped-call]
        assert _value(parsed, "restarts_suppressed_total", container="model", why="budget") == 3
        assert _value(parsed, "probe_duration_seconds_count", container="model", probe_type="Liveness") == 8
        assert headers["cache-control"] == "no-store"


async def test_promtool_finds_nothing_to_say() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        missing = "promtool is missing: apt-get install --no-install-recommends prometheus"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    async with serving(_busy()) as agent:
        body = await agent.body("/metrics")
    found = subprocess.run([promtool, "check", "metrics"], input=body, capture_output=True, text=True, check=False)  # noqa: ASYNC221 nothing else runs
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


NUMBERS = st.floats(allow_nan=False) | st.integers(-(2**53), 2**53)
FAMILIES = st.lists(
    st.tuples(
        st.sampled_from([CounterMetricFamily, GaugeMetricFamily]),
        st.sampled_from(["a", "b_seconds", "c_bytes", "health_agent_d"]),
        st.text(max_size=20),
        st.lists(st.tuples(st.text(max_size=9), NUMBERS), max_size=4, unique_by=lambda pair: pair[0]),
    ),
    max_size=4,
    unique_by=lambda family: family[1],
)


def _families(described: Any) -> list[Metric]:
    found: list[Metric] = []
    for kind, name, about, samples in described:
        family = kind(name, about, labels=["a"])
        for label, value in samples:
            family.add_metric([label], value)
        found.append(family)
    return [*found, InfoMetricFamily("what", "It.", {"version": "1"}), GaugeMetricFamily("bare", "One.", value=1)]


class _Fixed:
    def __init__(self, families: list[Metric]) -> None:
        self.families = families

    def collect(self) -> list[Metric]:
        return self.families


@given(FAMILIES)
def test_what_is_written_is_what_prometheus_client_would_write(described: Any) -> None:
    """Byte for byte but for the numbers, which are read back as the same."""
    families = _families(described)
    for ours, theirs in (
        (exposition.write(families), generate_latest(_Fixed(families))),
        (exposition.write(families, openmetrics=True), generate_openmetrics(_Fixed(families))),  # type: ignore[no-untyped-call]
    ):
        ours_lines, their_lines = ours.decode().split("\n"), theirs.decode().split("\n")
        assert len(ours_lines) == len(their_lines)
        for our_line, their_line in zip(ours_lines, their_lines, strict=True):
            if our_line != their_line:
                (our_name, our_value), (their_name, their_value) = our_line.rsplit(" ", 1), their_line.rsplit(" ", 1)
                assert (our_name, float(our_value)) == (their_name, float(their_value))


DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(?P<name>\w+)` \| (?P<type>\w+) \| (?P<labels>[^|]*) \| [^|]{10,} \| [^|]+ \|$", re.MULTILINE)
SUFFIX = {"counter": "_total", "info": "_info"}


def test_the_documentation_lists_exactly_the_metrics_that_there_are() -> None:
    documented = {
        row["name"]: (row["type"], tuple(re.findall(r"`(\w+)`", row["labels"])))
        for row in ROW.finditer(DOCS.read_text())
        if row["name"].startswith("health_agent_")
    }
    collected = {
        name + SUFFIX.get(family.type, ""): ("gauge" if family.type == "info" else family.type, family.labels)
        for name, family in metrics.FAMILIES.items()
    }
    assert documented == collected


def test_the_documentation_names_every_value_of_a_closed_set() -> None:
    text = DOCS.read_text()
    for word in (*STATES, *model.REASONS, *WHYS, *metrics.RESULT.values()):
        assert f"`{word}`" in text, word


async def test_a_gpu_is_told_with_what_it_needs_and_once_for_all_containers_that_use_it() -> None:
    """From 0 on, so that an alert can wait for 1."""
    source = Known(container("a", gpus={"GPU-1": "drain", "GPU-2": ""}), container("b", gpus={"GPU-1": ""}))
    samples = await _scrape(source)
    told = {
        tuple(sorted(dict(labels).values())): value
        for (name, labels), value in samples.items()
        if name == "health_agent_gpu_action_required"
    }
    assert told == {("GPU-1", "drain"): 1, ("GPU-1", "reset"): 0, ("GPU-2", "drain"): 0, ("GPU-2", "reset"): 0}
