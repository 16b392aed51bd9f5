"""Small real servers for probes to look at, well-behaved and otherwise."""

import asyncio
import random
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from agent.core.model import Method, Result, Target


class Request:
    """What a server understood of a request."""

    def __init__(self, head: bytes, body: bytes) -> None:
        first, *lines = head.decode().split("\r\n")
        self.method, self.target, self.version = first.split(" ")
        self.headers = [(name, value.lstrip()) for name, _, value in (line.partition(":") for line in lines)]
        self.body = body

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def request(self) -> Request:
        head = (await self.reader.readuntil(b"\r\n\r\n"))[:-4]
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")), 0)
        return Request(head, await self.reader.readexactly(length))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def drip(self, data: bytes) -> None:
        """One byte a segment, as fast as the event loop turns."""
        for index in range(len(data)):
            await self.send(data[index : index + 1])
            await asyncio.sleep(0)

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Behaviour = Callable[[Peer], Awaitable[None]]


class Server:
    """A listening server: its port, and every request that `answering` understood."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self.requests: list[Request] = []

    def target(self, **given: Any) -> Target:
        return Target("model", "127.0.0.1", self.port, **given)


@asynccontextmanager
async def behaving(
    behaviour: Behaviour, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Server]:
    """A server that does ``behaviour`` to every connection, then closes it."""
    server = Server()
    busy: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        busy.add(task)
        server.connections += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                await behaviour(Peer(reader, writer))
                writer.close()
        except asyncio.CancelledError:
            pass
        finally:
            writer.transport.abort() if not writer.is_closing() else writer.close()
            busy.discard(task)

    listener = await asyncio.start_server(serve, host, 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        for _ in range(5):
            await asyncio.sleep(0)  # asyncio loses a connection that was accepted but not yet begun when it closes
        listener.close()
        for task in busy:
            task.cancel()
        if busy:
            await asyncio.wait(busy)


@asynccontextmanager
async def answering(
    answer: bytes | Callable[[Request], bytes], *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Server]:
    """A server that reads each request whole and answers it."""

    async def behaviour(peer: Peer) -> None:
        request = await peer.request()
        server.requests.append(request)
        await peer.send(answer if isinstance(answer, bytes) else answer(request))

    async with behaving(behaviour, tls=tls, host=host) as server:
        yield server


def says(status: int = 200, body: bytes = b"ok", **headers: str) -> bytes:
    """An answer; ``headers`` with _ for -."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *lines, "\r\n"]).encode() + body


async def silent(peer: Peer) -> None:
    """Keeps the connection, says nothing."""
    await peer.reader.read()


async def attempt(method: Method, target: Target, seconds: float = 5) -> Result:
    """One try, as a worker makes it; TimeoutError at the deadline."""
    target.reached_body = False
    async with asyncio.timeout(seconds):
        return await method.probe(target)


def descriptors() -> int:
    """How many file descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def closed_port() -> int:
    """A port that nobody listens on, below the range that the kernel gives to others.

    Any of many: another run of these tests, beside this one, may let its server listen on the one that it was given.
    """
    for port in random.sample(range(10000, 20000), 100):
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise AssertionError("every port is taken")


@asynccontextmanager
async def black_hole() -> AsyncIterator[int]:
    """A port whose kernel drops every attempt to connect: a listener that never accepts, its queue full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) for _ in range(8)]
        try:
            for filler in fillers:
                filler.connect_ex(listener.getsockname())
            yield listener.getsockname()[1]
        finally:
            for filler in fillers:
                filler.close()
