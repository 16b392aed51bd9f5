"""The progress method over real sockets: what it reads of which page, and what it makes of pages it can't read."""

import asyncio
import gzip
import ssl
import time
from pathlib import Path
from typing import Any

import pytest

from agent.core.gpu import SLOWED
from agent.core.model import Check, CheckType, Outcome, Result, Target
from agent.core.remembered import Answer, Canary, canary, note_answer, passive, sayings
from agent.core.series import SERIES, SERVER_NAMES
from agent.engine.worker import look
from agent.probes.parts.request import Header
from agent.probes.parts.scrape import INLINE_BYTES, MAX_BYTES
from agent.probes.progress import Progress

from .support import Peer, Request, Server, answering, attempt, behaving, closed_port, says, silent

VLLM = Progress(server="vllm")


def page(running: int, steps: int, waiting: int = 0, engine: str = "0") -> bytes:
    labels = f'{{engine="{engine}",model_name="m"}}'
    return (
        f"vllm:num_requests_running{labels} {running}\nvllm:num_requests_waiting{labels} {waiting}\n"
        f"vllm:iteration_tokens_total_count{labels} {steps}\n"
    ).encode()


def chunked(body: bytes) -> bytes:
    pieces = [body[at : at + 100] for at in range(0, len(body), 100)]
    coded = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + coded + b"0\r\n\r\n"


class Pages:
    """Answers the pages one after the other, the last for ever."""

    def __init__(self, *pages: bytes) -> None:
        self.pages = list(pages)

    def __call__(self, _: Request) -> bytes:
        return self.pages.pop(0) if len(self.pages) > 1 else self.pages[0]


def target_of(server: Server, **given: Any) -> Target:
    return Target("model", "127.0.0.1", server.port, check="liveness/progress", **given)


async def looks(method: Progress, target: Target, count: int) -> list[str]:
    """The results of so many looks, in words."""
    return [str(result.outcome) for result in [await attempt(method, target) for _ in range(count)]]


# -- what is read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [says(body=page(3, 10)), chunked(page(3, 10)), says(body=gzip.compress(page(3, 10)), Content_Encoding="gzip"),
     b"HTTP/1.0 200 OK\r\n\r\n" + page(3, 10)],
    ids=["whole", "chunked", "gzipped", "without a length"],
)  # fmt: skip
async def test_a_page_is_read_however_it_is_sent(answer: bytes) -> None:
    async with answering(answer) as server:
        found = await attempt(VLLM, target_of(server))
    assert (found.outcome, found.detail) == ("success", "working: 3 in flight")
    request = server.requests[0]
    assert (request.method, request.target) == ("GET", "/metrics")
    assert request.header("Accept") == "text/plain;version=0.0.4,*/*;q=0.1"
    assert request.header("Accept-Encoding") is None


async def test_path_port_headers_and_series_of_ones_own() -> None:
    method = Progress(
        metrics="/stats?format=prometheus",
        port="metrics",
        http_headers=(Header(name="Accept", value="text/plain"), Header(name="Authorization", value="Bearer hunter2")),
        busy=("in_flight",),
        counters=("done_total",),
    )
    async with answering(says(body=b"in_flight 2\ndone_total 5\n")) as server:
        found = await attempt(method, Target("model", "127.0.0.1", 1, {"metrics": server.port}))
    assert found.detail == "working: 2 in flight"
    request = server.requests[0]
    assert request.target == "/stats?format=prometheus"
    assert [value for name, value in request.headers if name == "Accept"] == ["text/plain"]
    assert request.header("Authorization") == "Bearer hunter2"


async def test_a_page_behind_tls(served: ssl.SSLContext) -> None:
    async with answering(says(body=page(0, 1)), tls=served) as server:
        assert (await attempt(Progress(server="vllm", scheme="https"), target_of(server))).detail == "idle"


async def test_names_given_beside_a_server_replace_its_own_and_the_others_stay() -> None:
    method = Progress(server="vllm", counters=("steps_total",), metrics="/m")
    assert (method.series.counters, method.series.busy) == (("steps_total",), SERIES["vllm"].busy)
    assert (method.series.path, Progress(server="tfserving").series.path) == ("/m", "/monitoring/prometheus/metrics")


@pytest.mark.parametrize("name", SERVER_NAMES)
async def test_every_server_that_is_known_is_read(name: Any) -> None:
    """A page with each of its series, spelt as selectors allow."""
    series = SERIES[name]
    names = {text.partition("{")[0] for text in (*series.busy, *series.waiting, *series.counters)}
    labels = 'code="200",http_response_code="200",method="POST",stage="one"'
    async with answering(says(body="".join(f"{n}{{{labels}}} 7\n" for n in names).encode())) as server:
        found = await attempt(Progress(server=name), target_of(server))
    assert found.outcome is Outcome.SUCCESS
    assert found.detail.startswith("working" if series.busy or series.waiting else "idle")


# -- what is made of it -----------------------------------------------------------------------------------------------


async def test_what_is_seen_is_said_of_the_container_and_left_for_the_canary() -> None:
    pages = Pages(*(says(body=body) for body in (page(0, 10), page(3, 10, waiting=2), page(3, 20), page(3, 20))))
    async with answering(pages) as server:
        target = target_of(server)
        for state, in_flight, waiting in (("idle", 0, 0), ("stalling", 5, 2), ("working", 3, 0), ("stalling", 3, 0)):
            await attempt(VLLM, target)
            assert sayings(target.seen)["liveness/progress"].state == state
            told = passive(target.seen)
            assert (told.in_flight, told.waiting, told.confirm) == (in_flight, waiting, False)
        assert told.good_at is not None
        assert told.risen_at is not None
        assert told.risen_at < told.good_at


async def test_a_stall_that_takes_readiness_away_is_to_be_confirmed() -> None:
    async with answering(says(body=page(3, 20, waiting=1))) as server:
        target = target_of(server)
        quick = Progress(server="vllm", warn_after_seconds=0.05, hung_after_seconds=60)
        for _ in range(3):
            await attempt(quick, target)
            await asyncio.sleep(0.05)
    assert sayings(target.seen)["liveness/progress"].unready
    assert passive(target.seen).confirm


async def test_a_hang_is_a_failure_and_its_detail_names_the_engine() -> None:
    quick = Progress(server="vllm", warn_after_seconds=0.05, hung_after_seconds=0.1)
    async with answering(says(body=page(3, 20, waiting=1, engine="5"))) as server:
        target = target_of(server)
        for _ in range(5):
            found = await attempt(quick, target)
            await asyncio.sleep(0.05)
    assert (found.outcome, found.reason) == ("failure", "hung")
    assert found.detail.startswith("engine=5 model_name=m: no progress for ")
    assert sayings(target.seen)["liveness/progress"].state == "hung"


@pytest.mark.parametrize(("ago", "most"), [(None, 120), (0, 240), (59, 240), (61, 120)])
async def test_on_a_gpu_that_the_hardware_slows_a_stall_may_last_twice_as_long(ago: float | None, most: int) -> None:
    async with answering(says(body=page(3, 20))) as server:
        target = target_of(server)
        if ago is not None:
            target.seen[SLOWED] = asyncio.get_running_loop().time() - ago
        await attempt(VLLM, target)
        found = await attempt(VLLM, target)
    assert f" of {most} s " in found.detail


async def test_two_checks_of_one_container_have_a_clock_each() -> None:
    async with answering(says(body=page(3, 20))) as server:
        target = target_of(server)
        await attempt(VLLM, target)
        await attempt(VLLM, target)
        other = Target("model", "127.0.0.1", server.port, check="readiness/progress", seen=target.seen)
        await attempt(VLLM, other)
    assert {path: said.state for path, said in sayings(target.seen).items()} == {
        "liveness/progress": "stalling", "readiness/progress": "working",
    }  # fmt: skip


async def test_other_options_begin_with_an_empty_memory() -> None:
    """After a reload the same check may look for other series."""
    async with answering(says(body=page(3, 20))) as server:
        target = target_of(server)
        await attempt(VLLM, target)
        assert (await attempt(VLLM, target)).detail.startswith("stalling")
        assert (await attempt(Progress(server="vllm", hung_after_seconds=7), target)).detail.startswith("working")


async def test_the_requests_in_flight_can_be_asked_for_without_a_look() -> None:
    async with answering(Pages(says(body=page(3, 20, waiting=4)), says(body=b"other 1\n"), says(500))) as server:
        target = target_of(server)
        assert [await VLLM.in_flight(target) for _ in range(3)] == [7, None, None]
    assert target.seen == {}


async def test_a_canary_that_waits_while_all_reads_zero_is_seen() -> None:
    quick = Progress(server="vllm", warn_after_seconds=0.05, hung_after_seconds=0.1)
    async with answering(says(body=page(0, 20))) as server:
        target = target_of(server)
        assert (await attempt(quick, target)).detail == "idle"
        now = asyncio.get_running_loop().time()
        target.seen["canary"] = Canary(now, failed_at=now, overdue=now)
        assert canary(target.seen) is not None
        for _ in range(4):
            await asyncio.sleep(0.05)
            found = await attempt(quick, target)
    assert (found.outcome, found.reason) == ("failure", "hung")
    assert found.detail.startswith("a canary waits, and for ")


# -- what can't be read -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (says(500), "statuscode: 500"),
        (says(302, Location="/elsewhere"), "statuscode: 302"),
        (says(body=b"x" * (MAX_BYTES + 1)), f"more than {MAX_BYTES} bytes"),
        (says(body=gzip.compress(b"\0" * (MAX_BYTES + 1))), f"more than {MAX_BYTES} bytes when unzipped"),
        (says(body=b"\x1f\x8bnonsense"), "the gzipped body cannot be read"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nvllm", "the body ended after 4 of 100 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "malformed chunk"),
        (b"SSH-2.0-x\r\n", "the answer is not HTTP/1"),
        (says(body=b"other_total 1\n"), "none of the series was found: is it this server, and the right path?"),
    ],
    ids=["500", "redirect", "too long", "a bomb", "no gzip", "cut off", "bad chunk", "no HTTP", "another server"],
)  # fmt: skip
async def test_a_page_that_can_not_be_read_is_blind_and_no_failure(answer: bytes, why: str) -> None:
    async with answering(answer) as server:
        found = await attempt(VLLM, target_of(server))
    assert (found.outcome, found.reason) == ("warning", "blind")
    assert found.detail.endswith(why)


async def test_refused_is_blind_until_it_was_up_and_refused_three_times_since() -> None:
    async with answering(says(body=page(0, 1))) as server:
        target = target_of(server)
        assert await looks(VLLM, target, 1) == ["success"]
    assert await looks(VLLM, target, 4) == ["warning", "warning", "failure", "failure"]
    assert sayings(target.seen)["liveness/progress"].state == "down"
    never = Target("model", "127.0.0.1", closed_port())
    assert await looks(VLLM, never, 4) == ["warning"] * 4


async def test_blind_for_long_beside_a_failing_health_answer_is_unresponsive() -> None:
    quick = Progress(server="vllm", blind_after_seconds=0.1)
    async with answering(says(503)) as server:
        target = target_of(server)
        first = await attempt(quick, target)
        await asyncio.sleep(0.12)
        alone = await attempt(quick, target)
        late = Answer("http_get", Result(Outcome.FAILURE, "timeout"), asyncio.get_running_loop().time())
        note_answer(target.seen, "liveness/answers", late)
        found = await attempt(quick, target)
    assert [first.reason, alone.reason] == ["blind", "blind"]
    assert (found.outcome, found.reason) == ("failure", "unresponsive")
    assert sayings(target.seen)["liveness/progress"].state == "hung"


async def test_the_workers_deadline_is_a_bad_scrape_also_in_the_middle_of_the_body() -> None:
    async def stalls(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nvllm")
        await peer.reader.read()

    for behaviour in (silent, stalls):
        async with behaving(behaviour) as server:
            check = Check(
                name="progress", type=CheckType.LIVENESS, method="progress", options=VLLM, timeout_seconds=0.1
            )
            target = target_of(server, timeout=0.1)
            found = await look(check, target)
        assert (found.outcome, found.reason) == ("warning", "blind")
        assert found.detail == "no metrics: not read within 0.1 s"
        assert server.connections == 1, "it is no error: nothing is tried again"


async def test_what_the_agent_itself_lacks_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    method = Progress(server="vllm", http_headers=(Header(name="Authorization", value_file=str(tmp_path / "absent")),))
    target = Target("model", "127.0.0.1", closed_port())
    found = await attempt(method, target)
    assert (found.outcome, found.reason) == ("error", "internal")
    assert target.seen == {}


async def test_before_the_startup_success_a_page_is_what_a_startup_check_waits_for() -> None:
    async with answering(Pages(says(503), says(body=page(3, 1)))) as server:
        target = target_of(server)
        target.started = False
        assert await looks(VLLM, target, 2) == ["failure", "success"]
    assert sayings(target.seen)["liveness/progress"].state == ""


# -- how much it costs ------------------------------------------------------------------------------------------------


async def test_ten_megabytes_are_searched_beside_the_event_loop() -> None:
    """In bounded time, and while it is searched the loop goes on turning."""
    other = b'vllm:time_to_first_token_seconds_bucket{engine="0",le="0.25",model_name="llama"} 12345.0\n'
    body = other * ((MAX_BYTES - 2000) // len(other)) + page(3, 10)
    assert len(body) > INLINE_BYTES
    lags: list[float] = []

    async def turn() -> None:
        clock = time.perf_counter
        while True:
            begun = clock()
            await asyncio.sleep(0.001)
            lags.append(clock() - begun)

    async with answering(says(body=body)) as server:
        turning = asyncio.create_task(turn())
        try:
            found = await attempt(VLLM, target_of(server))
        finally:
            turning.cancel()
            await asyncio.gather(turning, return_exceptions=True)
    assert found.detail == "working: 3 in flight"
    assert len(lags) > 20
    assert max(lags) < 0.3, "that much this machine may lag by itself"


# -- options ----------------------------------------------------------------------------------------------------------


def test_a_server_or_counters_of_ones_own_are_needed() -> None:
    assert Progress(busy=("a",)).check_options() == [
        ("server", "name one of the servers whose series are known, or `counters` of your own")
    ]
    assert Progress(counters=("a_total",)).check_options() == []


def test_every_name_is_looked_at_and_every_block() -> None:
    method = Progress(
        counters=("good", "sum(bad)"), per=("engine",), host="http://h", metrics="/a\nb",
        http_headers=(Header(name="X Y", value="v"),),
    )  # fmt: skip
    assert [path for path, _ in method.check_options()] == ["metrics", "host", "counters[1]", "http_headers[0].name"]
