"""The listener itself: methods, unknown paths, hostile and slow clients, and closing in bounded time."""

import asyncio
import time
from collections.abc import Callable

import pytest
from aiohttp import web

from agent.core.settings import Server
from agent.engine.events import Event
from agent.server import public
from tests.server.known import Known, serving

READY = b"GET /ready HTTP/1.1\r\nHost: agent\r\n\r\n"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/ready", "/status", "/nowhere"])
async def test_only_get_and_head_are_allowed(method: str, path: str) -> None:
    async with serving(Known()) as agent:
        status, _, headers = await agent.fetch(path, method)
        assert (status, headers["allow"]) == (405, "GET, HEAD")
        assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/", "/ready", "/metrics", "/status", "/events", "/healthz/model", "/-/healthy"])
async def test_head_says_what_get_would_and_sends_no_body(path: str) -> None:
    async with serving(Known()) as agent:
        status, body, headers = await agent.fetch(path, "HEAD")
        assert (status, body) == (200, "")
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/nowhere", "/healthz/", "/status/model", "/-/reload", "/events/x"])
async def test_an_unknown_path_is_answered_with_the_list_of_endpoints(path: str) -> None:
    async with serving(Known()) as agent:
        status, body, _ = await agent.fetch(path)
        assert status == 404
        for known in ("/healthz/NAME", "/ready", "/metrics", "/status", "/events", "/-/healthy"):
            assert f"{known}\n" in body


async def test_a_percent_encoded_or_absolute_target_is_understood() -> None:
    async with serving(Known()) as agent:
        for target in (b"/%72eady", b"/ready?", b"http://agent/ready", b"/healthz/%6dodel"):
            answer = await _say(agent.port, READY.replace(b"/ready", target, 1))
            assert answer.startswith(b"HTTP/1.1 200 "), target


@pytest.mark.parametrize(
    "target",
    [b"/%ff%fe", b"/healthz/%00", b"/ready?exclude=%ff&verbose=%", b"/status?container=%f0%28%8c", b"/healthz/\xc3\xa9",
     b"/healthz/../metrics", b"/;a=b?c#d", b"/healthz/" + b"%2f" * 900, b"*", b"http://[::1/ready", b"//ready",
     b"/ready%0d%0aX: y"],
)  # fmt: skip
async def test_a_hostile_target_never_makes_the_listener_fail(target: bytes) -> None:
    async with serving(Known()) as agent:
        answer = await _say(agent.port, READY.replace(b"/ready", target, 1))
        head, _, body = answer.partition(b"\r\n\r\n")
        # Where aiohttp's own parser gives up (3.10 on an unclosed bracket), the connection ends without an answer.
        assert not answer or head.split(b" ")[1] in {b"200", b"400", b"404"}, answer
        assert await agent.status("/ready") == 200
        assert b"\r\nX:" not in head
        assert body.isascii()


async def test_garbage_is_refused_without_a_word_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(Known()) as agent:
        for garbage in (
            b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
            b"GET\r\n\r\n",
            b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n",
        ):
            assert (await _say(agent.port, garbage)).startswith(b"HTTP/1."), garbage
        assert await agent.status("/ready") == 200
    assert caplog.records == []


async def test_a_body_is_not_read_and_does_not_delay_the_answer() -> None:
    async with serving(Known()) as agent:
        reader, writer = await asyncio.open_connection("127.0.0.1", agent.port)
        writer.write(b"GET /ready HTTP/1.1\r\nHost: agent\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 100_000)
        assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"
        writer.close()


async def test_requests_are_answered_while_others_dawdle() -> None:
    async with serving(Known()) as agent:
        dawdlers = [await asyncio.open_connection("127.0.0.1", agent.port) for _ in range(20)]
        for _, writer in dawdlers:
            writer.write(b"GET /ready HT")
        assert await agent.status("/ready") == 200
        for _, writer in dawdlers:
            writer.close()


async def test_closing_is_bounded_with_open_streams_and_half_open_clients() -> None:
    source = Known()
    listener = await public.start(source, Server(host="127.0.0.1", port=0))
    clients = [await asyncio.open_connection("127.0.0.1", listener.port) for _ in range(9)]
    for (_, writer), said in zip(clients, [READY.replace(b"/ready", b"/events"), READY, b"GET /rea"] * 3, strict=True):
        writer.write(said)
    for reader, _ in (clients[0], clients[1]):
        assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"
    started = time.monotonic()
    await listener.close()
    assert time.monotonic() - started < 3
    for reader, writer in clients:
        async with asyncio.timeout(2):
            await _rest(reader)  # every connection has ended
        writer.close()
    with pytest.raises(OSError, match=r"."):
        await asyncio.open_connection("127.0.0.1", listener.port)
    source.bus.tell(Event(kind="state", name="state", time=0, container="model", fields={}))  # nobody listens any more


async def test_a_client_that_never_reads_can_not_hold_up_closing() -> None:
    source = Known()
    listener = await public.start(source, Server(host="127.0.0.1", port=0))
    _, writer = await asyncio.open_connection("127.0.0.1", listener.port, limit=1024)
    writer.write(READY.replace(b"/ready", b"/metrics") * 5000)
    await _until(lambda: any(_unsent(handler) > 10_000 for handler in listener._public.server.connections))
    started = time.monotonic()
    await listener.close()
    assert time.monotonic() - started < 4
    writer.close()


def _unsent(handler: web.RequestHandler) -> int:
    return handler.transport.get_write_buffer_size() if handler.transport else 0


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 a full socket buffer sends no event
            await asyncio.sleep(0.005)


async def _say(port: int, said: bytes) -> bytes:
    """Send, and return all that comes before the connection ends; the request asks for the end where it can."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(said.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    try:
        async with asyncio.timeout(5):
            return await _rest(reader)
    finally:
        writer.close()


async def _rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
