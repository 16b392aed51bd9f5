"""The server-sent events of /events: each event is encoded once, and a client that can't keep up is dropped."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from agent.engine.events import Event
from agent.server import Source, answers

MOST_CLIENTS: Final = 32
MOST_WAITING: Final = 1024  # events that one client may be behind; all clients share their bytes
QUIET_SECONDS: Final = 15.0  # then a comment shows client and proxies that the stream is alive
HEADERS: Final = CIMultiDict({**answers.SAFE, "Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
DETAILS: Final = frozenset({"detail", "evidence", "url", "identity"})
"""Fields that only `details: full` shows."""

Queue = asyncio.Queue[bytes | None]
Touch = Callable[[web.RequestHandler], None]
"""Says that a connection is of use (agent.server.connections)."""


class Streams:
    """Everybody who listens to /events."""

    def __init__(self, source: Source, touch: Touch, quiet_seconds: float = QUIET_SECONDS) -> None:
        self._source = source
        self._touch = touch
        self._quiet_seconds = quiet_seconds
        self._clients: dict[Queue, web.BaseRequest] = {}
        self._unsubscribe = source.bus.subscribe(self._tell)

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        if len(self._clients) >= MOST_CLIENTS:
            return answers.text(
                f"{MOST_CLIENTS} clients listen already; ask /status instead\n", 503, **{"Retry-After": "10"}
            )
        response = web.StreamResponse(headers=HEADERS)
        if request.method == "HEAD":
            return response
        queue: Queue = asyncio.Queue(MOST_WAITING)
        self._clients[queue] = request
        try:
            await response.prepare(request)
            await response.write(b"retry: 2000\n\n")
            while (events := await self._next(queue)) is not None:
                await response.write(events)
                self._touch(request.protocol)
        finally:
            del self._clients[queue]
        return response

    async def _next(self, queue: Queue) -> bytes | None:
        """What to write now; None: the stream is over."""
        try:
            async with asyncio.timeout(self._quiet_seconds):
                return await queue.get()
        except TimeoutError:
            return b": nothing new\n\n"

    def _tell(self, event: Event) -> None:
        if not self._clients:
            return
        encoded = encode(self._source, event)
        for queue in tuple(self._clients):
            self._put(queue, encoded)

    def _put(self, queue: Queue, encoded: bytes | None) -> None:
        try:
            queue.put_nowait(encoded)
        except asyncio.QueueFull:
            transport = self._clients[queue].transport
            if transport is not None:
                transport.abort()  # the handler is cancelled with its connection

    def close(self) -> None:
        """No more events; every stream ends."""
        self._unsubscribe()
        for queue in tuple(self._clients):
            self._put(queue, None)


def encode(source: Source, event: Event) -> bytes:
    fields: dict[str, Any] = {"time": event.time, "container": event.container, "event": event.name, **event.fields}
    if source.details == "full":
        if event.detail:
            fields["detail"] = source.redact(event.detail)
    else:
        fields = {key: value for key, value in fields.items() if key not in DETAILS}
    return b"event: %s\ndata: %s\n\n" % (event.kind.encode(), msgspec.json.encode(fields))
