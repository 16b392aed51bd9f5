"""Methods, servers, actions and runtimes whose behaviour a test writes down: tiny real classes, no mocks."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from agent.actions import ActionError, Order
from agent.core.model import Check, CheckType, Result, Target, error, failure, success, warning
from agent.core.settings import Backoff, Budget, Container, Restart
from agent.engine.container import Slot
from agent.engine.events import Bus, Event
from agent.engine.guard import Guard
from agent.engine.pulse import Pulse
from agent.engine.statefile import Memory
from agent.engine.stats import LATENESS_BUCKETS, Histogram
from agent.runtimes import Instance
from tests.virtual import virtual_loop

ADDRESS = ("255.255.255.255", 1)
"""Of the virtual network; on the real one no connection to it can even be tried."""


class Letters:
    """A method that answers by letters, one an attempt, the last for ever.

    s success, w warning, f failure, r refused, u error, x a bug, c a cancellation of its own making, h hangs,
    b hangs in the body, e while it asks the runtime, i hangs and answers success all the same when it is cancelled.
    """

    def __init__(self, letters: str, takes: float = 0.0) -> None:
        self.letters = letters
        self.takes = takes
        self.attempts: list[float] = []  # when each began, seconds
        self.cancelled = 0

    async def probe(self, target: Target) -> Result:
        letter = self.letters[min(len(self.attempts), len(self.letters) - 1)]
        self.attempts.append(asyncio.get_running_loop().time())
        if self.takes:
            await asyncio.sleep(self.takes)
        if letter in "hbei":
            target.reached_body, target.in_runtime = letter == "b", letter == "e"
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                if letter != "i":
                    raise
        if letter == "x":
            raise ZeroDivisionError("a bug in the method")
        if letter == "c":
            raise asyncio.CancelledError
        return answer_of(letter)


def answer_of(letter: str) -> Result:
    return {
        "w": warning("redirect"), "f": failure("status", "500"), "r": failure("refused"), "u": error("spawn"),
    }.get(letter, success())  # fmt: skip


class Server(msgspec.Struct, kw_only=True):
    """A model server that lives as the test says; it is its own runtime unless nobody is to know it.

    ``letter`` is what a look at it finds; while it is down a look is refused. ``history`` is when each run began.
    """

    letter: str = "s"
    run: int = 1
    up: bool = True
    broken_runtime: bool = False
    history: list[float] = []

    async def instance(self) -> Instance | None:
        if self.broken_runtime:
            raise OSError("the runtime's socket is gone")
        return Instance(f"run {self.run}", None, 40 + self.run) if self.up else None

    def stop(self) -> None:
        self.up = False
        virtual_loop().network.open.discard(ADDRESS)

    def start(self, letter: str = "s") -> None:
        """Another run of it."""
        self.run += 1
        self.up, self.letter = True, letter
        self.history.append(virtual_loop().time())
        virtual_loop().network.open.add(ADDRESS)

    def restart_in(self, seconds: float, letter: str = "s") -> None:
        """It goes now and is back in so many seconds."""
        self.stop()
        asyncio.get_running_loop().call_later(seconds, self.start, letter)


class Look(msgspec.Struct, frozen=True):
    """A method that looks at a `Server`."""

    server: Server
    port: int | None = ADDRESS[1]

    async def probe(self, target: Target) -> Result:
        await asyncio.sleep(0)
        return answer_of(self.server.letter if self.server.up else "r")


class Gauged(Look, frozen=True, kw_only=True):
    """The same, and it tells how many requests are in flight: what ``gauge`` returns, or raises."""

    gauge: Callable[[], float | None]

    async def in_flight(self, target: Target) -> float | None:
        await asyncio.sleep(0)
        return self.gauge()


class Acts:
    """An action that notes when it runs, then does as it was told; ``script`` is one callable an attempt."""

    def __init__(self, *script: Callable[[], None], takes: float = 0.0, holds: bool = True) -> None:
        self.script = script
        self.takes = takes
        self.holds = holds
        self.begun: list[float] = []  # seconds
        self.ended: list[float] = []
        self.orders: list[Order] = []
        self.running = 0
        self.most_at_once = 0
        self.cancelled = 0

    async def act(self, order: Order) -> None:
        clock = asyncio.get_running_loop().time
        self.begun.append(clock())
        self.orders.append(order)
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        try:
            await asyncio.sleep(self.takes)
            if self.script:
                self.script[min(len(self.begun), len(self.script)) - 1]()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
            self.ended.append(clock())


class Tells(Acts):
    """An action that interrupts nothing."""

    interrupts = False

    def __init__(self, *script: Callable[[], None], takes: float = 0.0) -> None:
        super().__init__(*script, takes=takes, holds=False)


def fails() -> None:
    raise ActionError("the engine said no")


def check(kind: str, method: Any, **numbers: Any) -> Check:
    """A check of this type; failure threshold 1 and period 10 unless said otherwise."""
    name = numbers.pop("name", "it")
    return Check(
        name=name, type=CheckType(kind), method="scripted", options=method, **{"failure_threshold": 1, **numbers}
    )


def container(*checks: Check, **restart: Any) -> Container:
    """A container with these checks, its action tried up to 5 times an hour without much backoff."""
    more = {key: restart.pop(key) for key in ("runtime", "port", "ports", "name") if key in restart}
    rule = {
        "action_name": "scripted", "backoff": Backoff(initial_seconds=1, max_seconds=1),
        "budget": Budget(restarts=5), **restart,
    }  # fmt: skip
    return Container(
        **{"name": "model", "host": ADDRESS[0], **more},
        **{str(kind): tuple(c for c in checks if c.type is kind) for kind in CheckType},
        restart=Restart(**rule),
    )


class Ward:
    """A guard and what it said and did; times are seconds on the loop's clock."""

    def __init__(self, spec: Container) -> None:
        self.said: list[tuple[float, Event]] = []
        self.saved: list[Memory] = []
        self.left: list[int] = []
        self.pulse = Pulse()
        bus = Bus()
        clock = asyncio.get_running_loop().time
        bus.subscribe(lambda event: self.said.append((clock(), event)))
        self.guard = Guard(
            spec,
            bus=bus,
            pulse=self.pulse,
            lateness=Histogram(LATENESS_BUCKETS),
            clock=clock,
            save=self._save,
            leave=self.left.append,
            redact=lambda text: text.replace("hunter2", "[redacted]"),
        )

    async def _save(self) -> None:
        self.saved.append(self.guard.memory())

    @property
    def container(self) -> Any:
        return self.guard.container

    @property
    def view(self) -> Any:
        return self.guard.view()

    def steps(self, *, since: float = 0.0) -> list[tuple[float, str]]:
        """The restart events: when, and which."""
        return [(t, e.name.removeprefix("restart.")) for t, e in self.said if e.kind == "restart" and t >= since]

    def outcomes(self) -> list[str]:
        return [record.outcome for record in self.view.restarts]

    def slot(self, path: str) -> Slot:
        return next(slot for slot in self.container.slots if slot.path == path)

    def healthz(self) -> int:
        return 503 if self.view.requested else 200


@asynccontextmanager
async def guarded(spec: Container, memory: Memory | None = None, *, stagger: float = 0.0) -> AsyncIterator[Ward]:
    """A guard at work, closed in the end."""
    ward = Ward(spec)
    await ward.guard.begin(memory)
    ward.guard.work(lambda _: stagger)
    try:
        yield ward
    finally:
        await ward.guard.close()


async def at(moment: float) -> None:
    """Wait until this moment of the virtual clock, and until all that was due then has happened."""
    loop = virtual_loop()
    if moment > loop.time():
        await asyncio.sleep(moment - loop.time())
        loop.now = max(loop.now, moment)  # a loop takes its timers up to a nanosecond early
    for _ in range(20):
        await asyncio.sleep(0)


async def eventually(condition: Callable[[], object], within: float = 10.0) -> None:
    """On the real clock: return as soon as the condition holds; fail after ``within`` seconds."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - whatever is waited for has no event to tell of it
            await asyncio.sleep(0.02)
