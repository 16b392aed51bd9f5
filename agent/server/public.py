"""The public listener: GET and HEAD of what is known, answered from memory."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, get_args

from aiohttp import web
from aiohttp.http import HttpProcessingError

from agent.core.settings import Server
from agent.core.verdict import Endpoint
from agent.server import Source, answers, status
from agent.server.connections import IDLE_SECONDS, Connections
from agent.server.health import Health
from agent.server.listen import BACKLOG, open_sockets
from agent.server.metrics import Metrics
from agent.server.status_page import StatusPage
from agent.server.stream import Streams

CLOSE_SECONDS: Final = 1.0
"""How long close() waits for answers under way, and then for their connections."""

log = logging.getLogger(__name__)
Answerer = Callable[[web.BaseRequest], web.Response]


class Public:
    """Which path is answered by whom."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._by_name = {endpoint: Health(source, endpoint) for endpoint in get_args(Endpoint)}
        self._paths: dict[str, Answerer] = {
            "/": StatusPage().answer,
            "/metrics": Metrics(source).answer,
            "/status": self._status,
            "/-/healthy": self._healthy,
            "/-/ready": self._ready,
            **{f"/{endpoint}": health.whole for endpoint, health in self._by_name.items()},
        }
        self.server = web.Server(
            self.answer,
            handler_cancellation=True,  # an event stream ends with its connection
            access_log=None,
            logger=quiet(log),
            keepalive_timeout=IDLE_SECONDS,
            lingering_time=CLOSE_SECONDS,  # nobody reads a request's body here
            auto_decompress=False,
        )
        self.connections = Connections(self.server)
        self.streams = Streams(source, self.connections.touch)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Every answer is made without waiting; an event stream alone goes on."""
        self.connections.touch(request.protocol)
        if request.method not in {"GET", "HEAD"}:
            return answers.text("this listener is read only: GET and HEAD\n", 405, Allow="GET, HEAD")
        path = request.raw_path
        if path not in self._paths:
            path = request.path
        if path in self._paths:
            return self._paths[path](request)
        if path == "/events":
            return await self.streams.serve(request)
        endpoint, _, name = path[1:].partition("/")
        if name and endpoint in self._by_name:
            return self._by_name[endpoint].of_one(request, name)
        return answers.text(f"nothing is served at {answers.shown(path)}; there are:\n{self._list()}", 404)

    def _list(self) -> str:
        named = [f"/{endpoint}/NAME" for endpoint in self._by_name]
        return "".join(f"{path}\n" for path in sorted([*self._paths, *named, "/events", "/status?container=NAME"]))

    def _status(self, request: web.BaseRequest) -> web.Response:
        return status.answer(self._source, request.query.get("container"), full=self._source.details == "full")

    def _healthy(self, _request: web.BaseRequest) -> web.Response:
        trouble = [] if self._source.config_error else self._source.healthy()
        return answers.text("".join(f"[-]{each}\n" for each in trouble) or "ok", 503 if trouble else 200)

    def _ready(self, _request: web.BaseRequest) -> web.Response:
        if self._source.config_error:
            return answers.text("[-]configuration failed: the agent's log names the errors\n", 503)
        return answers.text("ok") if self._source.serving() else answers.text("[-]agent starting\n", 503)


def quiet(logger: logging.Logger) -> logging.Logger:
    """Without a traceback for every malformed request that a port scanner sends."""

    def is_ours(record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))

    child = logger.getChild("http")
    child.filters[:] = [is_ours]
    return child


class Listener:
    """The open listener. ``addresses`` are HOST:PORT texts; all have the one ``port``."""

    def __init__(self, public: Public, servers: list[asyncio.Server]) -> None:
        self._public = public
        self._servers = servers
        names = [sock.getsockname() for server in servers for sock in server.sockets]
        self.port: int = names[0][1]
        self.addresses = tuple(f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}" for name in names)

    async def close(self) -> None:
        """Stop listening, finish what is being answered, end every stream; takes two or three seconds at most."""
        for server in self._servers:
            server.close()
        self._public.streams.close()
        await self._public.connections.close(CLOSE_SECONDS)


async def start(source: Source, settings: Server) -> Listener:
    """Bind and serve. Raises ListenError (agent.server.listen), whose message names the port and the remedy."""
    loop = asyncio.get_running_loop()
    sockets = await open_sockets(settings.host, settings.port)
    public = Public(source)
    servers = [await loop.create_server(public.connections, sock=sock, backlog=BACKLOG) for sock in sockets]
    return Listener(public, servers)
