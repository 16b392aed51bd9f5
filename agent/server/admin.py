"""The admin listener: POST only, on a unix socket or on loopback with a token; off unless it is configured."""

import asyncio
import hmac
import logging
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from agent.core.settings import Admin
from agent.core.verdict import no_such
from agent.runtimes.aside import aside
from agent.server import Operator, Refused, Source, answers, status
from agent.server.connections import IDLE_SECONDS, Connections
from agent.server.listen import BACKLOG, ListenError, open_sockets
from agent.server.public import CLOSE_SECONDS, quiet

DRAIN_SECONDS: Final = 300.0
MAX_SECONDS: Final = 7 * 86400.0  # whoever wants longer stops the agent
TOKEN_BYTES: Final = 4096
TOKEN_SECONDS: Final = 2.0

log = logging.getLogger(__name__)
Command = Callable[[str, web.BaseRequest], Awaitable[None]]


class Panel:
    """Which path has the agent do what."""

    def __init__(self, source: Source, operator: Operator, settings: Admin) -> None:
        self._source = source
        self._operator = operator
        self._token_file = settings.token_file
        self._commands: dict[str, Command] = {
            "restart": lambda name, _: operator.restart(name),
            "maintenance": self._maintenance,
            "drain": lambda name, request: operator.drain(name, _seconds(request, DRAIN_SECONDS)),
            "probe": lambda name, _: operator.probe(name),
        }
        self.server = web.Server(
            self.answer,
            access_log=None,
            logger=quiet(log),
            keepalive_timeout=IDLE_SECONDS,
            lingering_time=CLOSE_SECONDS,
            auto_decompress=False,
        )
        self.connections = Connections(self.server)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Whoever may not is told nothing but that; every order and its end is logged."""
        self.connections.touch(request.protocol)
        if not await self._permitted(request):
            log.warning("admin.refused", extra={"detail": f"{request.method} without the right token"})
            return _told("403: the request needs `Authorization: Bearer TOKEN` with admin.token_file's token", 403)
        if request.method != "POST":
            return answers.json({"ok": False, "error": "this listener takes POST alone"}, 405, Allow="POST")
        try:
            return await self._obey(request)
        except Refused as refusal:
            log.warning("admin.refused", extra={"request": request.path, "detail": str(refusal)})
            return _told(self._source.redact(str(refusal)), 409)
        except ValueError as problem:
            return _told(str(problem), 400)

    async def _obey(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/status":
            return status.answer(self._source, request.query.get("container"), full=True)
        if request.path == "/-/reload":
            await self._operator.reload()
            log.warning("admin.obeyed", extra={"request": request.path})
            return answers.json({"ok": True})
        _, _, rest = request.path.partition("/containers/")
        name, _, word = rest.rpartition("/")
        if not request.path.startswith("/containers/") or word not in self._commands:
            return _told(f"nothing is done at {answers.shown(request.path)}; there are: {self._list()}", 404)
        if self._source.view(name) is None:
            return _told(no_such(answers.shown(name), (view.name for view in self._source.views())), 404)
        await self._commands[word](name, request)
        log.warning("admin.obeyed", extra={"container": name, "request": request.path_qs})
        view = self._source.view(name)
        done = {} if view is None else {"container": status.container(self._source, view, full=True)}
        return answers.json({"ok": True, **done})

    def _list(self) -> str:
        return ", ".join(["/-/reload", "/status", *(f"/containers/NAME/{word}" for word in self._commands)])

    async def _maintenance(self, name: str, request: web.BaseRequest) -> None:
        if "seconds" not in request.query:
            raise ValueError("maintenance needs an end: ?seconds=600 (0 ends it now)")
        ready = request.query.get("ready", "keep")
        if ready not in {"keep", "false"}:
            raise ValueError(f"ready is keep or false, not {answers.shown(ready)}")
        await self._operator.maintain(name, _seconds(request, 0.0), "keep" if ready == "keep" else "false")

    async def _permitted(self, request: web.BaseRequest) -> bool:
        """On a socket its file's mode decides; with a token, the token, which is read anew: secrets are rotated."""
        if self._token_file is None:
            return True
        try:
            async with asyncio.timeout(TOKEN_SECONDS):
                token = await aside("admin token", lambda: read_token(self._token_file or ""))
        except (OSError, ValueError) as problem:
            log.error("admin.token", extra={"detail": str(problem)})  # noqa: TRY400 - the message is all
            return False
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        right = hmac.compare_digest(given.strip().encode(errors="surrogateescape"), token)
        return right and scheme.lower() == "bearer"


def read_token(path: str) -> bytes:
    """The token in a file; blocking. Raises OSError, or ValueError where it holds none."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        token = os.read(file, TOKEN_BYTES).strip()
    finally:
        os.close(file)
    if not token:
        raise ValueError(f"admin.token_file {path} is empty: nobody is let in")
    return token


def _seconds(request: web.BaseRequest, default: float) -> float:
    text = request.query.get("seconds")
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MAX_SECONDS:
        raise ValueError(f"seconds={answers.shown(text)} is no number from 0 to {MAX_SECONDS:g}")
    return seconds


def _told(error: str, code: int) -> web.Response:
    return answers.json({"ok": False, "error": error}, code)


class AdminListener:
    """The open admin listener; ``address`` is a path or HOST:PORT."""

    def __init__(self, panel: Panel, servers: list[asyncio.Server], socket_path: str | None) -> None:
        self._panel, self._servers, self._socket_path = panel, servers, socket_path
        name: Any = servers[0].sockets[0].getsockname()
        self.port: int = 0 if socket_path else name[1]
        self.address = socket_path or f"{name[0]}:{name[1]}"

    async def close(self) -> None:
        """Stop listening and finish what is being answered, within a second or two; the socket's file goes."""
        for server in self._servers:
            server.close()
        await self._panel.connections.close(CLOSE_SECONDS)
        path = self._socket_path
        if path is not None:
            with suppress(OSError):
                await aside("admin socket", lambda: os.unlink(path))  # noqa: PTH108 - as cheap as it gets


async def start(source: Source, operator: Operator, settings: Admin) -> AdminListener:
    """Bind and serve. Raises ListenError, whose message names the setting and the remedy."""
    loop = asyncio.get_running_loop()
    if settings.socket is not None:
        sockets = [await aside("admin socket", lambda: open_unix(settings.socket or ""))]
    else:
        assert settings.port is not None  # noqa: S101 - configuration refuses an admin without socket and port
        sockets = await open_sockets(settings.host, settings.port, "admin")
    panel = Panel(source, operator, settings)
    servers = [await loop.create_server(panel.connections, sock=sock, backlog=BACKLOG) for sock in sockets]
    return AdminListener(panel, servers, settings.socket)


def open_unix(path: str) -> socket.socket:
    """A listening socket file that only the agent's own user may use; what a killed agent left there is replaced."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        sock.bind(path)
        os.chmod(path, 0o600)  # noqa: PTH101 - before it listens: until then every connection is refused
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as problem:
        sock.close()
        raise ListenError(
            f"admin: cannot listen on {path}: {problem.strerror or problem}; "
            "admin.socket must name a file in a folder that the agent may write to"
        ) from problem
    return sock


def _remove_stale(path: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(f"{path} is there and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.settimeout(1.0)
        try:
            other.connect(path)
        except OSError:
            Path(path).unlink(missing_ok=True)
            return
    raise FileExistsError("another agent listens there")
