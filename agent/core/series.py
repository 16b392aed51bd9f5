"""Which series of a model server tell work in flight and progress: one literal table, with where each row is from.

Versions drift: a series that is not there is no information, never a verdict. What moves only when a request ends is
marked, since a single long request then looks like a stall: `max_step_seconds` should cover the longest one.
"""

from collections.abc import Mapping
from typing import Final, Literal, get_args

import msgspec

ServerName = Literal[
    "vllm", "sglang", "tgi", "triton", "torchserve", "tfserving", "mlserver", "kserve", "ray-serve", "bentoml",
    "mosec", "llama.cpp",
]  # fmt: skip
SERVER_NAMES: Final[tuple[str, ...]] = get_args(ServerName)


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """Selectors (agent.core.selectors) by what their samples tell.

    ``busy`` and ``waiting`` are gauges of requests being worked on and queued; both are in flight. ``counters`` rise
    with progress and with nothing else, our own probes included. ``arrivals`` are counters that rise with requests,
    whatever becomes of them. ``per`` are the labels that tell engines apart which can hang alone.
    """

    busy: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    counters: tuple[str, ...] = ()
    arrivals: tuple[str, ...] = ()
    per: tuple[str, ...] = ()
    path: str = "/metrics"
    by_request: bool = False  # the counters move at a request's end, not at each step


_NO_PROBE: Final = 'endpoint!="/livez",endpoint!="/readyz",endpoint!="/healthz"'

SERIES: Final[Mapping[str, Series]] = {
    # vllm/v1/metrics/loggers.py: everything has engine and model_name; gauges and counters are set after each engine
    # step, so all of them freeze with the engine. An aborted request has finished, and is no progress.
    "vllm": Series(
        busy=("vllm:num_requests_running",),
        waiting=("vllm:num_requests_waiting",),
        counters=(
            "vllm:iteration_tokens_total_count",
            "vllm:generation_tokens_total",
            "vllm:prompt_tokens_total",
            'vllm:request_success_total{finished_reason!="abort"}',
        ),
        per=("engine", "model_name"),
    ),
    # sglang/srt/observability/metrics_collector.py: the scheduler's gauges and realtime_tokens_total have dp_rank; the
    # tokenizer's prompt_ and generation_tokens_total have not, and move when a request ends.
    "sglang": Series(
        busy=("sglang:num_running_reqs",),
        waiting=("sglang:num_queue_reqs", "sglang:num_grammar_queue_reqs"),
        counters=("sglang:realtime_tokens_total", "sglang:prompt_tokens_total", "sglang:generation_tokens_total"),
        per=("model_name", "dp_rank"),
    ),
    # text-generation-inference, docs/source/reference/metrics.md: a batch is a step; tgi_request_count counts arrivals.
    "tgi": Series(
        busy=("tgi_batch_current_size",),
        waiting=("tgi_queue_size",),
        counters=("tgi_batch_inference_count", "tgi_batch_inference_success"),
        arrivals=("tgi_request_count",),
    ),
    # server/docs/user_guide/metrics.md: pending means queued, not executing; a refused or cancelled request is counted
    # as a failure, and is no progress.
    "triton": Series(
        waiting=("nv_inference_pending_request_count",),
        counters=(
            "nv_inference_exec_count",
            "nv_inference_request_success",
            'nv_inference_request_failure{reason!="REJECTED",reason!="CANCELED"}',
        ),
        per=("model", "version"),
        by_request=True,
    ),
    # serve/docs/metrics.md: no gauge tells work in flight; ts_inference_requests_total counts arrivals (measured).
    "torchserve": Series(
        counters=("ts_inference_latency_microseconds",),
        arrivals=("ts_inference_requests_total",),
        per=("model_name",),
        by_request=True,
    ),
    # tensorflow_serving/servables/tensorflow/util.cc; the path is the one of its documented monitoring_config.
    "tfserving": Series(
        counters=(":tensorflow:serving:request_count",),
        per=("model_name",),
        path="/monitoring/prometheus/metrics",
        by_request=True,
    ),
    # mlserver/handlers/dataplane.py and its REST server's starlette_exporter, measured on 1.7: the gauge keeps requests
    # that their clients have abandoned until the worker has done them.
    "mlserver": Series(
        busy=('rest_server_requests_in_progress{method="POST"}',),
        counters=("model_infer_request_success_total",),
        per=("model",),
        by_request=True,
    ),
    # kserve/metrics.py: histograms alone.
    "kserve": Series(counters=("request_predict_seconds_count",), per=("model_name",), by_request=True),
    # ray/doc/source/serve/monitoring.md; newer versions add _total.
    "ray-serve": Series(
        busy=("ray_serve_num_ongoing_http_requests", "ray_serve_replica_processing_queries"),
        waiting=("ray_serve_deployment_queued_queries",),
        counters=("ray_serve_deployment_request_counter", "ray_serve_deployment_request_counter_total"),
        per=("application", "deployment"),
        by_request=True,
    ),
    # docs/source/build-with-bentoml/observability/metrics.rst, measured on 1.4: probes are requests too, and would
    # count as progress; a request that has timed out in front of a stuck worker is none either.
    "bentoml": Series(
        busy=(f"bentoml_service_request_in_progress{{{_NO_PROBE}}}",),
        counters=(f'bentoml_service_request_total{{http_response_code="200",{_NO_PROBE}}}',),
        arrivals=(f'bentoml_service_request_total{{http_response_code!="200",{_NO_PROBE}}}',),
        per=("endpoint",),
        by_request=True,
    ),
    # mosec/src/metrics.rs, measured on 0.9.8: remaining tasks hold the queue too, and a code exists from its first
    # answer on.
    "mosec": Series(
        busy=("mosec_service_remaining_task",),
        counters=(
            'mosec_service_throughput_total{code="200"}',
            'mosec_service_process_duration_second_count{stage!="total"}',
        ),
        arrivals=('mosec_service_throughput_total{code!="200"}',),
        by_request=True,
    ),
    # llama.cpp/tools/server/README.md: every llama_decode() counts; tokens_predicted_total moves at a request's end.
    "llama.cpp": Series(
        busy=("llamacpp:requests_processing",),
        waiting=("llamacpp:requests_deferred",),
        counters=("llamacpp:n_decode_total", "llamacpp:prompt_tokens_total", "llamacpp:tokens_predicted_total"),
    ),
}
