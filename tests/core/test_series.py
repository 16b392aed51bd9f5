"""The built-in series against pages of real servers, as they were in front of a stuck worker."""

import pytest

from agent.core.engines import Engine, Wanted, read
from agent.core.selectors import selector
from agent.core.series import SERIES, SERVER_NAMES

MOSEC = """\
# HELP mosec_service_throughput service inference endpoint throughput.
# TYPE mosec_service_throughput counter
mosec_service_throughput_total{code="200",endpoint="/inference"} 1
mosec_service_throughput_total{code="408",endpoint="/inference"} 4
# HELP mosec_service_process_duration_second process duration for each connection in each stage.
# TYPE mosec_service_process_duration_second histogram
mosec_service_process_duration_second_sum{stage="Square_1",connection="1"} 0.000775413
mosec_service_process_duration_second_count{stage="Square_1",connection="1"} 1
mosec_service_process_duration_second_sum{stage="total",connection="total"} 0.000793881
mosec_service_process_duration_second_count{stage="total",connection="total"} 2
# HELP mosec_service_remaining_task remaining tasks for the whole service.
# TYPE mosec_service_remaining_task gauge
mosec_service_remaining_task 3
# EOF
"""
"""mosec 0.9.8, its one worker deadlocked."""

MLSERVER = """\
parallel_request_queue_count 9.0
model_infer_request_duration_count{model="square",version="None"} 5.0
rest_server_requests_in_progress{app_name="mlserver",method="POST"} 3.0
rest_server_requests_in_progress{app_name="mlserver",method="GET"} 1.0
model_infer_request_failure_total{model="square",version="None"} 0.0
model_infer_request_success_total{model="square",version="None"} 5.0
model_infer_request_success_created{model="square",version="None"} 1.795e+09
rest_server_requests_total{app_name="mlserver",method="POST",path="/v2/models/{model_name}/infer",status_code="200"} 5.0
"""
"""MLServer 1.7.1 with a pool of one worker, deadlocked; the clients of all three requests have gone."""

_SQUARE = 'runner_name="Square",service_name="Square",service_version="not available"'
BENTOML = f"""\
bentoml_service_request_total{{endpoint="/predict",http_response_code="200",{_SQUARE}}} 5.0
bentoml_service_request_total{{endpoint="/predict",http_response_code="500",{_SQUARE}}} 0.0
bentoml_service_request_total{{endpoint="/livez",http_response_code="200",{_SQUARE}}} 2.0
bentoml_service_request_in_progress{{endpoint="/predict",{_SQUARE}}} 3.0
bentoml_service_request_in_progress{{endpoint="/livez",{_SQUARE}}} 1.0
"""
"""BentoML 1.4.40, its worker deadlocked, and a probe under way."""


def engines(server: str, page: str) -> dict[str, Engine]:
    """What is read, by the engine's labels."""
    series = SERIES[server]  # type: ignore[index]
    roles = {role: tuple(map(selector, getattr(series, role))) for role in ("busy", "waiting", "counters", "arrivals")}
    found = read(Wanted(**roles, per=series.per), page.encode()).engines
    return {",".join(value for _, value in key): engine for key, engine in found.items()}


def test_mosec_counts_work_done_and_what_it_turned_away() -> None:
    (engine,) = engines("mosec", MOSEC).values()
    assert (engine.busy, sorted(engine.counters.values()), list(engine.arrivals.values())) == (3, [1, 1], [4])


def test_mlserver_counts_predictions_and_its_probes_are_none() -> None:
    (engine,) = engines("mlserver", MLSERVER).values()
    assert (engine.busy, list(engine.counters.values())) == (3, [5])


def test_bentoml_counts_answers_of_its_endpoints_and_its_probes_are_none() -> None:
    """A probe that counted as progress would hide every hang, and keep the canary away for ever."""
    found = engines("bentoml", BENTOML)
    assert found.keys() == {"/predict"}
    engine = found["/predict"]
    assert (engine.busy, list(engine.counters.values()), list(engine.arrivals.values())) == (3, [5], [0])


@pytest.mark.parametrize("name", SERVER_NAMES)
def test_no_page_of_another_server_is_taken_for_ones_own(name: str) -> None:
    pages = {"mosec": MOSEC, "mlserver": MLSERVER, "bentoml": BENTOML}
    assert all(engines(name, page) == {} for server, page in pages.items() if server != name)
