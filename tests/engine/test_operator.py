"""What an operator has a container do: restart, probe, leave given up; maintenance and drains have their own files."""

from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from agent.actions import Order
from agent.core.settings import Backoff, Budget, Drain, Hooks
from agent.engine.operator import REFUSALS
from tests.engine.scripted import (
    ADDRESS,
    Acts,
    Letters,
    Look,
    Server,
    Tells,
    Ward,
    at,
    check,
    container,
    fails,
    guarded,
)
from tests.virtual import run_virtual, virtual_loop


def ward_of(server: Server, action: Any, **restart: Any) -> AbstractAsyncContextManager[Ward]:
    """Startup and readiness each second, liveness of period 10 and threshold 1."""
    look = Look(server)
    virtual_loop().network.open.add(ADDRESS)
    checks = (
        check("startup", look, period_seconds=1, failure_threshold=1000),
        check("readiness", look, period_seconds=1),
        check("liveness", look),
    )
    return guarded(container(*checks, action=action, port=ADDRESS[1], **{"runtime": server, **restart}))


def test_a_restart_goes_the_way_of_every_kill_and_its_reason_is_the_operator() -> None:
    async def work() -> Order:
        server = Server()
        action = Acts(lambda: server.restart_in(10))
        async with ward_of(server, action, drain=Drain(max_seconds=20)) as ward:
            await at(5)
            assert await ward.guard.operator.restart() == ""
            assert (ward.view.phase, ward.view.ready, ward.healthz(), ward.view.cause) == (
                "draining", False, 200, "operator",
            )  # fmt: skip
            await at(26)
            assert (ward.view.phase, ward.healthz()) == ("holding", 503)
            await at(40)
            (record,) = ward.view.restarts
            assert (record.check, record.reason, record.outcome) == ("operator", "operator", "succeeded")
            assert (ward.view.instance, ward.view.ready, ward.view.budget_remaining) == (2, True, 4)
            assert ward.guard.stats.restarts == {("scripted", "operator", "succeeded"): 1}
        return action.orders[0]

    order = run_virtual(work)
    assert (order.reason, order.check, order.instance) == ("operator", "", "1")


def test_a_restart_is_on_disk_when_the_order_is_taken() -> None:
    """Whoever was told that it begins must not find it forgotten."""

    async def work() -> None:
        server = Server()
        async with ward_of(server, Acts(takes=5)) as ward:
            await at(5)
            await ward.guard.operator.restart()
            assert [record.reason for record in ward.saved[-1].restarts] == ["operator"]

    run_virtual(work)


def test_with_none_the_platform_is_asked_until_a_new_instance_comes() -> None:
    async def work() -> None:
        server = Server()
        async with ward_of(server, Acts(holds=False), action_name="none", runtime=None) as ward:
            await at(5)
            await ward.guard.operator.restart()
            await at(100)
            assert (ward.healthz(), ward.view.ready, ward.view.running, ward.view.live) == (503, False, True, True)
            server.restart_in(5)
            await at(110)
            assert (ward.healthz(), ward.view.instance, ward.outcomes(), ward.view.ready) == (
                200, 2, ["succeeded"], True,
            )  # fmt: skip

    run_virtual(work)


def test_with_none_a_restart_that_nobody_takes_is_withdrawn_by_the_operator() -> None:
    """No check can withdraw what no check wanted."""

    async def work() -> None:
        server = Server()
        async with ward_of(server, Acts(holds=False), action_name="none", runtime=None) as ward:
            await at(5)
            await ward.guard.operator.restart()
            await at(100)
            assert ward.healthz() == 503
            assert await ward.guard.operator.resume()
            await at(101)
            assert (ward.healthz(), ward.outcomes(), ward.view.instance) == (200, ["withdrawn"], 1)
            await at(103)
            assert ward.view.ready
            assert not await ward.guard.operator.resume(), "there is nothing any more"

    run_virtual(work)


def test_with_none_a_restart_that_nobody_takes_ends_by_itself() -> None:
    """A server that is well is not out of service for ever because an operator asked and no platform heard."""

    async def work() -> None:
        server = Server()
        async with ward_of(server, Acts(holds=False), action_name="none", runtime=None) as ward:
            await at(5)
            await ward.guard.operator.restart()
            await at(120)
            assert ward.healthz() == 503
            await at(128)
            assert (ward.healthz(), ward.outcomes(), ward.view.ready) == (200, ["withdrawn"], True)

    run_virtual(work)


def test_while_the_platform_is_asked_for_an_operator_a_failing_check_wants_nothing_of_its_own() -> None:
    async def work() -> None:
        server = Server()
        async with ward_of(server, Acts(holds=False), action_name="none", runtime=None) as ward:
            await at(5)
            await ward.guard.operator.restart()
            await at(8)
            server.letter = "f"
            await at(50)
            (record,) = ward.view.restarts
            assert record.also == ["liveness/it"]
            await ward.guard.operator.resume()
            server.letter = "s"
            await at(55)
            server.letter = "f"
            await at(71)
            assert [record.check for record in ward.view.restarts] == ["operator", "liveness/it"]

    run_virtual(work)


def test_notify_tells_of_an_operator_and_restarts_nothing() -> None:
    async def work() -> None:
        server, action = Server(), Tells()
        async with ward_of(server, action) as ward:
            await at(5)
            assert await ward.guard.operator.restart() == ""
            await at(6)
            assert (ward.outcomes(), ward.view.ready, ward.view.instance) == (["succeeded"], True, 1)
            assert action.orders[0].reason == "operator"

    run_virtual(work)


@pytest.mark.parametrize(
    ("rule", "before"),
    [
        ({"arm_after_seconds": 1000}, {}),
        ({"budget": Budget(restarts=0)}, {}),
        ({"depends_on": (check("readiness", Letters("f"), name="database"),)}, {}),
    ],
)
def test_the_brakes_on_the_agents_own_judgement_do_not_hold_for_a_humans(
    rule: dict[str, Any], before: dict[str, Any]
) -> None:
    async def work() -> None:
        server = Server()
        action = Acts(server.start)
        async with ward_of(server, action, **rule) as ward:
            await at(25)
            assert await ward.guard.operator.restart() == ""
            await at(30)
            assert (len(action.begun), ward.view.instance) == (1, 2)

    run_virtual(work)


def test_neither_do_backoff_nor_gpus_nor_an_impaired_agent() -> None:
    async def work() -> None:
        server = Server()
        action = Acts(server.start)
        async with ward_of(server, action, backoff=Backoff(initial_seconds=100)) as ward:
            for moment in (5, 15):
                await at(moment)
                ward.container.seen["gpu_action_required"] = {"GPU-1": "reset"}
                ward.pulse.throttled = True
                assert await ward.guard.operator.restart() == ""
            await at(20)
            assert len(action.begun) == 2

    run_virtual(work)


def test_a_restart_is_refused_in_words_where_it_would_break_a_promise() -> None:
    async def work() -> None:
        server, action = Server(), Acts(takes=20)
        async with ward_of(server, action) as ward:
            await at(5)
            await ward.guard.operator.maintain(10)
            assert await ward.guard.operator.restart() == REFUSALS["maintenance"]
            await ward.guard.operator.maintain(0)
            assert await ward.guard.operator.restart() == ""
            await at(8)
            assert await ward.guard.operator.restart() == REFUSALS["busy"], "one action at a time"
            await at(30)
            assert await ward.guard.operator.restart() == REFUSALS["busy"], "it is held"
            await ward.guard.stop_checks()
            assert await ward.guard.operator.restart() == REFUSALS["leaving"]
            assert len(action.begun) == 1
            assert (ward.view.suppressed, ward.guard.stats.suppressed) == ("", {"maintenance": 1})
        async with ward_of(server, action, dry_run=True) as ward:
            assert await ward.guard.operator.restart() == REFUSALS["dry_run"]
            assert len(action.begun) == 1
            assert ward.view.spared[0].check == "operator"

    run_virtual(work)


def test_a_server_that_was_killed_for_good_is_not_restarted() -> None:
    """Policy Never: nothing runs, and nobody is expected to start it."""

    async def work() -> None:
        server = Server()
        async with ward_of(server, Acts(server.stop), policy="Never") as ward:
            await at(5)
            assert await ward.guard.operator.restart() == ""
            await at(20)
            assert not ward.view.running
            assert await ward.guard.operator.restart() == REFUSALS["busy"]

    run_virtual(work)


def test_an_operators_action_that_fails_is_tried_again_and_never_gives_up() -> None:
    """Each attempt uses one of the budget; without any left the container is simply looked at again."""

    async def work() -> None:
        server, action, give_up = Server(), Acts(fails), Acts()
        rule = {"budget": Budget(restarts=2), "hooks": Hooks(on_give_up=give_up)}
        async with ward_of(server, action, **rule) as ward:
            await at(5)
            await ward.guard.operator.restart()
            await at(60)
            assert (len(action.begun), ward.outcomes()) == (2, ["failed", "failed"])
            assert (ward.view.phase, ward.view.ready, give_up.begun) == ("", True, [])

    run_virtual(work)


# -- given up --------------------------------------------------------


async def given_up(ward: Ward, server: Server) -> None:
    await at(5)
    server.letter = "f"
    await at(12)
    assert ward.view.phase == "given_up"


def test_an_operator_takes_a_container_out_of_given_up_with_a_whole_budget() -> None:
    async def work() -> None:
        server = Server()
        action = Acts(lambda: server.start("f"))
        rule = {"budget": Budget(restarts=1, window_seconds=10_000)}
        async with ward_of(server, action, **rule) as ward:
            await at(5)
            server.letter = "f"
            await at(12)
            assert len(action.begun) == 1
            await at(2000)
            server.letter = "s"
            await at(2015)
            server.letter = "f"
            await at(2025)
            assert (ward.view.phase, ward.view.budget_remaining) == ("given_up", 0)
            assert await ward.guard.operator.resume()
            assert (ward.view.phase, ward.view.budget_remaining, ward.saved[-1].given_up_at) == ("", 1, None)
            await at(2035)
            assert len(action.begun) == 2
            assert [e.fields.get("by") for _, e in ward.said if e.name == "restart.resumed"] == ["operator"]

    run_virtual(work)


def test_a_restart_by_an_operator_leaves_given_up_too() -> None:
    async def work() -> None:
        server = Server()
        action = Acts(server.start)
        async with ward_of(server, action, budget=Budget(restarts=0)) as ward:
            await given_up(ward, server)
            assert await ward.guard.operator.restart() == ""
            assert ward.view.phase == "restarting"
            await at(20)
            assert (ward.view.phase, ward.view.instance, ward.view.ready) == ("", 2, True)

    run_virtual(work)


def test_who_has_not_given_up_has_nothing_to_resume_from() -> None:
    async def work() -> None:
        server = Server()
        async with ward_of(server, Acts()) as ward:
            await at(5)
            assert not await ward.guard.operator.resume()

    run_virtual(work)


# -- probe --------------------------------------------------------


def test_every_check_looks_at_once_and_its_next_beat_is_a_period_away() -> None:
    async def work() -> tuple[list[float], list[float]]:
        live, ready = Letters("s"), Letters("s")
        spec = container(check("liveness", live, period_seconds=30), check("readiness", ready, period_seconds=20))
        async with guarded(spec) as ward:
            await at(7)
            ward.guard.operator.probe()
            await at(50)
        return live.attempts, ready.attempts

    assert run_virtual(work) == ([0.0, 7.0, 37.0], [0.0, 7.0, 27.0, 47.0])
