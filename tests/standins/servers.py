"""Stand-ins for model servers that cannot be installed here: real HTTP servers with their documented series and faults.

Each speaks on one port: `/health`, its metrics page, and any POST as a request for work. What goes wrong is switched by
the test, as it goes wrong in the field: the engine behind the HTTP server hangs, dies, resets its counters or is slow,
and the HTTP server goes on answering.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

STEPS_A_SECOND = 200.0


class Rank:
    """One engine: its load, and a counter of steps that goes on by itself while the engine moves."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.running = 0
        self.waiting = 0
        self._steps = 1000.0
        self._since: float | None = None  # when it began to move; None: it stands still
        self.answers = asyncio.Event()  # set while it would work on another request
        self.answers.set()

    @property
    def steps(self) -> int:
        moved = 0.0 if self._since is None else (self.clock() - self._since) * STEPS_A_SECOND
        return int(self._steps + moved)

    def work(self, running: int, waiting: int = 0) -> None:
        """Requests in flight, worked on step by step."""
        self.running, self.waiting = running, waiting
        self._steps, self._since = float(self.steps), self.clock()
        self.answers.set()

    def rest(self) -> None:
        """Nothing in flight."""
        self.stop()
        self.running = self.waiting = 0
        self.answers.set()

    def stop(self) -> None:
        """No step any more, whatever is in flight."""
        self._steps, self._since = float(self.steps), None
        self.answers.clear()

    def reset(self) -> None:
        """As after a restart of the engine behind the same HTTP server."""
        self._steps = 3.0
        if self._since is not None:
            self._since = self.clock()


Flavour = Callable[[Sequence[Rank]], str]


def vllm(ranks: Sequence[Rank]) -> str:
    """vllm/v1/metrics/loggers.py: everything by engine and model_name; gauges are set by the engine's own steps."""
    lines = []
    for kind, name, value in (
        ("gauge", "vllm:num_requests_running", lambda rank: rank.running),
        ("gauge", "vllm:num_requests_waiting", lambda rank: rank.waiting),
        ("gauge", "vllm:kv_cache_usage_perc", lambda rank: 0.25),
        ("counter", "vllm:prompt_tokens", lambda rank: rank.steps * 7),
        ("counter", "vllm:generation_tokens", lambda rank: rank.steps * 3),
    ):
        lines += [f"# HELP {name} Of an engine.", f"# TYPE {name} {kind}"]
        suffix = "_total" if kind == "counter" else ""
        for number, rank in enumerate(ranks):
            labels = f'{{engine="{number}",model_name="meta-llama/Llama-3.1-8B"}}'
            lines.append(f"{name}{suffix}{labels} {float(value(rank))}")
            if kind == "counter":
                lines.append(f"{name}_created{labels} 1.7e+09")
    lines.append("# TYPE vllm:iteration_tokens_total histogram")
    for number, rank in enumerate(ranks):
        labels = f'engine="{number}",model_name="meta-llama/Llama-3.1-8B"'
        lines += [
            f'vllm:iteration_tokens_total_bucket{{{labels},le="8.0"}} {rank.steps // 2}.0',
            f'vllm:iteration_tokens_total_bucket{{{labels},le="+Inf"}} {rank.steps}.0',
            f"vllm:iteration_tokens_total_count{{{labels}}} {rank.steps}.0",
            f"vllm:iteration_tokens_total_sum{{{labels}}} {rank.steps * 10}.0",
        ]
    return "\n".join([*lines, ""])


def sglang(ranks: Sequence[Rank]) -> str:
    """sglang/srt/observability/metrics_collector.py: scheduler series by rank, the tokenizer's for all of them."""
    model = 'engine_type="unified",model_name="qwen"'
    lines = []
    for name, value in (
        ("num_running_reqs", lambda rank: rank.running),
        ("num_queue_reqs", lambda rank: rank.waiting),
        ("token_usage", lambda rank: 0.5),
    ):
        lines.append(f"# TYPE sglang:{name} gauge")
        for number, rank in enumerate(ranks):
            lines += [
                f'sglang:{name}{{dp_rank="{number}",{model},pp_rank="0",tp_rank="{tp}"}} {float(value(rank))}'
                for tp in range(2)
            ]
    lines.append("# TYPE sglang:realtime_tokens_total counter")
    lines += [
        f'sglang:realtime_tokens_total{{dp_rank="{number}",{model},mode="{mode}",tp_rank="0"}} {float(rank.steps * by)}'
        for number, rank in enumerate(ranks)
        for mode, by in (("prefill_compute", 4), ("decode", 2))
    ]
    finished = sum(rank.steps for rank in ranks) // 50
    lines += [
        "# TYPE sglang:prompt_tokens_total counter",
        f"sglang:prompt_tokens_total{{{model}}} {finished * 100}.0",
        "# TYPE sglang:generation_tokens_total counter",
        f"sglang:generation_tokens_total{{{model}}} {finished * 40}.0",
    ]
    return "\n".join([*lines, ""])


def tgi(ranks: Sequence[Rank]) -> str:
    """text-generation-inference, docs/source/reference/metrics.md: one engine, no labels but the method."""
    (rank,) = ranks
    return "\n".join(
        [
            "# TYPE tgi_request_count counter",
            f"tgi_request_count {rank.steps // 20 + rank.running}",
            "# TYPE tgi_batch_inference_count counter",
            f'tgi_batch_inference_count{{method="prefill"}} {rank.steps // 20}',
            f'tgi_batch_inference_count{{method="decode"}} {rank.steps}',
            "# TYPE tgi_batch_inference_success counter",
            f'tgi_batch_inference_success{{method="decode"}} {rank.steps}',
            "# TYPE tgi_queue_size gauge",
            f"tgi_queue_size {rank.waiting}",
            "# TYPE tgi_batch_current_size gauge",
            f"tgi_batch_current_size {rank.running}",
            "# TYPE tgi_request_duration histogram",
            f'tgi_request_duration_bucket{{le="+Inf"}} {rank.steps // 20}',
            "",
        ]
    )


def triton(ranks: Sequence[Rank]) -> str:
    """server/docs/user_guide/metrics.md: by model and version; only what waits is a gauge."""
    lines = []
    for kind, name, value in (
        ("counter", "nv_inference_request_success", lambda rank: rank.steps),
        ("counter", "nv_inference_exec_count", lambda rank: rank.steps // 2),
        ("counter", "nv_inference_queue_duration_us", lambda rank: rank.steps * 900),
        ("gauge", "nv_inference_pending_request_count", lambda rank: rank.waiting),
    ):
        lines += [f"# HELP {name} Of a model.", f"# TYPE {name} {kind}"]
        lines += [f'{name}{{model="m{number}",version="1"}} {value(rank)}' for number, rank in enumerate(ranks)]
    lines += [
        f'nv_inference_request_failure{{model="m{number}",reason="REJECTED",version="1"}} 0'
        for number, _ in enumerate(ranks)
    ]
    return "\n".join([*lines, 'nv_gpu_utilization{gpu_uuid="GPU-1"} nan', ""])


FLAVOURS: dict[str, Flavour] = {"vllm": vllm, "sglang": sglang, "tgi": tgi, "triton": triton}


class StandIn:
    """A server with ``ranks`` engines. Its faults are attributes; its engines have theirs."""

    def __init__(self, flavour: Flavour, ranks: int = 1) -> None:
        clock = asyncio.get_running_loop().time
        self.flavour = flavour
        self.ranks = [Rank(clock) for _ in range(ranks)]
        self.port = 0
        self.health = 200
        self.metrics = 200
        self.delay = 0.0  # seconds before the metrics page comes: saturation
        self.health_delay = 0.0
        self.hidden = False  # the gauges read zero, whatever is in flight
        self.dead = False  # there is no engine any more: requests for work are refused at once
        self.scrapes = 0
        self.asked = 0  # requests for work

    def hang(self, *, hidden: bool = False) -> None:
        """Every engine stands still; its gauges freeze, or (hidden) read zero."""
        for rank in self.ranks:
            rank.stop()
        self.hidden = hidden

    def die(self) -> None:
        """The engine's process is gone; its gauges stay as they were."""
        self.hang()
        self.dead = True

    async def handle(self, request: web.BaseRequest) -> web.Response:
        if request.method == "POST":
            return await self._work()
        await asyncio.sleep(self.health_delay if request.path == "/health" else self.delay)
        if request.path == "/health":
            return web.Response(status=self.health, text="Loading model" if self.health != 200 else "")
        self.scrapes += 1
        if self.metrics != 200:
            return web.Response(status=self.metrics)
        return web.Response(text=self.page(), content_type="text/plain")

    def page(self) -> str:
        shown = [_Zero(rank) for rank in self.ranks] if self.hidden else self.ranks
        return self.flavour(shown)

    async def _work(self) -> web.Response:
        """A request for work is answered while the first engine moves or rests; behind a hung one it waits."""
        self.asked += 1
        if self.dead:
            return web.Response(status=500, text="EngineDeadError")
        await self.ranks[0].answers.wait()
        return web.Response(text="{}")


class _Zero(Rank):
    """An engine whose gauges read zero."""

    def __init__(self, rank: Rank) -> None:
        self._rank = rank
        self.running = self.waiting = 0

    @property
    def steps(self) -> int:
        return self._rank.steps


@asynccontextmanager
async def standing_in(flavour: str, ranks: int = 1) -> AsyncIterator[StandIn]:
    """The stand-in, listening on a port of its own."""
    server = StandIn(FLAVOURS[flavour], ranks)
    runner = web.ServerRunner(web.Server(server.handle, handler_cancellation=True), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()
