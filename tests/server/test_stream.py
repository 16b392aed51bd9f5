"""/events: what a client is told, what it is not told, and what becomes of one that can't keep up."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from agent.engine.events import Event
from agent.server.stream import MOST_CLIENTS, Streams
from tests.server.known import SECRET, Client, Known, serving

FAILED = Event(
    kind="transition",
    name="liveness.failure",
    time=1_700_000_000.25,
    container="model",
    fields={"type": "liveness", "check": "answers", "to": "Failure", "reason": "refused", "evidence": "/var/evidence"},
    detail=f"connect to 127.0.0.1:8000 with {SECRET}",
)


async def _listen(agent: Client) -> aiohttp.ClientResponse:
    response = await agent.session.get("/events")
    assert response.status == 200
    assert await response.content.readuntil(b"\n\n") == b"retry: 2000\n\n"
    return response


async def _next(response: aiohttp.ClientResponse) -> tuple[str, dict[str, Any]]:
    async with asyncio.timeout(5):
        event, data, *_ = (await response.content.readuntil(b"\n\n")).decode().splitlines()
    return event.removeprefix("event: "), json.loads(data.removeprefix("data: "))


async def test_an_event_is_told_to_everybody_with_its_fields_and_without_details() -> None:
    source = Known()
    async with serving(source) as agent:
        clients = [await _listen(agent) for _ in range(3)]
        source.bus.tell(FAILED)
        for client in clients:
            assert client.headers["Content-Type"] == "text/event-stream"
            assert client.headers["Cache-Control"] == "no-store"
            assert await _next(client) == (
                "transition",
                {
                    "time": 1_700_000_000.25,
                    "container": "model",
                    "event": "liveness.failure",
                    "type": "liveness",
                    "check": "answers",
                    "to": "Failure",
                    "reason": "refused",
                },
            )
            client.close()


async def test_details_are_told_where_they_are_permitted_and_secrets_nowhere() -> None:
    source = Known()
    source.details = "full"
    async with serving(source) as agent:
        client = await _listen(agent)
        source.bus.tell(FAILED)
        _, data = await _next(client)
        assert data["detail"] == "connect to 127.0.0.1:8000 with ***"
        assert data["evidence"] == "/var/evidence"
        client.close()


async def test_a_line_feed_in_a_field_can_not_forge_an_event() -> None:
    source = Known()
    async with serving(source) as agent:
        client = await _listen(agent)
        source.bus.tell(Event(kind="state", name="state", time=0, container="model", fields={"to": "a\n\nevent: b"}))
        assert (await _next(client))[1]["to"] == "a\n\nevent: b"
        client.close()


async def test_one_client_too_many_is_told_so_until_another_leaves() -> None:
    source = Known()
    async with serving(source) as agent, aiohttp.ClientSession(agent.session._base_url) as session:
        others = [await _listen(agent) for _ in range(MOST_CLIENTS)]
        async with session.get("/events") as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "10")
        others.pop().close()
        async with asyncio.timeout(5):
            while not await _is_let_in(session):  # noqa: ASYNC110 the server tells nobody that a place is free
                await asyncio.sleep(0.005)
        for client in others:
            client.close()


async def _is_let_in(session: aiohttp.ClientSession) -> bool:
    async with session.get("/events") as response:
        return response.status == 200


async def test_a_client_that_does_not_read_is_dropped_and_the_others_go_on() -> None:
    source = Known()
    async with serving(source) as agent:
        slow = await _listen(agent)
        client = await _listen(agent)
        slow_transport = slow.connection.transport  # type: ignore[union-attr]
        slow_transport.pause_reading()  # type: ignore[union-attr]
        large = Event(kind="state", name="state", time=0, container="model", fields={"to": "x" * 50_000})
        listeners = _streams(source)
        async with asyncio.timeout(20):
            while len(listeners._clients) == 2:
                source.bus.tell(large)
                await _next(client)
        source.bus.tell(FAILED)
        assert (await _next(client))[0] == "transition"
        slow.close()
        client.close()


def _streams(source: Known) -> Streams:
    return source.bus._listeners[0].__self__  # type: ignore[attr-defined, no-any-return]


@pytest.fixture
async def quiet() -> AsyncIterator[tuple[Known, int]]:
    """A stream that comments on every 0.01 s of silence."""
    source = Known()
    streams = Streams(source, touch=lambda _: None, quiet_seconds=0.01)
    server = web.Server(streams.serve, handler_cancellation=True)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    yield source, listening.sockets[0].getsockname()[1]
    streams.close()
    listening.close()
    await server.shutdown(1)


async def test_silence_is_filled_with_comments(quiet: tuple[Known, int]) -> None:
    _, port = quiet
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/") as response:
        async with asyncio.timeout(5):
            assert await response.content.readuntil(b"\n\n") == b"retry: 2000\n\n"
            assert await response.content.readuntil(b"\n\n") == b": nothing new\n\n"
