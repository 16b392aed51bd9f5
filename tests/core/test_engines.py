"""Samples are put together engine by engine: a sum over them would hide the one that hangs."""

import pytest

from agent.core.engines import MAX_ENGINES, Engine, Wanted, named, read
from agent.core.selectors import selector
from agent.core.series import SERIES


def wanted(**roles: str) -> Wanted:
    """Roles by their series, blanks between; `per` are labels."""
    names = {role: tuple(map(selector, text.split())) for role, text in roles.items() if role != "per"}
    return Wanted(**names, per=tuple(roles.get("per", "").split()))


VLLM = wanted(busy="running", waiting="queued", counters="steps tokens", per="engine model_name")


def test_gauges_are_added_up_and_counters_kept_apart() -> None:
    text = b'running 3\nqueued{prio="1"} 2\nqueued{prio="2"} 1\nsteps 7\ntokens{kind="a"} 1\ntokens{kind="b"} 2\n'
    found = read(VLLM, text)
    assert found.engines == {
        (): Engine(6, 3, {"steps": 7.0, 'tokens{kind="a"}': 1.0, 'tokens{kind="b"}': 2.0})
    }  # fmt: skip
    assert (found.started, found.gauged) == (None, True)


def test_each_engine_has_its_own() -> None:
    text = "".join(
        f'running{{engine="{n}",model_name="m"}} {n}\nsteps{{model_name="m",engine="{n}"}} 9\n' for n in range(8)
    )
    found = read(VLLM, text.encode()).engines
    assert len(found) == 8
    key = (("engine", "5"), ("model_name", "m"))
    assert found[key] == Engine(5, 0, {'steps{model_name="m",engine="5"}': 9.0})
    assert named(key) == "engine=5 model_name=m"


def test_an_engines_own_counter_is_preferred_to_one_for_all() -> None:
    """SGLang: the scheduler counts by rank, the tokenizer for all of them; the latter would hide a hung rank."""
    text = b'running{engine="0"} 1\nrunning{engine="1"} 1\nsteps{engine="0"} 1\nsteps{engine="1"} 2\ntokens 50\n'
    found = read(VLLM, text).engines
    assert found[("engine", "1"),].counters == {'steps{engine="1"}': 2.0}


def test_without_one_of_its_own_a_counter_for_all_will_do() -> None:
    gauges = b'running{engine="0",model_name="a"} 1\nrunning{engine="1",model_name="b"} 1\n'
    text = gauges + b'tokens{model_name="a"} 5\nsteps{engine="1"} 6\n'
    found = read(VLLM, text).engines
    assert found[("engine", "0"), ("model_name", "a")].counters == {'tokens{model_name="a"}': 5.0}
    assert found[("engine", "1"), ("model_name", "b")].counters == {'steps{engine="1"}': 6.0}


def test_a_gauge_for_all_is_judged_by_the_counters_of_all() -> None:
    text = b'running 4\nsteps{engine="0"} 1\nsteps{engine="1"} 2\n'
    assert read(VLLM, text).engines == {(): Engine(4, 0, {'steps{engine="0"}': 1.0, 'steps{engine="1"}': 2.0})}


def test_a_counter_that_no_gauge_covers_is_an_engine_of_its_own() -> None:
    text = b'running{engine="0"} 1\nsteps{engine="0"} 1\nsteps{engine="1"} 2\n'
    assert read(VLLM, text).engines[("engine", "1"),] == Engine(0, 0, {'steps{engine="1"}': 2.0})


def test_a_negative_gauge_is_nothing_in_flight() -> None:
    assert read(VLLM, b"running -2\nqueued 1\nsteps 1\n").engines[()].busy == 1


def test_names_may_have_lost_their_colons() -> None:
    vllm = SERIES["vllm"]
    names = {role: tuple(map(selector, getattr(vllm, role))) for role in ("busy", "waiting", "counters")}
    text = b'vllm_num_requests_running{engine="0"} 2\nvllm_iteration_tokens_total_count{engine="0"} 5\n'
    assert read(Wanted(**names, per=vllm.per), text).engines == {
        (("engine", "0"),): Engine(2, 0, {'vllm_iteration_tokens_total_count{engine="0"}': 5.0})
    }


def test_one_series_may_tell_progress_and_arrival_by_its_labels() -> None:
    found = read(
        wanted(busy="left", counters='done{code="200"}', arrivals='done{code!="200"}'),
        b'left 3\ndone{code="200"} 5\ndone{code="408"} 2\n',
    )
    assert found.engines[()] == Engine(3, 0, {'done{code="200"}': 5.0}, {'done{code="408"}': 2.0})


@pytest.mark.parametrize("text", [b"", b"<html>", b"other 1\n", b"running NaN\n", b"\xff\xfe\x00"])
def test_without_any_of_the_series_there_are_no_engines(text: bytes) -> None:
    found = read(VLLM, text)
    assert (found.engines, found.gauged) == ({}, False)


def test_the_process_start_time_tells_processes_apart() -> None:
    assert read(VLLM, b"steps 1\nprocess_start_time_seconds 1.7e9\n").started == 1.7e9


def test_a_label_that_never_repeats_is_kept_in_bounds() -> None:
    text = "".join(f'running{{engine="{n}"}} 1\nsteps{{engine="x{n}"}} 1\n' for n in range(4 * MAX_ENGINES))
    assert len(read(VLLM, text.encode()).engines) <= 2 * MAX_ENGINES
