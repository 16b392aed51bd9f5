"""How an instance ended is asked of the runtime that knows, told once, and shown."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from agent.engine.endings import Endings
from agent.runtimes import Ended, Instance
from tests.engine.scripted import Look, Server, Ward, at, check, container
from tests.virtual import run_virtual


class Engine(msgspec.Struct, kw_only=True):
    """A server's runtime that remembers; ``answer`` is what it says of the end."""

    server: Server
    answer: Ended | None = None
    problem: Exception | None = None
    hangs: bool = False
    asked: int = 0

    async def instance(self) -> Instance | None:
        return await self.server.instance()

    async def ended(self) -> Ended | None:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.problem is not None:
            raise self.problem
        return self.answer


@asynccontextmanager
async def guarded(engine: Any, server: Server) -> AsyncIterator[tuple[Ward, Endings]]:
    ward = Ward(container(check("readiness", Look(server)), runtime=engine))
    endings = Endings(lambda _: ward.guard)
    ward.guard.bus.subscribe(endings.tell)
    await ward.guard.begin(None)
    ward.guard.work(lambda _: 0.0)
    try:
        yield ward, endings
    finally:
        await endings.close()
        await ward.guard.close()


def told(ward: Ward) -> list[tuple[float, dict[str, Any], str]]:
    return [(when, event.fields, event.level) for when, event in ward.said if event.name == "instance.ended"]


def test_an_instance_that_is_gone_is_asked_after_and_told_once() -> None:
    async def work() -> None:
        server = Server()
        engine = Engine(server=server, answer=Ended("run 1", 137, oom=True, detail="out of memory"))
        async with guarded(engine, server) as (ward, _):
            await at(6)
            server.stop()
            await at(30)
            assert told(ward) == [(10.0, {"to": "ended", "exit_code": 137, "oom": True}, "warning")]
            server.start()
            await at(40)
            assert (engine.asked, len(told(ward))) == (2, 1), "asked again at the new instance, and it is no news"
            view = ward.guard.view()
            assert view.ended is not None
            assert (view.ended.exit_code, view.ended.oom, view.ended.detail) == (137, True, "out of memory")

    run_virtual(work)


def test_each_end_is_told() -> None:
    async def work() -> None:
        server = Server()
        engine = Engine(server=server, answer=Ended("run 1", 0))
        async with guarded(engine, server) as (ward, _):
            await at(6)
            server.start()
            await at(20)
            engine.answer = Ended("run 2", 1)
            server.start()
            await at(40)
            assert [(fields["exit_code"], level) for _, fields, level in told(ward)] == [(0, "info"), (1, "warning")]

    run_virtual(work)


@pytest.mark.parametrize("trouble", [{"problem": OSError("the engine is gone")}, {"hangs": True}, {}])
def test_who_cannot_tell_holds_nothing_up(trouble: dict[str, Any]) -> None:
    async def work() -> None:
        server = Server()
        engine = Engine(server=server, **trouble)
        async with guarded(engine, server) as (ward, _):
            await at(6)
            server.start()
            await at(40)
            assert (told(ward), ward.guard.container.instance, engine.asked) == ([], 2, 1)
            assert ward.guard.healthy() == []

    run_virtual(work)


def test_a_runtime_that_does_not_remember_is_not_asked() -> None:
    async def work() -> None:
        server = Server()
        async with guarded(server, server) as (ward, endings):
            await at(6)
            server.start()
            await at(40)
            assert (told(ward), endings._asking) == ([], {})

    run_virtual(work)
