"""The inference check on real sockets: what it asks, what it accepts, and that it never piles up."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from agent.core.model import Check, CheckType, Outcome, Result, Target
from agent.core.remembered import CANARY, PASSIVE, Canary, Passive, sayings
from agent.engine.worker import look
from agent.probes.inference import Inference
from agent.probes.parts.apis import APIS
from agent.probes.parts.expect import Expect
from agent.probes.parts.request import Header

from .support import Peer, Request, Server, answering, behaving, closed_port, says, silent

PREDICT = Inference(path="/predict", body={"input": 3})
ANSWERS = {
    "openai-completions": b'{"id": "x", "choices": [{"text": "p"}]}',
    "openai-chat": b'{"choices": [{"message": {"content": "p"}}]}',
    "embeddings": b'{"object": "list", "data": [{"embedding": [0.5]}]}',
    "kserve-v2": b'{"model_name": "m", "outputs": []}',
    "v1-predict": b'{"predictions": [1]}',
    "tgi": b'{"generated_text": "p"}',
    "ollama": b'{"model": "m", "response": "p", "done": true}',
    "custom": b"anything",
}
INPUTS: dict[str, Any] = {
    "kserve-v2": {"body": {"inputs": []}},
    "v1-predict": {"body": {"instances": [1]}},
    "custom": {"path": "/predict", "body": {"input": 3}},
}


def of_api(api: Any, **more: Any) -> Inference:
    return Inference(api=api, model="meta/llama", **{**INPUTS.get(api, {}), **more})


async def one(method: Inference, target: Target, timeout: float = 5, **more: Any) -> Result:
    """One round, as a worker runs it."""
    check = Check(
        name="canary", type=CheckType.LIVENESS, method="inference", options=method, timeout_seconds=timeout, **more
    )
    target.timeout = timeout
    return await look(check, target)


def saw(target: Target, **work: Any) -> Target:
    """The server's metrics have told this until now."""
    now = asyncio.get_running_loop().time()
    target.seen[PASSIVE] = Passive(**{"good_at": now, **work})
    return target


async def seen(method: Inference, answer: bytes) -> Request:
    async with answering(says(200, answer)) as server:
        result = await one(method, server.target())
        assert result.outcome is Outcome.SUCCESS, result.detail
        return server.requests[0]


# -- what is asked -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("api", "path", "body"),
    [
        ("openai-completions", "/v1/completions", {"prompt": "ping", "max_tokens": 1}),
        ("openai-chat", "/v1/chat/completions", {"messages": [{"role": "user", "content": "ping"}], "max_tokens": 1}),
        ("embeddings", "/v1/embeddings", {"input": "ping"}),
        ("kserve-v2", "/v2/models/meta%2Fllama/infer", {"inputs": []}),
        ("v1-predict", "/v1/models/meta%2Fllama:predict", {"instances": [1]}),
        ("tgi", "/generate", {"inputs": "ping", "parameters": {"max_new_tokens": 1}}),
        ("ollama", "/api/generate", {"prompt": "ping", "options": {"num_predict": 1}}),
        ("custom", "/predict", {"input": 3}),
    ],
)
async def test_each_api_is_asked_for_the_least_work_and_its_result_is_looked_for(
    api: str, path: str, body: dict[str, Any]
) -> None:
    request = await seen(of_api(api), ANSWERS[api])
    assert (request.method, request.target) == ("POST", path)
    sent = json.loads(request.body)
    assert sent.items() >= body.items()
    assert sent.get("stream") in (None, False)
    named = api in {"openai-completions", "openai-chat", "embeddings", "ollama"}
    assert sent.get("model") == ("meta/llama" if named else None)
    assert await judged(of_api(api), says(200, b'{"error": "no result in here"}')) == (
        ("success", "ok") if api == "custom" else ("failure", "expectation")
    )


def test_every_api_of_the_options_is_known() -> None:
    assert set(APIS) == set(ANSWERS)


async def test_a_server_with_one_model_need_not_be_told_its_name() -> None:
    request = await seen(Inference(api="openai-completions"), ANSWERS["openai-completions"])
    assert "model" not in json.loads(request.body)


async def test_a_map_is_laid_over_the_apis_own_body_and_text_replaces_it() -> None:
    laid = await seen(of_api("openai-chat", body={"max_tokens": 9}), ANSWERS["openai-chat"])
    assert json.loads(laid.body).items() >= {"max_tokens": 9, "model": "meta/llama"}.items()
    replaced = await seen(of_api("openai-chat", body="ping"), ANSWERS["openai-chat"])
    assert replaced.body == b"ping"
    assert replaced.header("Content-Type") == "text/plain; charset=utf-8"


async def test_it_says_that_it_is_a_canary_so_that_billing_and_metrics_can_leave_it_out() -> None:
    request = await seen(PREDICT, b"9")
    assert request.header("X-Health-Check") == "canary"
    assert (request.header("User-Agent") or "").startswith("model-health-agent/")
    assert request.header("Content-Type") == "application/json"
    assert request.header("Connection") == "close"


async def test_the_checks_own_headers_win(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("Bearer hunter2\n")
    headers = (
        Header(name="content-type", value="application/x-ndjson"),
        Header(name="authorization", value_file=str(tmp_path / "key")),
        Header(name="Host", value="model.example"),
    )
    request = await seen(Inference(path="/predict", body="{}", http_headers=headers), b"9")
    names = [name for name, _ in request.headers]
    assert names.count("Content-Type") == names.count("Host") == 1
    assert (request.header("Content-Type"), request.header("Host")) == ("application/x-ndjson", "model.example")
    assert request.header("Authorization") == "Bearer hunter2"


async def test_without_a_body_it_is_a_get() -> None:
    request = await seen(Inference(path="/generate_health"), b"")
    assert (request.method, request.target, request.body) == ("GET", "/generate_health", b"")
    assert request.header("Content-Type") is None
    assert (await seen(Inference(path="/p", method="PUT", body="x"), b"")).method == "PUT"


@pytest.mark.parametrize(
    ("options", "paths"),
    [
        ({}, ["path"]),
        ({"path": "/x\r\nEvil: y"}, ["path"]),
        ({"api": "kserve-v2"}, ["model", "body"]),
        ({"api": "kserve-v2", "path": "/v2/models/m/infer", "body": {}}, []),
        ({"api": "v1-predict", "model": "m"}, ["body"]),
        ({"api": "ollama"}, ["model"]),
        ({"api": "ollama", "body": {"model": "m"}}, []),
        ({"api": "openai-chat"}, []),
        ({"api": "tgi", "host": "http://h"}, ["host"]),
        ({"path": "/", "method": "GET", "body": "x"}, ["body"]),
        ({"path": "/", "body": {"input": "x" * 65536}}, ["body"]),
        ({"path": "/", "expect": Expect(status=())}, ["expect.status"]),
        ({"path": "/", "http_headers": (Header(name="a b", value="x"),)}, ["http_headers[0].name"]),
    ],
)
def test_options_that_make_no_request_are_told(options: dict[str, Any], paths: list[str]) -> None:
    assert [path for path, _ in Inference(**options).check_options()] == paths


# -- what is accepted ----------------------------------------------------------------------------------------------


async def judged(method: Inference, answer: bytes) -> tuple[str, str]:
    async with answering(answer) as server:
        result = await one(method, server.target())
        assert "secret" not in result.detail
        return str(result.outcome), result.reason


@pytest.mark.parametrize(
    ("expect", "answer", "found"),
    [
        (None, says(200, b"secret"), ("success", "ok")),
        (None, says(201), ("success", "ok")),
        (None, says(302, Location="/elsewhere"), ("failure", "status")),
        (None, says(400, b"secret"), ("failure", "status")),
        (None, says(500), ("failure", "status")),
        (None, says(503), ("failure", "status")),
        (None, says(429), ("error", "skipped_busy")),
        (Expect(status=(429,)), says(429), ("success", "ok")),
        (Expect(status=("200-299",)), says(429), ("error", "skipped_busy")),
        (Expect(json={"$.output": 9}), says(200, b'{"output": 9}'), ("success", "ok")),
        (Expect(json={"$.output": 9}), says(200, b'{"output": 8}'), ("failure", "expectation")),
        (Expect(json={"$.output": 9}), says(200, b'{"output": 9, "more": "%s"}' % (b"x" * 99_000)), ("success", "ok")),
        (Expect(body_contains="9"), says(200, b"8 secret"), ("failure", "expectation")),
        (None, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", ("failure", "body")),
        (None, b"not http\r\n\r\n", ("failure", "protocol")),
        (None, b"", ("failure", "reset")),
    ],
)
async def test_only_the_expected_answer_is_good(expect: Expect | None, answer: bytes, found: tuple[str, str]) -> None:
    assert await judged(Inference(path="/predict", body={"input": 3}, expect=expect), answer) == found


async def test_ollamas_full_queue_says_that_it_is_busy() -> None:
    assert await judged(of_api("ollama"), says(503)) == ("error", "skipped_busy")


async def test_a_refused_connection_is_a_failure() -> None:
    result = await one(PREDICT, Target("model", "127.0.0.1", closed_port()))
    assert (result.outcome, result.reason) == (Outcome.FAILURE, "refused")


async def test_what_the_agent_itself_lacks_is_an_error_and_no_canary(tmp_path: Path) -> None:
    method = Inference(path="/p", http_headers=(Header(name="A", value_file=str(tmp_path / "none")),))
    async with answering(says()) as server:
        target = server.target()
        result = await one(method, target)
        assert (result.outcome, result.reason, server.connections) == (Outcome.ERROR, "internal", 0)
        assert (target.seen[CANARY].in_flight, target.seen[CANARY].failed_at) == (False, None)


# -- how long it waits ---------------------------------------------------------------------------------------------


async def test_it_is_tried_once_and_its_connection_is_closed_at_the_time_out() -> None:
    closed = asyncio.Event()

    async def behaviour(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")  # also where a body has begun
        await peer.reader.read()
        closed.set()

    async with behaving(behaviour) as server:
        result = await one(PREDICT, server.target(), 0.1)
        assert (result.outcome, result.reason) == (Outcome.FAILURE, "timeout")
        await asyncio.wait_for(closed.wait(), 5)
        assert server.connections == 1


@pytest.mark.parametrize(("overload", "waits"), [(None, 0.4), (0.2, 0.2), (0.01, 0.1)])
async def test_where_no_metrics_tell_it_waits_longer(overload: float | None, waits: float) -> None:
    method = Inference(path="/p", overload_timeout_seconds=overload)
    async with behaving(silent) as server:
        result = await one(method, server.target(), 0.1)
    assert (result.outcome, result.reason) == (Outcome.FAILURE, "timeout")
    assert waits <= result.duration + 0.01 < waits + 0.5


async def test_by_default_that_is_two_minutes() -> None:
    assert PREDICT.alone_after(PREDICT.default_timeout_seconds) == 120.0


@pytest.mark.parametrize(
    ("risen", "outcome", "reason"), [(False, Outcome.FAILURE, "hung"), (True, Outcome.ERROR, "skipped_busy")]
)
async def test_where_metrics_tell_silence_is_a_hang_only_without_work(
    risen: bool, outcome: Outcome, reason: str
) -> None:
    """Late alone is not hung: a server at work has others to answer first."""
    async with behaving(silent) as server:
        target = saw(server.target(), in_flight=4.0)
        round_ = asyncio.create_task(one(PREDICT, target, 0.3))
        await asyncio.sleep(0.1)
        now = asyncio.get_running_loop().time()
        saw(target, in_flight=4.0, risen_at=now if risen else None)
        result = await round_
    assert (result.outcome, result.reason) == (outcome, reason)
    assert result.duration < 0.6, "it waited for its time-out, not for four of them"
    assert [said.state for said in sayings(target.seen).values()] == ["" if risen else "hung"]
    assert target.seen[CANARY].overdue == target.seen[CANARY].sent_at


async def test_the_container_is_called_hung_until_there_is_an_answer_of_any_kind() -> None:
    method = Inference(path="/p", overload_timeout_seconds=0.1, cooldown_seconds=0)
    async with behaving(silent) as server:
        target = server.target()
        assert (await one(method, target, 0.1)).reason == "timeout"
    assert [said.state for said in sayings(target.seen).values()] == ["hung"]
    async with answering(says(500)) as other:
        target.port = other.port
        assert (await one(method, target, 0.1)).reason == "status"
    assert [said.state for said in sayings(target.seen).values()] == [""]


async def test_nor_is_it_called_hung_once_work_is_seen_again() -> None:
    method = Inference(path="/p", overload_timeout_seconds=0.1, cooldown_seconds=0)
    async with behaving(silent) as server:
        target = server.target()
        assert (await one(method, target, 0.1)).reason == "timeout"
        saw(target, risen_at=asyncio.get_running_loop().time())
        assert (await one(method, target, 0.1)).reason == "skipped_busy"
    assert [said.state for said in sayings(target.seen).values()] == [""]


# -- and when it is not sent ---------------------------------------------------------------------------------------


async def test_while_work_is_seen_none_is_sent() -> None:
    async with answering(says()) as server:
        target = saw(server.target(), risen_at=asyncio.get_running_loop().time())
        result = await one(PREDICT, target)
        assert (result.outcome, result.reason, server.connections) == (Outcome.ERROR, "skipped_busy", 0)
        assert CANARY not in target.seen
        warm = await one(Inference(path="/predict", warm=True), target)
        assert (warm.outcome, server.connections) == (Outcome.SUCCESS, 1)
        again = await one(Inference(path="/predict", warm=True), target)
        assert (again.reason, server.connections) == ("skipped_busy", 1)


async def test_after_one_without_an_answer_the_next_waits_for_the_cooldown() -> None:
    method = Inference(path="/p", cooldown_seconds=0.3, overload_timeout_seconds=0.1)
    async with behaving(silent) as server:
        target = server.target()
        assert (await one(method, target, 0.1)).reason == "timeout"
        assert (await one(method, target, 0.1)).reason == "skipped_busy"
        assert server.connections == 1
        await asyncio.sleep(0.3)
        assert (await one(method, target, 0.1)).reason == "timeout"
        assert server.connections == 2


async def test_checks_that_ask_the_same_wait_for_one_request() -> None:
    """So that neither of two checks starves the other, and a server is never asked twice at once."""
    release = asyncio.Event()

    async def behaviour(peer: Peer) -> None:
        await peer.request()
        await release.wait()
        await peer.send(says())

    async with behaving(behaviour) as server:
        first, second = server.target(), server.target()
        second.seen = first.seen
        rounds = [asyncio.create_task(one(PREDICT, first)), asyncio.create_task(one(PREDICT, second))]
        await until_connected(server)
        third = server.target(seen=first.seen)
        other = await one(Inference(path="/other"), third, 0.1)
        assert (other.outcome, other.reason) == (Outcome.ERROR, "skipped_busy")
        release.set()
        assert [result.outcome for result in await asyncio.gather(*rounds)] == [Outcome.SUCCESS] * 2
        assert server.connections == 1
        assert (await one(Inference(path="/other"), third)).outcome is Outcome.SUCCESS


async def test_checks_that_ask_something_else_take_turns() -> None:
    """However many begin at once, each is asked, one after the other, and none starves."""
    at_once: list[int] = []
    open_now = 0

    async def behaviour(peer: Peer) -> None:
        nonlocal open_now
        await peer.request()
        open_now += 1
        at_once.append(open_now)
        await asyncio.sleep(0.02)
        open_now -= 1
        await peer.send(says())

    async with behaving(behaviour) as server:
        target = server.target()
        rounds = [one(Inference(path=f"/{n}"), server.target(seen=target.seen), 10) for n in range(6)]
        assert [str(result.outcome) for result in await asyncio.gather(*rounds)] == ["success"] * 6
    assert at_once == [1] * 6


async def test_whoever_waits_for_another_canary_that_is_lost_sends_none() -> None:
    """The server has not answered: the next one waits for the cooldown, whosever it is."""
    async with behaving(silent) as server:
        target = server.target()
        first = asyncio.create_task(one(Inference(path="/a", overload_timeout_seconds=0.1), target, 0.1))
        await until_connected(server)
        second = await one(Inference(path="/b"), server.target(seen=target.seen), 5)
        assert (await first).reason == "timeout"
        assert (second.outcome, second.reason, server.connections) == (Outcome.ERROR, "skipped_busy", 1)


async def test_a_check_that_leaves_at_its_time_out_leaves_the_request_to_the_other() -> None:
    gone = asyncio.Event()

    async def behaviour(peer: Peer) -> None:
        await peer.request()
        await peer.reader.read()
        gone.set()

    hasty = Inference(path="/p", overload_timeout_seconds=0.1)
    patient = Inference(path="/p", overload_timeout_seconds=0.5)
    async with behaving(behaviour) as server:
        target = server.target()
        other = asyncio.create_task(one(patient, server.target(seen=target.seen), 0.1))
        assert (await one(hasty, target, 0.1)).reason == "timeout"
        assert not gone.is_set()
        assert (await one(hasty, target, 0.1)).reason == "skipped_busy", "it has said what it thinks of this one"
        assert target.seen[CANARY].overdue is not None
        assert (await other).reason == "timeout"
        await asyncio.wait_for(gone.wait(), 5)
        assert server.connections == 1


async def test_a_check_that_is_dismissed_closes_its_connection_and_leaves_no_canary_in_flight() -> None:
    gone = asyncio.Event()

    async def behaviour(peer: Peer) -> None:
        await peer.reader.read()
        gone.set()

    async with behaving(behaviour) as server:
        target = server.target()
        round_ = asyncio.create_task(one(PREDICT, target))
        await until_connected(server)
        round_.cancel()
        await asyncio.gather(round_, return_exceptions=True)
        await asyncio.wait_for(gone.wait(), 5)
        found: Canary = target.seen[CANARY]
        assert (found.in_flight, found.overdue, found.failed_at) == (False, None, None)


async def until_connected(server: Server) -> None:
    async with asyncio.timeout(5):
        while not server.connections:  # noqa: ASYNC110 - the server is no task of ours
            await asyncio.sleep(0.005)
