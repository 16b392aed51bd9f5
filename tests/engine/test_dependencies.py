"""Checks of what a container depends on: they hold its restarts back for a while, and are no part of its verdict."""

from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from msgspec.structs import replace

from agent.core.settings import Budget
from tests.engine.scripted import Acts, Letters, Look, Server, Ward, at, check, container, guarded
from tests.virtual import run_virtual


def ward_of(
    server: Server, elsewhere: Any, action: Any, *, threshold: int = 1, **restart: Any
) -> AbstractAsyncContextManager[Ward]:
    """Liveness of period 10 and threshold 1 unless said otherwise, and a database that is looked at every 5 s."""
    look = Look(server)
    database = check("readiness", elsewhere, name="database", period_seconds=5)
    rule = {"depends_on": (database,), "correlated_hold_seconds": 60.0, "runtime": server, **restart}
    return guarded(container(check("liveness", look, failure_threshold=threshold), action=action, **rule))


async def failed_at_10(server: Server) -> None:
    await at(5.5)
    server.letter = "f"
    await at(10.5)


def test_a_restart_is_held_back_while_something_else_fails_too_and_says_so() -> None:
    async def work() -> None:
        server, action = Server(), Acts()
        database = Server(letter="f")
        async with ward_of(server, Look(database), action) as ward:
            await failed_at_10(server)
            assert (ward.view.suppressed, ward.view.phase, ward.view.running, ward.view.live) == (
                "correlated", "", True, False,
            )  # fmt: skip
            (told,) = [e for _, e in ward.said if e.name == "restart.suppressed"]
            assert (told.fields["why"], told.fields["with"]) == ("correlated", "database")
            assert [(d.name, d.published) for d in ward.view.depends_on] == [("database", "Failure")]
            await at(69)
            assert action.begun == []
            await at(71)
            assert action.begun == [70.0], "for at most so long"
            assert ward.guard.stats.suppressed == {"correlated": 6}

    run_virtual(work)


def test_it_comes_at_the_next_failed_round_once_the_rest_is_well() -> None:
    async def work() -> None:
        server, action, database = Server(), Acts(), Server(letter="f")
        async with ward_of(server, Look(database), action) as ward:
            await failed_at_10(server)
            await at(22)
            database.letter = "s"
            await at(31)
            assert action.begun == [30.0]
            assert [e.name for _, e in ward.said if e.name.startswith("depends_on")] == [
                "depends_on.failure", "depends_on.success",
            ]  # fmt: skip

    run_virtual(work)


def test_a_server_that_recovers_with_the_rest_is_not_restarted() -> None:
    async def work() -> None:
        server, action, database = Server(), Acts(), Server(letter="f")
        async with ward_of(server, Look(database), action) as ward:
            await failed_at_10(server)
            await at(25.5)
            server.letter = "s"
            await at(31)
            assert (ward.view.suppressed, ward.view.live) == ("", True)
            server.letter = "f"
            await at(95)
            assert action.begun == [], "another failing is held back anew, from its own beginning"
            await at(101)
            assert action.begun == [100.0]

    run_virtual(work)


@pytest.mark.parametrize("letters", ["s", "u", "w", "sf"])
def test_what_is_well_or_cannot_be_told_or_has_not_failed_often_enough_holds_nobody_back(letters: str) -> None:
    async def work() -> list[float]:
        server, action = Server(), Acts()
        elsewhere = check("readiness", Letters(letters), name="database", period_seconds=9, failure_threshold=3)
        async with ward_of(server, None, action, depends_on=(elsewhere,)):
            await failed_at_10(server)
        return action.begun

    assert run_virtual(work) == [10.0]


def test_it_is_no_part_of_the_verdict() -> None:
    async def work() -> None:
        server = Server()
        async with ward_of(server, Letters("f"), Acts()) as ward:
            await at(30)
            assert (ward.view.live, ward.view.ready, ward.view.started, ward.view.phase) == (True, True, True, "")
            assert len(ward.view.checks) == 1

    run_virtual(work)


def test_it_goes_on_while_the_container_is_held() -> None:
    async def work() -> int:
        server, method = Server(), Letters("s")
        async with ward_of(server, method, Acts(), assume_restarted_seconds=100) as ward:
            await failed_at_10(server)
            assert ward.view.phase == "holding"
            before = len(method.attempts)
            await at(60)
            return len(method.attempts) - before

    assert run_virtual(work) == 10


def test_a_dry_run_tells_of_a_restart_only_where_nothing_else_would_have_held_it_back() -> None:
    async def work() -> None:
        server, database = Server(), Server(letter="f")
        async with ward_of(server, Look(database), Acts(), dry_run=True) as ward:
            await failed_at_10(server)
            assert ward.guard.stats.suppressed == {"correlated": 1}
            await at(71)
            assert ward.guard.stats.suppressed == {"correlated": 6, "dry_run": 1}
            await at(81)
            assert ward.guard.stats.suppressed["correlated"] == 7, "the next one is held back anew"

    run_virtual(work)


def test_how_long_it_has_been_held_back_survives_the_agent() -> None:
    async def work() -> None:
        server, action, database = Server(), Acts(), Server(letter="f")
        async with ward_of(server, Look(database), action, threshold=2) as ward:
            await failed_at_10(server)
            await at(21)
            memory, spec = ward.guard.memory(), ward.container.spec
        assert memory.correlated_since == 20.0
        await at(40)
        async with guarded(spec, memory):
            await at(75)
            assert action.begun == []
            await at(81)
            assert action.begun == [80.0]

    run_virtual(work)


def test_an_unchanged_check_goes_on_through_a_reload_and_a_changed_one_begins_anew() -> None:
    async def work() -> None:
        server, kept, changed = Server(), Letters("f"), Letters("s")
        async with ward_of(server, kept, Acts()) as ward:
            await at(12)
            spec = ward.container.spec
            await ward.guard.replace(replace(spec, restart=replace(spec.restart, budget=Budget(restarts=9))))
            assert [d.published for d in ward.view.depends_on] == ["Failure"]
            await at(22)
            assert kept.attempts == [0.0, 5.0, 10.0, 15.0, 20.0]
            other = check("readiness", changed, name="database", period_seconds=7)
            await ward.guard.replace(replace(spec, restart=replace(spec.restart, depends_on=(other,))))
            assert [d.published for d in ward.view.depends_on] == ["Unknown"]
            await at(30)
            assert (changed.attempts, len(kept.attempts)) == ([22.0, 29.0], 5)
            await ward.guard.replace(replace(spec, restart=replace(spec.restart, depends_on=())))
            await at(100)
            assert (len(changed.attempts), ward.view.depends_on, ward.guard.healthy()) == (2, (), [])

    run_virtual(work)


def test_a_worker_of_a_dependency_that_died_is_told() -> None:
    async def work() -> None:
        async with ward_of(Server(), Letters("s"), Acts()) as ward:
            await at(1)
            (task,) = ward.guard.dependencies.tasks()
            task.cancel()
            await at(2)
            assert ward.guard.healthy() == ["worker model/depends_on/readiness/database"]

    run_virtual(work)
