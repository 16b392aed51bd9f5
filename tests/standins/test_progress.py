"""The progress check beside stand-ins for vLLM, SGLang, TGI and Triton: every hang is found in time, nothing else is.

Real sockets and the real guard; the thresholds are shortened by configuration. The rows of one server run side by side.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agent.config import SourceRef, load
from agent.core.settings import Container
from agent.core.verdict import is_ready, state
from tests.engine.scripted import Ward, guarded
from tests.standins.servers import FLAVOURS, StandIn, standing_in

PERIOD, TIMEOUT = 0.25, 0.4
WARN, HUNG, BLIND = 0.5, 1.0, 1.5
LATE = 0.2  # by so many seconds this machine may be late; and the last progress was so long before a fault at most
IN_TIME = HUNG + 2 * PERIOD + LATE


def spec(server: StandIn, flavour: str, **options: Any) -> Container:
    """The container as a document describes it, its health check too patient to find anything itself."""
    canary = options.pop("canary", False)
    progress = {
        "server": flavour,
        "warn_after_seconds": WARN,
        "hung_after_seconds": HUNG,
        "blind_after_seconds": BLIND,
        **options,
    }
    often = {"period_seconds": PERIOD, "timeout_seconds": TIMEOUT}
    health = {"http_get": {"path": "/health"}, **often}
    liveness: list[dict[str, Any]] = [
        {**health, "name": "answers", "failure_threshold": 1000},
        {"progress": progress, **often},
    ]
    readiness = [{**health, "failure_threshold": 1000}]
    if canary:  # a witness only: its own verdict is not asked for
        asks = {"path": "/work", "body": "{}", "quiet_seconds": 0.3, "cooldown_seconds": 0.3}
        witness = {"inference": asks, "name": "canary", "period_seconds": 0.4, "timeout_seconds": 0.5}
        readiness.append({**witness, "failure_threshold": 1000})
    document = {
        "containers": [
            {
                "name": "model",
                "port": server.port,
                "startup_check": {**health, "failure_threshold": 1000},
                "liveness_check": liveness,
                "readiness_check": readiness,
            }
        ]
    }
    (found,) = load([SourceRef("config.yaml", content=repr(document).encode())], {}).config.containers
    return found


class Seen:
    """What the guard has shown so far, looked at often; times are seconds since the fault."""

    def __init__(self, ward: Ward) -> None:
        self.ward = ward
        self.states: set[str] = set()
        self.fault_at: float | None = None
        self.unready_after: float | None = None
        self.failed_after: float | None = None

    async def follow(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            view = self.ward.view
            if self.fault_at is not None:
                after = clock() - self.fault_at
                self.states.add(state(view))
                if self.unready_after is None and not is_ready(view) and not view.requested:
                    self.unready_after = after
                if self.failed_after is None and view.requested:
                    self.failed_after = after
            await asyncio.sleep(0.01)

    def fault(self) -> None:
        """From now on."""
        self.states.clear()
        self.unready_after = self.failed_after = None
        self.fault_at = asyncio.get_running_loop().time()

    @property
    def reason(self) -> str:
        return next((record.reason for record in self.ward.view.restarts), "")

    async def failure(self, within: float) -> None:
        await eventually(lambda: self.failed_after is not None, within + 1.0)


async def eventually(condition: Callable[[], bool], within: float) -> None:
    deadline = asyncio.get_running_loop().time() + within
    while asyncio.get_running_loop().time() < deadline:
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"not within {within:g} s")


Play = Callable[[StandIn, Seen], Awaitable[None]]


async def play(flavour: str, row: Play, *, ranks: int = 1, **options: Any) -> Seen:
    """One row: a server that has become ready and works, and what befalls it then."""
    async with standing_in(flavour, ranks) as server:
        for rank in server.ranks:
            rank.work(4, waiting=2)
        async with guarded(spec(server, flavour, **options)) as ward:
            seen = Seen(ward)
            following = asyncio.create_task(seen.follow())
            try:
                await eventually(lambda: is_ready(ward.view) and state(ward.view) == "working", 5.0)
                await asyncio.sleep(2 * PERIOD)
                seen.fault()
                await row(server, seen)
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
    return seen


async def healthy(server: StandIn, seen: Seen) -> None:
    for busy in (40, 1, 200, 3):
        for rank in server.ranks:
            rank.work(busy, waiting=busy // 2)
        await asyncio.sleep(0.6)


async def idle(server: StandIn, seen: Seen) -> None:
    for rank in server.ranks:
        rank.rest()
    await asyncio.sleep(2.0)


async def hung(server: StandIn, seen: Seen) -> None:
    server.hang()
    await seen.failure(IN_TIME)


async def dead(server: StandIn, seen: Seen) -> None:
    """Nothing waits, so that only the canary, which is refused, shows that somebody wants something."""
    server.ranks[0].work(4)
    await asyncio.sleep(2 * PERIOD)
    seen.fault()
    server.die()
    await seen.failure(IN_TIME + 1.0)


async def hung_without_a_queue(server: StandIn, seen: Seen) -> None:
    """vLLM's gauges are set by its engine's steps: what arrives after the last one is in none of them."""
    server.ranks[0].work(4)
    await asyncio.sleep(2 * PERIOD)
    seen.fault()
    server.hang()
    await seen.failure(IN_TIME + 1.0)


async def one_rank_hung(server: StandIn, seen: Seen) -> None:
    server.ranks[-1].stop()
    await seen.failure(IN_TIME)


async def hidden(server: StandIn, seen: Seen) -> None:
    """The gauges say that nothing is in flight; a canary is what knows better."""
    server.hang(hidden=True)
    await seen.failure(IN_TIME + 3.0)


async def reset(server: StandIn, seen: Seen) -> None:
    for _ in range(5):
        server.ranks[0].reset()
        await asyncio.sleep(0.4)


async def long_prefill(server: StandIn, seen: Seen) -> None:
    """One request is alone in the engine, and its one step takes longer than the threshold."""
    rank = server.ranks[0]
    rank.work(1)
    await asyncio.sleep(0.6)
    seen.fault()
    rank.stop()
    await asyncio.sleep(2 * IN_TIME)
    rank.work(1)
    await asyncio.sleep(0.6)


async def long_steps(server: StandIn, seen: Seen) -> None:
    """Each step takes longer than the threshold, and others wait: `max_step_seconds` says that it may."""
    rank = server.ranks[0]
    for _ in range(2):
        rank.stop()
        await asyncio.sleep(1.8)
        rank.work(1, waiting=3)
        await asyncio.sleep(0.4)


async def saturated(server: StandIn, seen: Seen) -> None:
    """Nothing is answered in time for a while, now and then something is; the work goes on."""
    for _ in range(3):
        server.delay = server.health_delay = 0.6
        await asyncio.sleep(0.9)
        server.delay = server.health_delay = 0.0
        await asyncio.sleep(0.4)


async def busy(server: StandIn, seen: Seen) -> None:
    """The health endpoint is late, and the metrics show why."""
    server.health_delay = 0.6
    await asyncio.sleep(2.5)


async def unresponsive(server: StandIn, seen: Seen) -> None:
    server.delay = server.health_delay = 60.0
    await seen.failure(BLIND + 2 * TIMEOUT + LATE)


async def blind(server: StandIn, seen: Seen) -> None:
    """The metrics page breaks, the server does not."""
    server.metrics = 500
    await asyncio.sleep(2 * BLIND)


NEVER: dict[str, tuple[Play, set[str]]] = {
    "healthy": (healthy, {"working"}),
    "idle": (idle, {"working", "idle"}),
    "counters reset": (reset, {"working"}),
    "saturated": (saturated, {"working", "busy", "blind"}),
    "busy": (busy, {"working", "busy"}),
    "metrics broken": (blind, {"working", "blind"}),
}
"""What must never be taken for a hang, nor take readiness away, and the states that it may show."""


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_what_is_well_loaded_slow_or_unreadable_is_never_restarted_and_stays_ready(flavour: str) -> None:
    seen = await asyncio.gather(*(play(flavour, row) for row, _ in NEVER.values()))
    # Triton has no gauge of what is being executed; and any check may be late on a machine that is busy itself.
    always = {"busy", "idle"} if flavour == "triton" else {"busy"}
    for (name, (_, states)), found in zip(NEVER.items(), seen, strict=True):
        assert (found.failed_after, found.unready_after) == (None, None), name
        assert found.states <= states | always, name
        assert found.states & (states - {"working"}) or states == {"working"}, name


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_an_engine_that_hangs_behind_a_server_that_answers_is_found_and_taken_out_before(flavour: str) -> None:
    """Its gauges frozen as they were; of eight engines one; and with its gauges at zero, by the canary that waits."""
    rows: dict[str, Awaitable[Seen]] = {
        "gauges frozen": play(flavour, hung),
        "gauges at zero": play(flavour, hidden, canary=True),
    }
    if flavour != "triton":  # it has no gauge of what is being executed
        rows["dead"] = play(flavour, dead, canary=True)
        rows["nothing waits"] = play(flavour, hung_without_a_queue, canary=True)
    if flavour != "tgi":
        rows["one of eight"] = play(flavour, one_rank_hung, ranks=8)
    for name, found in zip(rows, await asyncio.gather(*rows.values()), strict=True):
        assert found.reason == "hung", name
        assert found.failed_after is not None, name
        assert found.unready_after is not None, name
        assert found.unready_after < found.failed_after, name
        if name in {"gauges frozen", "one of eight"}:
            assert HUNG - LATE <= found.failed_after <= IN_TIME, name
            assert WARN - LATE <= found.unready_after <= WARN + 2 * PERIOD + LATE, name


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_one_long_step_takes_readiness_away_and_no_more_and_a_declared_one_is_waited_for(flavour: str) -> None:
    alone, declared = await asyncio.gather(
        play(flavour, long_prefill), play(flavour, long_steps, max_step_seconds=2.0, warn_after_seconds=3.0)
    )
    assert alone.failed_after is None
    if flavour != "triton":  # it has no gauge of what is being executed: idle is all that can be seen
        assert alone.states - {"busy"} == {"working", "stalling"}
        assert alone.unready_after is not None
    assert (declared.failed_after, declared.unready_after) == (None, None)
    assert declared.states - {"busy"} == {"working", "stalling"}


async def test_a_server_that_answers_nothing_any_more_is_unresponsive_not_hung() -> None:
    found = await play("vllm", unresponsive)
    assert found.reason == "unresponsive"
    assert found.failed_after is not None
    assert BLIND <= found.failed_after <= BLIND + 2 * TIMEOUT + LATE


async def test_a_slow_load_is_starting_and_nothing_else() -> None:
    await asyncio.gather(*(slow_load(flavour) for flavour in FLAVOURS))


async def slow_load(flavour: str) -> None:
    async with standing_in(flavour) as server:
        server.health = server.metrics = 503
        async with guarded(spec(server, flavour)) as ward:
            states = set()
            for _ in range(100):
                states.add(state(ward.view))
                await asyncio.sleep(0.02)
            assert states == {"starting"}
            server.health = server.metrics = 200
            await eventually(lambda: state(ward.view) == "idle", 3.0)
            assert ward.view.restarts == ()
