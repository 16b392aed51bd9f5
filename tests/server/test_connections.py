"""Slow, silent and too many connections."""

import asyncio
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import pytest
from aiohttp import web

from agent.server.connections import Connections

READY = b"GET / HTTP/1.1\r\nHost: agent\r\n\r\n"
Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def _serving(idle_seconds: float) -> AsyncIterator[int]:
    async def answer(request: web.BaseRequest) -> web.Response:
        connections.touch(request.protocol)
        return web.Response(text="ok")

    server = web.Server(answer)
    connections = Connections(server, idle_seconds)
    listening = await asyncio.get_running_loop().create_server(connections, "127.0.0.1", 0)
    yield listening.sockets[0].getsockname()[1]
    listening.close()
    await connections.close(1)


async def _ask(client: Client) -> bytes:
    reader, writer = client
    writer.write(READY)
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2)
    return head.split(b"\r\n")[0]


async def _end(client: Client) -> None:
    with suppress(ConnectionResetError):
        async with asyncio.timeout(5):
            await client[0].read()


@pytest.mark.parametrize("said", [b"", b"GET / HT", READY.replace(b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\n12")])
async def test_a_client_that_says_nothing_or_half_a_request_is_shown_out_and_a_busy_one_is_not(said: bytes) -> None:
    async with _serving(idle_seconds=0.05) as port:
        busy = await asyncio.open_connection("127.0.0.1", port)
        idle = await asyncio.open_connection("127.0.0.1", port)
        idle[1].write(said)
        ended = asyncio.ensure_future(_end(idle))
        while not ended.done():
            assert await _ask(busy) == b"HTTP/1.1 200 OK"
        await ended
        for _, writer in (busy, idle):
            writer.close()


@contextmanager
def _file_descriptors(most: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_at_the_limit_the_longest_idle_connection_goes_for_the_newest() -> None:
    """A quarter of the file descriptors is for clients; a probe, the newest, is always let in."""
    with _file_descriptors(400):
        async with _serving(idle_seconds=60) as port:
            busy = await asyncio.open_connection("127.0.0.1", port)
            assert await _ask(busy) == b"HTTP/1.1 200 OK"
            silent = []
            for _ in range(99):
                silent.append(await asyncio.open_connection("127.0.0.1", port))
                silent[-1][1].write(b"GET / HT")
            newest = await asyncio.open_connection("127.0.0.1", port)
            assert await _ask(newest) == b"HTTP/1.1 200 OK"
            await _end(silent[0])
            assert await _ask(busy) == b"HTTP/1.1 200 OK"
            for _, writer in (busy, newest, *silent):
                writer.close()
