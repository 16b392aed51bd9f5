"""Drains in virtual time: a kill's, until nothing is in flight or its time is over, and an operator's."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from agent.core.settings import Drain, Hooks
from tests.engine.scripted import ADDRESS, Acts, Gauged, Look, Server, Ward, at, check, container, guarded
from tests.virtual import run_virtual, virtual_loop

Gauge = Callable[[], float | None]


def ward_of(server: Server, gauge: Gauge | None, **restart: Any) -> AbstractAsyncContextManager[Ward]:
    """Liveness of period 10 and threshold 1; a second check that can tell what is in flight, where there is a gauge."""
    look = Look(server)
    virtual_loop().network.open.add(ADDRESS)
    checks = [check("liveness", look), check("readiness", look, period_seconds=1)]
    if gauge is not None:
        checks.append(check("readiness", Gauged(server, gauge=gauge), name="progress", period_seconds=1))
    rule = {"action": Acts(), "runtime": server, "drain": Drain(max_seconds=60, until_idle=True), **restart}
    return guarded(container(*checks, port=ADDRESS[1], **rule))


def falling(*levels: tuple[float, float | None]) -> Gauge:
    """In flight from so many seconds on, each."""

    def gauge() -> float | None:
        return [level for since, level in levels if virtual_loop().time() >= since][-1]

    return gauge


async def failed_at_10(server: Server) -> None:
    await at(5)
    server.letter = "f"
    await at(10.5)


def begun(ward: Ward) -> list[float]:
    found: list[float] = ward.container.spec.restart.action.begun
    return found


def test_a_drain_ends_once_nothing_is_in_flight() -> None:
    async def work() -> None:
        server = Server()
        async with ward_of(server, falling((0, 7), (25, 0))) as ward:
            await failed_at_10(server)
            assert (ward.view.phase, ward.view.step, ward.view.in_flight, ward.view.ready) == (
                "draining", "drain", 7.0, False,
            )  # fmt: skip
            await at(40)
            assert begun(ward) == [pytest.approx(26, abs=1.1)], "two looks found nothing"
            ((_, drained),) = [(t, e) for t, e in ward.said if e.name == "restart.drained"]
            assert drained.fields["why"] == "idle"

    run_virtual(work)


def test_between_two_requests_a_gauge_reads_nothing_and_that_is_not_idle() -> None:
    async def work() -> None:
        server = Server()
        async with ward_of(server, falling((0, 7), (20, 0), (20.9, 3), (30, 0))) as ward:
            await failed_at_10(server)
            await at(60)
            assert begun(ward)[0] > 30

    run_virtual(work)


def raises() -> float | None:
    raise ConnectionRefusedError(111, "nobody listens on /metrics")


def cancels() -> float | None:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("gauge", "told"),
    [(None, False), (lambda: None, False), (raises, True), (cancels, True), (falling((0, 3)), False)],
)
def test_what_cannot_be_told_or_does_not_end_lasts_its_full_time(
    gauge: Gauge | None, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """No check that could tell, gauges that are gone, a scrape that fails, work that goes on."""

    async def work() -> None:
        server = Server()
        async with ward_of(server, gauge) as ward:
            await failed_at_10(server)
            await at(69.5)
            assert begun(ward) == []
            await at(72)
            assert begun(ward) == [pytest.approx(70)]

    run_virtual(work)
    assert [record.getMessage() for record in caplog.records] == ["drain.blind"] * told, "once"


def test_gauges_that_hang_do_not_make_a_drain_longer() -> None:
    class Hanging(Gauged, frozen=True, kw_only=True):
        async def in_flight(self, target: Any) -> float | None:
            await asyncio.Event().wait()
            return 0.0

    async def work() -> None:
        server, action = Server(), Acts()
        look = Hanging(server, gauge=lambda: 0.0)
        spec = container(check("liveness", look), action=action, drain=Drain(max_seconds=23, until_idle=True))
        async with guarded(spec):
            await failed_at_10(server)
            await at(40)
            assert action.begun == [pytest.approx(33)]

    run_virtual(work)


def test_without_until_idle_a_drain_takes_its_time_and_asks_nobody() -> None:
    asked: list[float] = []

    def gauge() -> float:
        asked.append(virtual_loop().time())
        return 0.0

    async def work() -> None:
        server = Server()
        async with ward_of(server, gauge, drain=Drain(max_seconds=20)) as ward:
            await failed_at_10(server)
            await at(40)
            assert (begun(ward), asked) == ([30.0], [])

    run_virtual(work)


def test_several_servers_of_one_container_are_idle_when_all_of_them_are() -> None:
    async def work() -> None:
        server, action = Server(), Acts()
        first = check("liveness", Gauged(server, gauge=lambda: 0.0))
        second = check("readiness", Gauged(server, gauge=falling((0, 2), (30, 0))))
        spec = container(first, second, action=action, drain=Drain(max_seconds=60, until_idle=True))
        async with guarded(spec):
            await failed_at_10(server)
            await at(29.9)
            assert action.begun == []
            await at(33)
            assert len(action.begun) == 1

    run_virtual(work)


# -- an operator's --------------------------------------------------------


def test_an_operator_drains_a_container_and_nobody_is_killed_for_it() -> None:
    async def work() -> None:
        server = Server()
        async with ward_of(server, falling((0, 5))) as ward:
            await at(5)
            assert ward.view.ready
            await ward.guard.operator.drain(100)
            view = ward.view
            assert (view.phase, view.ready, view.requested, view.live, view.started) == (
                "draining", False, False, True, True,
            )  # fmt: skip
            assert not ward.guard.standing().ready
            await at(7)
            assert (ward.view.in_flight, ward.view.drain_seconds) == (5.0, pytest.approx(98))
            await at(104)
            assert (ward.view.phase, ward.healthz(), begun(ward)) == ("draining", 200, [])
            await at(107)
            assert (ward.view.phase, ward.view.ready, ward.view.in_flight) == ("", True, None)
            assert [(e.fields["how"]) for _, e in ward.said if e.name == "restart.drain"] == ["began", "time"]

    run_virtual(work)


def test_an_operators_drain_ends_with_a_new_instance() -> None:
    async def work() -> None:
        server = Server()
        async with ward_of(server, None) as ward:
            await at(5)
            await ward.guard.operator.drain(1000)
            server.start()
            await at(12)
            assert (ward.view.instance, ward.view.phase, ward.view.ready, ward.view.drain_seconds) == (
                2,
                "",
                True,
                None,
            )

    run_virtual(work)


def test_an_operators_drain_can_be_made_longer_shorter_and_ended() -> None:
    async def work() -> None:
        server = Server()
        async with ward_of(server, None) as ward:
            await at(5)
            await ward.guard.operator.drain(10)
            await ward.guard.operator.drain(1000)
            await at(500)
            assert ward.view.phase == "draining"
            await ward.guard.operator.drain(20)
            await at(522)
            assert ward.view.phase == ""
            await ward.guard.operator.drain(1000)
            await ward.guard.operator.drain(0)
            assert (ward.view.phase, ward.view.ready) == ("", True)
            assert [e.fields["how"] for _, e in ward.said if e.name == "restart.drain"] == [
                "began", "time", "began", "ended",
            ]  # fmt: skip

    run_virtual(work)


@pytest.mark.parametrize(
    ("gauge", "end", "idle"),
    [
        (falling((0, 5), (30, 0)), 31.0, True),
        (falling((0, 5)), 105.0, False),
        (None, 105.0, False),
    ],
)
def test_whoever_drains_can_wait_until_nothing_is_in_flight(gauge: Gauge | None, end: float, idle: bool) -> None:
    """As a preStop hook does: the container stays out of service afterwards, for the time that was asked."""

    async def work() -> None:
        server = Server()
        async with ward_of(server, gauge) as ward:
            await at(5)
            await ward.guard.operator.drain(100)
            assert await ward.guard.operator.drained() is idle
            assert virtual_loop().time() == pytest.approx(end, abs=1.1)
            assert (ward.view.phase == "draining") is idle

    run_virtual(work)


def test_a_dead_server_is_restarted_though_an_operator_drains_it() -> None:
    """The drain kills nobody, and saves nobody either; the new instance ends it."""

    async def work() -> None:
        server = Server()
        action = Acts(lambda: server.restart_in(5))
        async with ward_of(server, None, action=action, drain=Drain()) as ward:
            await at(5)
            await ward.guard.operator.drain(1000)
            server.letter = "f"
            await at(12)
            assert (ward.view.phase, ward.view.step, ward.healthz()) == ("draining", "hold", 503)
            await at(20)
            assert (ward.view.instance, ward.view.phase, ward.view.ready) == (2, "", True)

    run_virtual(work)


def test_an_operators_drain_survives_the_agent_and_not_the_instance() -> None:
    async def work() -> None:
        server = Server()
        async with ward_of(server, None) as ward:
            await at(5)
            await ward.guard.operator.drain(100)
            memory, spec = ward.saved[-1], ward.container.spec
        await at(50)
        async with guarded(spec, memory) as ward:
            assert (ward.view.phase, ward.view.drain_seconds) == ("draining", pytest.approx(55))
            assert ward.guard.memory().drain_until == memory.drain_until
            await at(106.5)
            assert ward.view.phase == ""
        await at(110)
        async with guarded(spec, memory) as ward:
            assert ward.view.phase == "", "its time is over"
        server.start()
        async with guarded(spec, memory) as ward:
            assert ward.view.phase == ""

    run_virtual(work)


def test_a_kill_under_way_is_over_before_its_drain_is_where_the_server_came_back_by_itself() -> None:
    async def work() -> None:
        server, post = Server(), Acts()
        async with ward_of(server, falling((0, 4)), hooks=Hooks(post_restart=post)) as ward:
            await failed_at_10(server)
            server.restart_in(3)
            await at(16)
            assert (begun(ward), ward.view.instance, ward.view.phase, len(post.begun)) == ([], 2, "", 1)

    run_virtual(work)
