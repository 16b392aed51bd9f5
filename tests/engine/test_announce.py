"""A container's runtime is told of its restarts: in order, in closed words, and never in anybody's way."""

import asyncio
import logging
from typing import Any

import pytest

from agent.actions.none import NoAction
from agent.core.settings import Budget
from agent.engine.announce import Announcer, message_of
from agent.engine.events import Event
from tests.engine.scripted import Look, Server, at, check, container, guarded
from tests.virtual import run_virtual


class Cluster:
    """A runtime that keeps what it is told, or fails, or hangs."""

    def __init__(self, problem: Exception | None = None, *, hangs: bool = False) -> None:
        self.problem = problem
        self.hangs = hangs
        self.told: list[tuple[str, str]] = []

    async def announce(self, reason: str, message: str) -> None:
        self.told.append((reason, message))
        if self.hangs:
            await asyncio.Event().wait()
        if self.problem is not None:
            raise self.problem


def event(name: str = "restart.action", **fields: Any) -> Event:
    given = {"step": "action", "action": "signal", "reason": "timeout", "check": "liveness/answers", **fields}
    return Event(kind="restart", name=name, time=0.0, container="model", fields=given, detail="a secret")


@pytest.mark.parametrize(
    ("name", "fields", "words"),
    [
        ("restart.action", {}, "liveness/answers has failed; reason timeout; action signal"),
        (
            "restart.requested",
            {"action": "none", "evidence": "/var/evidence/a"},
            "liveness/answers has failed; reason timeout; /healthz/model answers 503 until it is restarted; evidence a",
        ),
        (
            "restart.given_up",
            {"reason": ""},
            "liveness/answers has failed; no restart is left in the budget, so nobody acts any more: a human is needed",
        ),
    ],
)
def test_the_words_say_which_check_failed_why_and_what_is_done(name: str, fields: dict[str, Any], words: str) -> None:
    assert message_of(event(name, **fields)) == words


def test_a_restart_is_told_to_a_runtime_that_listens_and_nothing_else_is() -> None:
    """Decisions, holds and outcomes are the agent's own affair."""

    async def work() -> None:
        server, cluster = Server(), Cluster()
        announcer = Announcer(lambda name: cluster if name == "model" else None)
        spec = container(check("liveness", Look(server)), action=NoAction(), budget=Budget(restarts=1))
        async with guarded(spec) as ward:
            ward.guard.bus.subscribe(announcer.tell)
            await at(5)
            server.letter = "f"
            await at(15)
            server.letter = "s"
            await at(25)
            server.letter = "f"
            await at(60)
        assert [reason for reason, _ in cluster.told] == ["RestartRequested", "RestartGivenUp"]
        assert "reason status" in cluster.told[0][1]

    run_virtual(work)


def test_a_runtime_without_a_place_for_it_is_not_told() -> None:
    async def work() -> None:
        announcer = Announcer(lambda _: Server())
        announcer.tell(event())
        await announcer.close(1)

    run_virtual(work)


def test_a_right_that_is_missing_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """The restarts go on, and so do the attempts: the right may be given meanwhile."""

    async def work() -> None:
        cluster = Cluster(PermissionError(13, "add {resources: [events], verbs: [create]}"))
        announcer = Announcer(lambda _: cluster)
        for _ in range(3):
            announcer.tell(event())
            await at(1)
        assert len(cluster.told) == 3

    with caplog.at_level(logging.WARNING):
        run_virtual(work)
    [record] = [record for record in caplog.records if record.getMessage() == "runtime.announce_failed"]
    assert "resources: [events]" in vars(record)["detail"]


def test_a_runtime_that_hangs_is_given_up_and_holds_nobody_up(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        hanging, well = Cluster(hangs=True), Cluster()
        runtimes = [hanging, well]
        announcer = Announcer(lambda _: runtimes.pop(0))
        announcer.tell(event())
        announcer.tell(event())
        await at(9)
        assert well.told == []
        await at(11)
        assert len(well.told) == 1

    run_virtual(work)
    assert "TimeoutError" in vars(caplog.records[0])["detail"]


def test_what_waits_behind_a_hundred_others_is_dropped() -> None:
    async def work() -> None:
        cluster = Cluster(hangs=True)
        announcer = Announcer(lambda _: cluster)
        for _ in range(300):
            announcer.tell(event())
        await at(2000)
        assert len(cluster.told) == 100

    run_virtual(work)


@pytest.mark.parametrize("hangs", [False, True])
def test_at_the_agents_end_what_waits_has_its_seconds(hangs: bool) -> None:
    async def work() -> None:
        cluster = Cluster(hangs=hangs)
        announcer = Announcer(lambda _: cluster)
        announcer.tell(event())
        await announcer.close(2)
        assert asyncio.get_running_loop().time() == (2 if hangs else 0)
        assert len(cluster.told) == 1

    run_virtual(work)
