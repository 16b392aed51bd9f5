"""A small real Source: what an agent would know, settable by a test; and a client of the listener that serves it."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Literal

import aiohttp

from agent.core.model import CheckType, Outcome, Published, Result
from agent.core.settings import Server
from agent.core.verdict import CheckView, ContainerView, Record, Standing
from agent.engine.events import Bus
from agent.engine.stats import LATENESS_BUCKETS, CheckStats, ContainerStats, Histogram
from agent.server import Refused, public

SECRET = "hunter2"


def check(
    kind: str = "liveness", name: str = "answers", published: Published = Published.SUCCESS, **more: Any
) -> CheckView:
    return CheckView(name=name, type=CheckType(kind), method="http_get", published=published, **more)


def container(name: str = "model", *checks: CheckView, **more: Any) -> ContainerView:
    """A started, ready container; by default with one check of each type."""
    given = {"instance": 1, "identity": "pid 41 started 7.5", "running": True, "started": True, "ready": True, **more}
    every = checks or (check("startup", "loaded"), check("readiness", "http_get"), check("liveness", "answers"))
    return ContainerView(name=name, checks=every, **given)


REFUSED = Result(Outcome.FAILURE, "refused", f"connect to 127.0.0.1:8000?key={SECRET}", 0.002)
DEAD = container(
    "model",
    check("startup", "loaded"),
    check("readiness", "http_get", Published.FAILURE, last=REFUSED),
    check(
        "liveness",
        "answers",
        Published.FAILURE,
        run=3,
        counted=Published.FAILURE,
        last=REFUSED,
        last_time=1_700_000_000.0,
    ),
    ready=False,
)
RESTART = Record(
    time=1_700_000_000.0,
    action="signal",
    reason="refused",
    check="liveness/answers",
    outcome="succeeded",
    evidence="/var/evidence/model-1",
    detail=f"killed pid 41 of {SECRET}",
)


class Known:
    """What the agent knows, as plain attributes."""

    def __init__(self, *views: ContainerView) -> None:
        self.bus = Bus()
        self.lateness = Histogram(LATENESS_BUCKETS)
        self.loop_lag_seconds = 0.001
        self.stopping = False
        self.config_error = False
        self.details = "reasons"
        self.reload_successful = True
        self.reload_success_time = 1_700_000_000.0
        self.containers = {view.name: view for view in views or (container(),)}
        self.results: dict[str, list[dict[str, Any]]] = {}
        self.troubles: list[str] = []
        self.is_serving = True
        self.asked: list[str] = []
        self.revealed: dict[str, ContainerView] = {}  # what the kubelet's asking reveals, by container
        self.checks: list[tuple[str, str, str, str, CheckStats]] = []
        self.counts: list[tuple[str, ContainerStats]] = []

    def views(self) -> list[ContainerView]:
        return list(self.containers.values())

    def standings(self) -> list[Standing]:
        return [Standing(v.started, v.ready, v.requested, v.phase) for v in self.containers.values()]

    def view(self, name: str) -> ContainerView | None:
        return self.containers.get(name)

    def history(self, name: str) -> dict[str, list[dict[str, Any]]]:
        return self.results

    def asked_startup(self, name: str) -> bool:
        self.asked.append(name)
        self.containers |= {name: self.revealed[name]} if name in self.revealed else {}
        return name in self.revealed

    def healthy(self) -> list[str]:
        return self.troubles

    def serving(self) -> bool:
        return self.is_serving

    def check_stats(self) -> Iterable[tuple[str, str, str, str, CheckStats]]:
        return self.checks

    def container_stats(self) -> Iterable[tuple[str, ContainerStats]]:
        return self.counts

    def redact(self, text: str) -> str:
        return text.replace(SECRET, "***")


class Obedient(Known):
    """An agent that writes down what it was told; ``refusal`` is what it says to everything."""

    def __init__(self, *views: Any) -> None:
        super().__init__(*views)
        self.orders: list[tuple[Any, ...]] = []
        self.refusal = ""

    def note(self, *order: Any) -> None:
        if self.refusal:
            raise Refused(self.refusal)
        self.orders.append(order)

    async def reload(self) -> None:
        self.note("reload")

    async def restart(self, name: str) -> None:
        self.note("restart", name)

    async def maintain(self, name: str, seconds: float, ready: Literal["keep", "false"]) -> None:
        self.note("maintain", name, seconds, ready)

    async def drain(self, name: str, seconds: float) -> None:
        self.note("drain", name, seconds)

    async def probe(self, name: str) -> None:
        self.note("probe", name)


class Client:
    """Asks one listener."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self.session = session
        self.port = port

    async def fetch(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str, dict[str, str]]:
        """Status, body and headers (names in lower case); a keyword `user_agent` is the header User-Agent."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(method, path, headers=sent) as response:
            found = {name.lower(): value for name, value in response.headers.items()}
            return response.status, await response.text(), found

    async def status(self, path: str, **headers: str) -> int:
        return (await self.fetch(path, **headers))[0]

    async def body(self, path: str, **headers: str) -> str:
        return (await self.fetch(path, **headers))[1]

    async def json(self, path: str) -> Any:
        async with self.session.get(path) as response:
            return await response.json()


@asynccontextmanager
async def serving(source: Known) -> AsyncIterator[Client]:
    listener = await public.start(source, Server(host="127.0.0.1", port=0, details="reasons"))
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{listener.port}") as session:
            yield Client(session, listener.port)
    finally:
        await listener.close()
