"""Keeps a listener's connections few and busy: slow or silent clients can't use up the agent's file descriptors."""

import asyncio
import resource

from aiohttp import web

MOST_CONNECTIONS = 512
IDLE_SECONDS = 75.0
"""How long a connection may live on which no request begins, is written to, or ends: a slow head, a slow reader."""


class Connections:
    """The protocol factory of a listener. At the limit the longest idle one goes for the newest: a probe is new.

    `touch` says that a connection is of use. One that was not touched during a whole sweep is aborted: after one to
    two times ``idle_seconds``.
    """

    def __init__(self, server: web.Server, idle_seconds: float = IDLE_SECONDS) -> None:
        self._server = server
        self._most = _most_connections()
        self._idle_seconds = idle_seconds
        self._touched: set[int] = set()  # ids, not handlers: a set of handlers would keep closed connections alive
        self._seen: set[int] = set()
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(idle_seconds, self._sweep)

    def __call__(self) -> web.RequestHandler:
        if len(self._server.connections) >= self._most:
            self._make_room()
        return self._server()

    def touch(self, handler: web.RequestHandler) -> None:
        self._touched.add(id(handler))

    async def close(self, seconds: float) -> None:
        """Finish what is being answered, within ``seconds``, then end every connection."""
        self._timer.cancel()
        self._server.pre_shutdown()  # idle keep-alive connections go at once
        transports = [handler.transport for handler in self._server.connections]
        await self._server.shutdown(seconds)
        for transport in transports:
            if transport is not None:
                transport.abort()  # closed already, or its client reads too slowly
        await asyncio.sleep(0)  # an abort is carried out in the next turn

    def _make_room(self) -> None:
        here = [handler for handler in self._server.connections if _is_open(handler)]  # oldest first
        if len(here) >= self._most:
            _abort(next((handler for handler in here if id(handler) not in self._touched), here[0]))

    def _sweep(self) -> None:
        here = self._server.connections
        for handler in here:
            if id(handler) in self._seen and id(handler) not in self._touched:
                _abort(handler)
        self._seen = {id(handler) for handler in here}
        self._touched.clear()
        self._timer = self._loop.call_later(self._idle_seconds, self._sweep)


def _most_connections() -> int:
    """A quarter of the file descriptors at most: the others are for probes."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else max(8, min(MOST_CONNECTIONS, soft // 4))


def _is_open(handler: web.RequestHandler) -> bool:
    return handler.transport is not None and not handler.transport.is_closing()


def _abort(handler: web.RequestHandler) -> None:
    if handler.transport is not None:
        handler.transport.abort()
