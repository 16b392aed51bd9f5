"""Stand-ins for a Docker Engine on a unix socket: one that answers as told, and a way to the real one that meddles."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

Answer = Callable[[str, asyncio.StreamWriter], Awaitable[None]]
CHUNK = 65536


class Engine:
    """Answers each request with what ``answers`` holds for its path; ``asked`` are the request lines so far."""

    def __init__(self, path: Path) -> None:
        self.host = f"unix://{path}"
        self.asked: list[str] = []
        self.answers: dict[str, bytes | Answer] = {"/version": ok({"ApiVersion": "1.41"})}
        self._serving: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.current_task())  # type: ignore[arg-type]
        with closing(writer), suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                await reader.readexactly(_length(head))
                self.asked.append(head.split("\r\n", 1)[0].removesuffix(" HTTP/1.1"))
                answer = self._answer(self.asked[-1].split()[1])
                if isinstance(answer, bytes):
                    writer.write(answer)
                    await writer.drain()
                else:
                    await answer(self.asked[-1], writer)
                if writer.is_closing():
                    return

    def _answer(self, target: str) -> bytes | Answer:
        path = target.partition("?")[0]
        for known, answer in self.answers.items():
            if path == known or path.partition("/v1.41")[2] == known:
                return answer
        return error(404, "no such thing")

    async def close(self) -> None:
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)


@asynccontextmanager
async def fake_engine(folder: Path) -> Any:
    """A running `Engine` in ``folder``."""
    engine = Engine(folder / "engine.sock")
    server = await asyncio.start_unix_server(engine.serve, folder / "engine.sock")
    try:
        yield engine
    finally:
        server.close()
        await engine.close()


def ok(document: Any, status: str = "200 OK") -> bytes:
    body = json.dumps(document).encode()
    return http(status, body)


def error(status: int, message: str) -> bytes:
    return ok({"message": message}, f"{status} Something")


def http(status: str, body: bytes, kind: str = "application/json", length: int | None = None) -> bytes:
    told = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {told}\r\n\r\n"
    return head.encode() + body


async def hang(_request: str, _writer: asyncio.StreamWriter) -> None:
    """Never answer, until the other side gives up."""
    await asyncio.Event().wait()


async def drop(_request: str, writer: asyncio.StreamWriter) -> None:
    """Close without an answer."""
    writer.close()


def breaking_off(answer: bytes) -> Answer:
    async def say(_request: str, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    return say


def dripping(answer: bytes) -> Answer:
    """A byte every twentieth of a second: it is always answering, and never done."""

    async def say(_request: str, writer: asyncio.StreamWriter) -> None:
        for byte in answer:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.05)

    return say


def _length(head: str) -> int:
    lines: Iterator[str] = (line for line in head.lower().split("\r\n") if line.startswith("content-length:"))
    return int(next(lines, "content-length: 0").partition(":")[2])


class Way:
    """A way to the real engine: ``asked`` are the request lines so far.

    ``passes`` decides whether a request gets through; where not, the connection ends. ``meddle`` may change what the
    engine answers, or end the connection with None.
    """

    def __init__(self, path: Path, engine: str) -> None:
        self.path, self.engine = path, engine
        self.host = f"unix://{path}"
        self.asked: list[str] = []
        self.passes: Callable[[str], bool] = lambda _request: True
        self.meddle: Callable[[str, bytes], bytes | None] = lambda _request, answer: answer
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    def end(self) -> bool:
        """As an engine that is stopped: the socket's file goes, and nobody listens. No request passes any more."""
        if self._server is not None:
            self._server.close()
        self.path.unlink(missing_ok=True)
        return False

    async def close(self) -> None:
        self.end()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, back = await asyncio.open_unix_connection(self.engine)
        requests: list[str] = []
        there = asyncio.create_task(self._ask(reader, back, requests))
        self._tasks.add(there)
        self._tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        try:
            while chunk := await upstream.read(CHUNK):
                changed = self.meddle(requests[-1] if requests else "", chunk)
                if changed is None:
                    return
                writer.write(changed)
                await writer.drain()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            there.cancel()
            back.close()
            writer.close()

    async def _ask(self, reader: asyncio.StreamReader, back: asyncio.StreamWriter, requests: list[str]) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK):
                line = chunk.split(b"\r\n", 1)[0].decode(errors="replace")
                if line.endswith(" HTTP/1.1"):
                    requests.append(line.removesuffix(" HTTP/1.1"))
                    self.asked.append(requests[-1])
                    if not self.passes(requests[-1]):
                        break
                back.write(chunk)
                await back.drain()
            back.write_eof()


@asynccontextmanager
async def way_to(engine: str, folder: Path) -> Any:
    way = Way(folder / "way.sock", engine)
    await way.open()
    try:
        yield way
    finally:
        await way.close()
