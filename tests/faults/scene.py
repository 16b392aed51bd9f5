"""What a row of the fault matrix is played with: users, a proxy that breaks single paths, an agent that looks on."""

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import aiohttp
from aiohttp import web

from tests.acceptance.agents import Agent
from tests.acceptance.model_servers import Kind, ModelServer

REQUEST_SECONDS = 120.0
PLAIN, PRESET = "plain", "preset"
"""The two containers of the one agent: what the kubelet would do, and the preset; both are the same server."""


class Loop:
    """An event loop on a thread of its own; whatever runs there ends with it."""

    def __enter__(self) -> Self:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.do(self.begin())
        return self

    def __exit__(self, *_: object) -> None:
        self.do(self.finish())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def do(self, what: Awaitable[Any]) -> Any:
        async def run() -> Any:
            return await what

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(30)

    async def begin(self) -> None: ...
    async def finish(self) -> None: ...


class Users(Loop):
    """So many users, each with one request after another; how many were answered, and how long that took."""

    def __init__(self, kind: Kind, port: int, concurrency: int) -> None:
        self.url = f"http://127.0.0.1:{port}{kind.predict}"
        self.body = kind.body
        self.concurrency = concurrency
        self.took: list[float] = []
        self.failed = 0

    async def begin(self) -> None:
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        )
        self.tasks = [asyncio.create_task(self._user()) for _ in range(self.concurrency)]

    async def finish(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.session.close()

    async def _user(self) -> None:
        while True:
            began = time.monotonic()
            try:
                async with self.session.post(
                    self.url, data=self.body, headers={"Content-Type": "application/json"}
                ) as answer:
                    await answer.read()
                    good = answer.status == 200
            except (aiohttp.ClientError, TimeoutError, OSError):
                good = False
            if good:
                self.took.append(time.monotonic() - began)
            else:
                self.failed += 1
                await asyncio.sleep(0.2)


class Proxy(Loop):
    """Stands before a server and hands everything on, but for the paths that are broken: they answer 500, or never."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.broken: dict[str, str] = {}  # path to "500" or "hangs"
        self.port = 0

    async def begin(self) -> None:
        self.session = aiohttp.ClientSession(auto_decompress=False)
        self.runner = web.ServerRunner(web.Server(self._hand_on), shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.port = self.runner.addresses[0][1]

    async def finish(self) -> None:
        await self.session.close()
        await self.runner.cleanup()

    async def _hand_on(self, request: web.BaseRequest) -> web.StreamResponse:
        how = self.broken.get(request.path)
        if how == "500":
            return web.Response(status=500, text="broken")
        if how == "hangs":
            await asyncio.sleep(3600)
        try:
            async with self.session.request(
                request.method, f"http://127.0.0.1:{self.target}{request.path_qs}", data=await request.read(),
                headers={"Content-Type": request.headers.get("Content-Type", "application/json")},
            ) as answer:  # fmt: skip
                return web.Response(status=answer.status, body=await answer.read())
        except aiohttp.ClientError:
            return web.Response(status=502)


class Seen:
    """What the agent's log tells of one container since a moment: when it was unready, and when it was to be killed."""

    def __init__(self, agent: Agent, container: str, since: float) -> None:
        self.unready = self.killed = None
        self.reason = ""
        for line in agent.running.output().splitlines():
            if not line.startswith("{"):
                continue
            told = json.loads(line)
            if told.get("container") != container:
                continue
            after = datetime.fromisoformat(told["time"]).timestamp() - since
            if after < 0:
                continue
            if told["event"] == "container.not_ready" and self.unready is None:
                self.unready = after
            if told["event"] == "restart.suppressed" and told.get("why") == "dry_run" and self.killed is None:
                self.killed, self.reason = after, told.get("reason", "")


class Scene:
    """One server with the agent beside it; ``document`` makes the agent's configuration of the port to look at."""

    def __init__(
        self, kind: Kind, home: Path, document: Callable[[Kind, int], dict[str, Any]], **server: float
    ) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.kind, self.home, self.document = kind, home, document
        self.server = ModelServer(kind, home / "server", **server)
        self.proxy: Proxy | None = None
        self.agent: Agent | None = None

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.agent is not None:
            self.agent.running.kill()
        self.server.stop()
        if self.proxy is not None:
            self.proxy.__exit__()

    def look_on(self, *, through_proxy: bool = False) -> None:
        """Start the agent."""
        port = self.server.port
        if through_proxy:
            self.proxy = Proxy(port).__enter__()
            port = self.proxy.port
        (self.home / "agent").mkdir()
        self.agent = Agent(self.home / "agent", self.document(self.kind, port))

    def seen(self, container: str, since: float) -> Seen:
        assert self.agent is not None
        return Seen(self.agent, container, since)
