"""Restarts that do not help are followed by another action, in virtual time."""

from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from msgspec.structs import replace

from agent.core.settings import Backoff, Budget, Drain, Escalation
from tests.engine.scripted import Acts, Look, Server, Tells, Ward, at, check, container, fails, guarded
from tests.virtual import run_virtual


def ward_of(server: Server, action: Any, *steps: Escalation, **restart: Any) -> AbstractAsyncContextManager[Ward]:
    """Liveness each second with threshold 1, a backoff of a second that is forgiven after a minute."""
    rule = {
        "action": action, "action_name": "restart", "escalate": steps, "runtime": server,
        "backoff": Backoff(initial_seconds=1, max_seconds=1, reset_after_seconds=60),
        "budget": Budget(restarts=100), **restart,
    }  # fmt: skip
    return guarded(container(check("liveness", Look(server), period_seconds=1), **rule))


def step(after: int, action: Any, name: str) -> Escalation:
    return Escalation(after=after, action=action, action_name=name)


def actions(ward: Ward) -> list[str]:
    return [record.action for record in ward.view.restarts]


def test_restart_then_evict_then_notify() -> None:
    async def work() -> None:
        server = Server(letter="f")
        restart, evict = Acts(lambda: server.start("f")), Acts(lambda: server.start("f"))
        notify = Tells()
        steps = (step(3, evict, "kubernetes"), step(5, notify, "notify"))
        async with ward_of(server, restart, *steps) as ward:
            await at(20)
            assert actions(ward)[:8] == ["restart"] * 3 + ["kubernetes"] * 2 + ["notify"] * 3
            assert (len(restart.begun), len(evict.begun)) == (3, 2)
            assert (ward.view.phase, ward.view.running, ward.healthz()) == ("", True, 200), "left in service"
            assert ward.view.kills_in_a_row > 5
            assert ward.guard.stats.restarts["kubernetes", "status", "succeeded"] == 2

    run_virtual(work)


def test_a_row_is_over_once_a_server_ran_for_long_enough() -> None:
    async def work() -> None:
        server = Server()
        restart, evict = Acts(server.start), Acts(server.start)
        async with ward_of(server, restart, step(2, evict, "kubernetes")) as ward:
            for moment in (10, 20, 30, 95):
                await at(moment - 0.5)
                server.letter = "f"
                await at(moment + 5)
            assert actions(ward) == ["restart", "restart", "kubernetes", "restart"]

    run_virtual(work)


def test_an_action_that_fails_counts_and_the_next_one_takes_its_place_in_the_same_kill() -> None:
    """The engine's socket is dead: after two attempts the pod is evicted instead."""

    async def work() -> None:
        server = Server(letter="f")
        restart = Acts(fails)
        evict = Acts(lambda: server.start("s"))
        async with ward_of(server, restart, step(2, evict, "kubernetes"), drain=Drain(max_seconds=5)) as ward:
            await at(30)
            assert ward.outcomes() == ["failed", "failed", "succeeded"]
            assert actions(ward) == ["restart", "restart", "kubernetes"]
            assert [name for _, name in ward.steps()].count("draining") == 1
            assert ward.view.instance == 2

    run_virtual(work)


@pytest.mark.parametrize(("last", "name"), [(Tells(), "notify"), (Acts(holds=False), "none")])
def test_an_escalation_to_what_holds_nothing_has_the_container_looked_at_again(last: Any, name: str) -> None:
    """The check that fails still asks for the new action by itself."""

    async def work() -> None:
        server = Server(letter="f")
        async with ward_of(server, Acts(fails), step(2, last, name)) as ward:
            await at(10)
            assert actions(ward)[:3] == ["restart", "restart", name]
            assert ward.view.running
            assert ward.healthz() == (200 if name == "notify" else 503)
            assert "given_up" not in [name for _, name in ward.steps()]

    run_virtual(work)


def test_an_operator_gets_the_restarts_own_action() -> None:
    async def work() -> None:
        server = Server(letter="f")
        restart = Acts(lambda: server.start("f"))
        async with ward_of(server, restart, step(1, Tells(), "notify")) as ward:
            await at(10)
            assert set(actions(ward)[1:]) == {"notify"}
            before = len(restart.begun)
            assert await ward.guard.operator.restart() == ""
            await at(12)
            assert len(restart.begun) == before + 1

    run_virtual(work)


def test_a_row_survives_the_agent_and_so_does_the_action_of_a_hold() -> None:
    async def work() -> None:
        server = Server()
        webhook = Acts()
        async with ward_of(server, Acts(server.start), step(2, webhook, "webhook")) as ward:
            for moment in (10, 20):
                await at(moment - 0.5)
                server.letter = "f"
                await at(moment + 5)
            memory, spec = ward.guard.memory(), ward.container.spec
            assert (memory.kills, ward.view.kills_in_a_row) == (2, 2)
        async with guarded(spec, memory) as ward:
            server.letter = "f"
            await at(30)
            assert len(webhook.begun) == 1
            memory = ward.guard.memory()
            assert memory.hold is not None
            assert memory.hold.action == "webhook"
        async with guarded(spec, memory) as ward:
            await at(700)
            assert ward.view.phase == "holding", "a webhook's new instance is assumed after 900 s"
            await at(930)
            assert ("webhook", "timed_out") in zip(actions(ward), ward.outcomes(), strict=True)

    run_virtual(work)


def test_a_reload_may_take_the_steps_away() -> None:
    async def work() -> None:
        server = Server(letter="f")
        restart = Acts(lambda: server.start("f"))
        async with ward_of(server, restart, step(2, Tells(), "notify")) as ward:
            await at(10)
            assert len(restart.begun) == 2
            spec = ward.container.spec
            await ward.guard.replace(replace(spec, restart=replace(spec.restart, escalate=None)))
            await at(20)
            assert len(restart.begun) > 4

    run_virtual(work)
