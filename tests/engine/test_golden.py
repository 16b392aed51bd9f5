"""`simulate` and the daemon give what 400 recorded kubelet traces say, and what must hold in any history holds."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config import SourceRef, load
from agent.core.settings import Config
from agent.engine.simulate import SimulationInputError, simulate

TRACES = Path(__file__).parents[1] / "golden" / "kubelet-transitions.jsonl"
CASES = [json.loads(line) for line in TRACES.read_text(encoding="utf-8").splitlines()]
KINDS = ("startup", "readiness", "liveness")


def configured(document: Any) -> Config:
    """The document through the real loader."""
    return load([SourceRef("case", content=json.dumps(document).encode())], {}).config


def in_any_order(events: Iterable[dict[str, Any]]) -> Counter[tuple[float, str, str]]:
    """Events of one instant come in any order."""
    return Counter((event["t"], event["event"], str(event["value"])) for event in events)


def test_there_are_four_hundred_traces() -> None:
    assert len(CASES) == 400


@pytest.mark.parametrize("block", range(0, 400, 40))
def test_a_recorded_history_comes_out_event_by_event(block: int) -> None:
    for number, case in enumerate(CASES[block : block + 40], start=block):
        events = list(simulate(configured(case["config"]), case["input"]))
        assert in_any_order(events) == in_any_order(case["events"]), f"trace {number}: {json.dumps(case['config'])}"
        assert [event["t"] for event in events] == sorted(event["t"] for event in events)


# -- worked examples of probe-semantics ----------------------------------------------------------------------------


def run(
    checks: dict[str, Any], until: float, restart_delay: float | None = None, **letters: Any
) -> list[tuple[Any, ...]]:
    container = {"name": "m", "port": 8000, **{f"{kind}_check": value for kind, value in checks.items()}}
    document = {"until": until, "restart_delay": restart_delay, "outcomes": {"m": letters}}
    return [(e["t"], e["event"], e["value"]) for e in simulate(configured({"containers": [container]}), document)]


def tcp(**more: Any) -> dict[str, Any]:
    return {"tcp_socket": {}, **more}


def test_ready_at_the_moment_of_the_startup_success_and_not_a_period_later() -> None:
    """The kubelet's e2e case: startup passes at 35, readiness has a period of 30 (probe-semantics 1.5)."""
    checks = {
        "startup": tcp(period_seconds=5, failure_threshold=60),
        "readiness": tcp(period_seconds=30, failure_threshold=1),
    }
    events = run(checks, 100, startup="fffffffs", readiness="sssf")
    assert (35.0, "ready", True) in events
    assert [e for e in events if e[0] > 35] == [], "its ticker restarted at 35: the next rounds are at 65 and 95"
    assert (125.0, "readiness", "Failure") in run(checks, 130, startup="fffffffs", readiness="sssf")


def test_liveness_does_not_look_at_the_very_moment_of_the_startup_success() -> None:
    checks = {"startup": tcp(), "liveness": tcp(failure_threshold=1)}
    assert [e for e in run(checks, 40, startup="fs", liveness="f") if e[1] == "kill"] == [(20.0, "kill", "liveness")]


def test_a_flip_of_readiness_to_failure_looks_again_at_once() -> None:
    """Probe-semantics 0.11: a readiness publication is a sync, and a sync triggers whoever is not Success."""
    events = run({"readiness": tcp(failure_threshold=1)}, 20, readiness="sfs")
    assert [e for e in events if e[0] == 10] == [
        (10.0, "readiness", "Failure"), (10.0, "ready", False), (10.0, "readiness", "Success"), (10.0, "ready", True),
    ]  # fmt: skip


def test_the_delay_counts_from_the_start_of_the_container_and_probes_at_the_next_beat() -> None:
    """Delay 5, period 10: at 10, also behind a startup check (probe-semantics 0.2 and 0.3)."""
    assert (10.0, "readiness", "Success") in run({"readiness": tcp(initial_delay_seconds=5)}, 10)
    assert (10.0, "kill", "liveness") in run(
        {"startup": tcp(period_seconds=3), "liveness": tcp(initial_delay_seconds=5, failure_threshold=1)},
        20, startup="ffs", liveness="f",
    )  # fmt: skip


def test_a_fractional_delay_is_over_when_it_says_so() -> None:
    checks = {"readiness": tcp(initial_delay_seconds=0.7, period_seconds=0.1)}
    assert (0.7, "ready", True) in run(checks, 1)
    assert (2.1, "ready", True) in run({"readiness": tcp(initial_delay_seconds=2.1, period_seconds=0.7)}, 3)


def test_beats_of_one_moment_are_one_instant_though_not_one_float() -> None:
    """2 * 0.3 and 6 * 0.1: both rounds see the status at the instant's beginning."""
    checks = {
        "startup": tcp(period_seconds=0.3, failure_threshold=9),
        "liveness": tcp(period_seconds=0.1, failure_threshold=1),
    }
    events = run(checks, 0.75, startup="ffs", liveness="f")
    assert [when for when, event, value in events if (event, value) == ("started", True)] == [0.6]
    assert [when for when, event, _ in events if event == "kill"] == [0.7], "liveness at 0.6 was not started yet"


def test_startup_that_always_fails_kills_at_its_threshold_although_liveness_would_pass() -> None:
    """E13, and E14: a startup check with patience holds liveness back."""
    assert [
        e
        for e in run({"startup": tcp(initial_delay_seconds=15), "liveness": tcp()}, 600, startup="f")
        if e[1] == "kill"
    ] == [(40.0, "kill", "startup")]
    checks = {"startup": tcp(failure_threshold=60), "liveness": tcp(failure_threshold=1)}
    assert not [e for e in run(checks, 240, startup="f", liveness="f") if e[1] == "kill"]


def test_two_checks_that_fail_in_one_instant_kill_once() -> None:
    both = {"liveness": [tcp(name="a", failure_threshold=1), tcp(name="b", failure_threshold=1)]}
    events = run(both, 30, restart_delay=0, liveness={"a": "sfs", "b": "sfs"})
    assert [e for e in events if e[1] in ("kill", "restart")] == [(10.0, "kill", "liveness"), (10.0, "restart", 2)]


def test_until_is_inclusive_and_a_container_without_checks_is_started_and_ready() -> None:
    assert (20.0, "readiness", "Failure") in run({"readiness": tcp(failure_threshold=1)}, 20, readiness="ssf")
    assert not run({"readiness": tcp(failure_threshold=1)}, 19.9, readiness="ssf")[5:]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "until"),
        ({"until": "soon"}, "until"),
        ({"until": -1}, "0 or more"),
        ({"until": 1, "restart_delay": -1}, "0 or more"),
        ({"until": 1, "outcomes": {"other": {}}}, "no container named 'other'; there are m"),
        ({"until": 1, "outcomes": {"m": {"liveliness": "s"}}}, "unknown type 'liveliness'"),
        ({"until": 1, "outcomes": {"m": {"liveness": {"a": "sx"}}}}, "outcomes.m.liveness: 'sx' holds a letter"),
        ({"until": 1, "outcomes": {"m": {"liveness": {"c": "s"}}}}, "no check named 'c'"),
        ({"until": 1, "outcomes": {"m": {"liveness": "s"}}}, "2 checks: key their letters by check name"),
        ({"until": 1, "outcome": {}}, "outcome"),
    ],
)
def test_input_that_does_not_fit_is_refused_with_its_place(document: Any, message: str) -> None:
    config = configured({"containers": [{"name": "m", "port": 1, "liveness_check": [tcp(name="a"), tcp(name="b")]}]})
    with pytest.raises(SimulationInputError, match=message):
        list(simulate(config, document))


# -- for any configuration and any letters -------------------------------------------------------------------------


def any_check(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "tcp_socket": st.just({"port": 8000}),
            "period_seconds": st.sampled_from([0.5, 1, 2, 3, 5, 7, 10]),
            "initial_delay_seconds": st.sampled_from([0, 0, 1, 4, 9.5]),
            "failure_threshold": st.integers(1, 4),
            "success_threshold": st.integers(1, 3) if kind == "readiness" else st.just(1),
        }
    )


@st.composite
def histories(draw: st.DrawFn) -> tuple[Any, Any]:
    container: dict[str, Any] = {"name": "m"}
    outcomes: dict[str, Any] = {}
    for kind in KINDS:
        count = draw(st.integers(0, 2))
        if count:
            checks = [{"name": f"c{n}", **draw(any_check(kind))} for n in range(count)]
            container[f"{kind}_check"] = checks
            outcomes[kind] = {check["name"]: draw(st.text("sssfffu", max_size=12)) for check in checks}
    if not outcomes:
        container["readiness_check"] = draw(any_check("readiness"))
    delay = draw(st.sampled_from([None, 0, 1, 2.5, 12]))
    return {"containers": [container]}, {"until": 60, "restart_delay": delay, "outcomes": {"m": outcomes}}


@settings(max_examples=150, deadline=None)
@given(histories())
def test_what_must_hold_in_any_history(history: tuple[Any, Any]) -> None:
    """Ready implies started; a killed container is neither until its restart; one kill an instance, for a cause."""
    document, given_input = history
    has = {kind: f"{kind}_check" in document["containers"][0] for kind in KINDS}
    started = ready = dead = False
    instance, value = 1, dict.fromkeys(KINDS, "")
    for event in simulate(configured(document), given_input):
        what, said = event["event"], event["value"]
        if what == "started":
            assert said is not started or event["t"] == 0
            started = said
        elif what == "ready":
            ready = said
        elif what == "restart":
            assert dead
            assert said == instance + 1
            instance, dead = said, False
        elif what == "kill":
            assert not dead, "one kill an instance"
            assert said in ("startup", "liveness")
            assert has[said]
            assert value[said] == "Failure", "a kill is the consequence of a published Failure"
            assert (said == "startup") is not started, "liveness kills what started, startup what did not"
            dead = True
        else:
            value[what] = said
        if what == "ready" and said:
            assert started
            assert not dead
            assert not has["readiness"] or value["readiness"] == "Success"
        if what == "started" and said:
            assert not dead
            assert not has["startup"] or value["startup"] == "Success"
    assert not (dead and (started or ready)), "a killed container is neither until its restart"
