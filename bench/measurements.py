"""One function for each row of the table: starts the programs, waits, and reads what the kernel counted."""

import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.programs import Program, agent, free_port, get, running, script, watched

MIB = 1024 * 1024
INTERLEAVED_RUNS = 3
START_RUNS = 7
RATE_TASKS, RATE_PERIOD = 20, 0.1  # 200 probes a second
SETTLE_SECONDS, WINDOW_SECONDS = 2.0, 6.0
BUSY_CHECKS, BUSY_PERIOD = 50, 0.1  # 500 probes a second
GROWTH_CHECKS, GROWTH_WARM_UP, GROWTH_PROBES = 100, 20_000, 100_000
BLACKBOX = "prometheus-blackbox-exporter"
INSTALL = "not measured: {0} is not installed (on Debian and Ubuntu: apt-get install {0})"


@dataclass(frozen=True)
class Row:
    """One line of the table. ``ratio`` is ours to theirs; ``bound`` is what we hold ourselves to."""

    what: str
    ours: str
    against: str = ""
    ratio: float | None = None
    bound: str = ""
    holds: bool | None = None


@contextmanager
def a_target() -> Iterator[int]:
    """A running target; its port."""
    port = free_port()
    with running(script("target.py", port), port, answers="/count"):
        yield port


def compared(what: str, unit: str, pair: tuple[float, float], whose: str, bound: float) -> Row:
    ours, theirs = (f"{figure:.0f} {unit}" if figure >= 100 else f"{figure:.1f} {unit}" for figure in pair)
    ratio = pair[0] / pair[1]
    return Row(what, ours, f"{theirs} ({whose})", ratio, f"at most {bound:g}", ratio <= bound)


def medians(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float]:
    return statistics.median(ours), statistics.median(theirs)


def idle_memory(home: Path) -> list[Row]:
    """Resident memory with one container and three checks, after each endpoint was asked."""
    with a_target() as target:
        check = {"http_get": {"path": "/"}, "period_seconds": 10}
        checks = {f"{kind}_check": check for kind in ("startup", "liveness", "readiness")}
        container = {"name": "model", "port": target, **checks}

        def resident(command: Sequence[str | Path], port: int) -> float:
            with running(command, port) as program:
                for path in ("/metrics", "/status", "/ready") * 5:
                    get(port, path)
                time.sleep(SETTLE_SECONDS)
                return program.resident_bytes() / MIB

        ours, plain = [], []
        for _ in range(INTERLEAVED_RUNS):
            port, other = free_port(), free_port()
            command = agent(home, [container], port)
            ours.append(resident(command, port))
            plain.append(resident(script("plain_idle.py", other, f"http://127.0.0.1:{target}/", command[-1]), other))
    whose = "aiohttp.web, a client session, yaml, prometheus_client"
    return [compared("idle resident memory", "MiB", medians(ours, plain), whose, 1.15)]


def cpu_per_probe(home: Path) -> list[Row]:
    """Processor time per HTTP probe at 200 a second, everything the process does included."""
    what = "processor time per HTTP probe"
    with a_target() as target:
        url = f"http://127.0.0.1:{target}/"

        def microseconds(program: Program) -> float:
            time.sleep(SETTLE_SECONDS)
            count, cpu = int(get(target, "/count")[1]), program.cpu_seconds()
            time.sleep(WINDOW_SECONDS)
            return (program.cpu_seconds() - cpu) / (int(get(target, "/count")[1]) - count) * 1e6

        def of_agent() -> float:
            port = free_port()
            with running(agent(home, watched(target, RATE_TASKS, RATE_PERIOD), port), port) as program:
                return microseconds(program)

        def of_getter() -> float:
            with running(script("plain_getter.py", url, RATE_TASKS, RATE_PERIOD, "fresh")) as program:
                return microseconds(program)

        def of_blackbox() -> float:
            port = free_port()
            probe = f"http://127.0.0.1:{port}/probe?target={url}&module=http_get"
            with (
                running(blackbox(home, port), port, answers="/-/healthy") as program,
                running(script("plain_getter.py", probe, RATE_TASKS, RATE_PERIOD, "kept")),
            ):
                return microseconds(program)

        sources: dict[str, Callable[[], float]] = {"agent": of_agent, "getter": of_getter}
        if shutil.which(BLACKBOX):
            sources["blackbox"] = of_blackbox
        found: dict[str, list[float]] = {name: [] for name in sources}
        for _ in range(INTERLEAVED_RUNS):
            for name, measure in sources.items():
                found[name].append(measure())
    median = {name: statistics.median(values) for name, values in found.items()}
    rows = [compared(what, "µs", (median["agent"], median["getter"]), "bare aiohttp GET, fresh connection", 1.0)]
    if "blackbox" in median:
        return [*rows, compared(what, "µs", (median["agent"], median["blackbox"]), "blackbox_exporter, /probe", 0.6)]
    return [*rows, Row(what, "", INSTALL.format(BLACKBOX))]


def blackbox(home: Path, port: int) -> list[str | Path]:
    """The exporter with one plain HTTP module over IPv4."""
    config = home / "blackbox.yml"
    config.write_text("modules: {http_get: {prober: http, http: {preferred_ip_protocol: ip4}}}\n", encoding="ascii")
    return [BLACKBOX, f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]


def lateness(home: Path) -> list[Row]:
    """How late rounds begin at 500 probes a second, from the agent's own histogram."""
    with a_target() as target:
        port = free_port()
        with running(agent(home, watched(target, BUSY_CHECKS, BUSY_PERIOD), port), port):
            time.sleep(SETTLE_SECONDS)
            windows = [lateness_window(port) for _ in range(INTERLEAVED_RUNS)]
    rate = statistics.median(rate for rate, _ in windows)
    late = statistics.median(late for _, late in windows)
    what = f"p99 lateness of rounds at {rate:.0f} probes/s"
    return [Row(what, f"{late:.2g} ms", bound="under 25 ms", holds=late < 25)]


def lateness_window(port: int) -> tuple[float, float]:
    """Rounds per second and the p99 of their lateness in milliseconds, over one window."""
    before = buckets(get(port, "/metrics")[1])
    time.sleep(2 * WINDOW_SECONDS)
    after = buckets(get(port, "/metrics")[1])
    counts = [(bound, count - before[bound]) for bound, count in after.items()]
    return counts[-1][1] / (2 * WINDOW_SECONDS), quantile(counts, 0.99) * 1000


def buckets(metrics: str) -> dict[float, float]:
    """Upper bound to cumulative count."""
    found = re.findall(r'^health_agent_probe_lateness_seconds_bucket\{le="([^"]+)"\} (\S+)', metrics, re.MULTILINE)
    return {float(bound): float(count) for bound, count in found}


def quantile(counts: Sequence[tuple[float, float]], share: float) -> float:
    """As PromQL's histogram_quantile: linear within the bucket."""
    rank = share * counts[-1][1]
    lower, below = 0.0, 0.0
    for bound, count in counts:
        if count >= rank:
            return lower if bound == float("inf") else lower + (bound - lower) * (rank - below) / (count - below)
        lower, below = bound, count
    return lower


def memory_growth(home: Path) -> list[Row]:
    """Resident memory before and after 100,000 probes, once the histories are full."""
    with a_target() as target:
        port = free_port()
        with running(agent(home, watched(target, GROWTH_CHECKS, BUSY_PERIOD), port), port) as program:
            await_count(target, GROWTH_WARM_UP)
            before = program.resident_bytes()
            await_count(target, GROWTH_WARM_UP + GROWTH_PROBES)
            grown = (program.resident_bytes() - before) / MIB
    return [Row("memory growth over 100,000 probes", f"{grown:.2f} MiB", bound="under 2 MiB", holds=grown < 2)]


def await_count(target: int, count: int, *, within: float = 300.0) -> None:
    deadline = time.monotonic() + within
    while int(get(target, "/count")[1]) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the agent made fewer than {count} probes in {within:g} s")
        time.sleep(0.2)


def start(home: Path) -> list[Row]:
    """From process start to the first 200 on /ready, against the least aiohttp server."""
    ours: list[float] = []
    plain: list[float] = []

    def started(command: Sequence[str | Path], port: int) -> float:
        program = Program(command, port)
        try:
            return program.await_answer() * 1000
        finally:
            program.stop()

    with a_target() as target:
        for _ in range(START_RUNS):
            port, other = free_port(), free_port()
            ours.append(started(agent(home, watched(target, 1, 10), port), port))
            plain.append(started(script("plain_server.py", other), other))
    what = "process start to first /ready 200"
    return [compared(what, "ms", medians(ours, plain), "bare aiohttp server", 1.6)]


def answers(home: Path) -> list[Row]:
    """What /ready serves under wrk with kept connections while 500 probes/s run and /metrics is scraped."""
    what = f"/ready requests/s with {BUSY_CHECKS} containers, while 500 probes/s run and /metrics is scraped"
    if shutil.which("wrk") is None:
        return [Row(what, "", INSTALL.format("wrk"))]
    with a_target() as target:
        port = free_port()
        with running(agent(home, watched(target, BUSY_CHECKS, BUSY_PERIOD), port), port):
            time.sleep(SETTLE_SECONDS)
            ours, p99 = wrk(port, scrape=True)
        port = free_port()
        with running(script("plain_server.py", port), port):
            plain, plain_p99 = wrk(port)
    whose = "bare aiohttp server doing nothing else"
    return [
        Row(what, f"{ours:.0f}/s", f"{plain:.0f}/s ({whose})", ours / plain),
        Row("its p99", p99, f"{plain_p99} ({whose})"),
    ]


def wrk(port: int, *, scrape: bool = False) -> tuple[float, str]:
    """Requests per second and p99, as wrk prints them."""
    url = f"http://127.0.0.1:{port}/ready"
    command = ["wrk", "-t1", "-c8", f"-d{WINDOW_SECONDS:.0f}s", "--latency", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
        while load.poll() is None:
            if scrape:
                get(port, "/metrics")
            time.sleep(0.5)
        assert load.stdout is not None
        report = load.stdout.read()
    rate, p99 = re.search(r"Requests/sec:\s+(\S+)", report), re.search(r"99%\s+(\S+)", report)
    if rate is None or p99 is None or "Non-2xx" in report:
        raise RuntimeError(f"wrk found something else than 200s:\n{report}")
    return float(rate[1]), p99[1]


def import_memory() -> list[tuple[str, float]]:
    """MiB resident after each import, one on top of the other, in a fresh interpreter."""
    modules = ["asyncio", "msgspec", "yaml", "prometheus_client", "aiohttp.web"]
    code = (
        "import importlib, re, sys\n"
        "def resident(): return int(re.search(r'Rss:\\s+(\\d+)', open('/proc/self/smaps_rollup').read())[1]) / 1024\n"
        "print('python', resident())\n"
        "for name in sys.argv[1:]: importlib.import_module(name); print(name, resident())\n"
    )
    run = subprocess.run([sys.executable, "-c", code, *modules], capture_output=True, text=True, check=True, timeout=60)
    return [(name, float(mib)) for name, mib in map(str.split, run.stdout.splitlines())]


ALL: tuple[Callable[[Path], list[Row]], ...] = (idle_memory, cpu_per_probe, lateness, memory_growth, start, answers)
