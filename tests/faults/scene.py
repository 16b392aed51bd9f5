"""What a row of the fault matrix is played with: users, a proxy that breaks single paths, an agent that looks on."""

import asyncio
import json
import statistics
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
from tests.acceptance.processes import eventually
from tests.faults.cells import Seen
from tests.faults.documents import METRICS_AT, document

REQUEST_SECONDS = 120.0
SERVED_SECONDS = 60.0


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
        self.do(self._end_the_rest())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def do(self, what: Awaitable[Any]) -> Any:
        async def run() -> Any:
            return await what

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(30)

    async def _end_the_rest(self) -> None:
        """Handlers that hang on purpose, say."""
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

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

    def told(self) -> str:
        """How they fared."""
        failed = f", {self.failed} failed" if self.failed else ""
        took = f"{statistics.median(self.took):.1f} s in the median, {max(self.took):.1f} s at most"
        return f"{len(self.took)} answers, {took}{failed}"


class Proxy(Loop):
    """Stands before a server and hands everything on, but for the paths that are broken: they answer 500, or never."""

    def __init__(self, *targets: int) -> None:
        self.targets = targets
        self.broken: dict[str, str] = {}  # path to "500" or "hangs"
        self.fronts: dict[int, int] = {}  # the port behind, by the port in front
        self.asked: list[str] = []  # the broken paths, each time that one was asked for

    async def begin(self) -> None:
        self.session = aiohttp.ClientSession(auto_decompress=False)
        self.runner = web.ServerRunner(web.Server(self._hand_on), shutdown_timeout=0.1)
        await self.runner.setup()
        for _ in set(self.targets):
            await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        ports = [address[1] for address in self.runner.addresses]
        self.fronts = dict(zip(ports, dict.fromkeys(self.targets), strict=True))

    async def finish(self) -> None:
        await self.session.close()
        await self.runner.cleanup()

    def before(self, target: int) -> int:
        """The port to ask instead."""
        return next(front for front, behind in self.fronts.items() if behind == target)

    async def _hand_on(self, request: web.BaseRequest) -> web.StreamResponse:
        how = self.broken.get(request.path)
        if how is not None:
            self.asked.append(request.path)
        if how == "500":
            return web.Response(status=500, text="broken")
        if how == "hangs":
            await asyncio.sleep(3600)
        assert request.transport is not None
        behind = self.fronts[request.transport.get_extra_info("sockname")[1]]
        try:
            async with self.session.request(
                request.method, f"http://127.0.0.1:{behind}{request.path_qs}", data=await request.read(),
                headers={"Content-Type": request.headers.get("Content-Type", "application/json")},
            ) as answer:  # fmt: skip
                return web.Response(status=answer.status, body=await answer.read())
        except aiohttp.ClientError:
            return web.Response(status=502)


class Scene:
    """One server with the agent beside it; ``fault_at`` is when something was done to it (Unix seconds)."""

    def __init__(self, kind: Kind, home: Path, **server: float) -> None:
        home.mkdir(parents=True)
        self.kind, self.home = kind, home
        self.server = ModelServer(kind, home / "server", **server)
        self.proxy: Proxy | None = None
        self.agent: Agent | None = None
        self.ready_at = self.fault_at = time.time()

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
        metrics = port + METRICS_AT.get(self.kind.name, 0)
        if through_proxy:
            self.proxy = Proxy(port, metrics).__enter__()
            port, metrics = self.proxy.before(port), self.proxy.before(metrics)
        (self.home / "agent").mkdir()
        self.agent = Agent(self.home / "agent", document(self.kind, port, metrics))

    def await_ready(self, container: str, within: float) -> None:
        agent = self.agent
        assert agent is not None
        eventually(
            lambda: agent.ask(f"/ready/{container}") == 200, within=within, what=f"{container} is ready",
            story=self.story,
        )  # fmt: skip
        self.ready_at = self.fault_at = time.time()

    def await_served(self, users: Users, count: int) -> None:
        eventually(lambda: len(users.took) >= count, within=SERVED_SECONDS, what="users are served", story=self.story)

    def mark(self, do: Callable[[], object]) -> None:
        """Do it, and count from here."""
        self.fault_at = time.time()
        do()

    def seen(self, container: str) -> Seen:
        """What the agent's log tells of one container."""
        assert self.agent is not None
        unready = killed = None
        reason, check, early = "", "", False
        for line in self.agent.running.output().splitlines():
            if not line.startswith("{") or not line.endswith("}"):
                continue
            told = json.loads(line)
            if told.get("container") != container:
                continue
            at = datetime.fromisoformat(told["time"]).timestamp()
            kill = told["event"] == "restart.suppressed" and told.get("why") == "dry_run"
            if at < self.fault_at:
                early = early or (kill and at > self.ready_at)
                continue
            if told["event"] == "container.not_ready" and unready is None:
                unready = at - self.fault_at
            if kill and killed is None:
                killed, reason, check = at - self.fault_at, told.get("reason", ""), told.get("check", "")
        return Seen(unready, killed, reason, check, early)

    def story(self) -> str:
        assert self.agent is not None
        return f"{self.agent.running.output()[-4000:]}\n{self.server.story()}"
