"""A kill from its decision to the new instance, in virtual time: its order, its brakes, its retries, its end."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from agent.actions import ExitRequested, LeftAloneError, Order
from agent.core.settings import Backoff, Budget, Drain, Hooks
from agent.engine.container import Sentence
from agent.engine.statefile import Hold
from tests.engine.scripted import ADDRESS, Acts, Look, Server, Tells, Ward, at, check, container, fails, guarded
from tests.virtual import Network, run_virtual, virtual_loop


def ward_of(server: Server, action: Any, *, liveness: dict[str, Any] | None = None, **restart: Any) -> Any:
    """A container with a server of its own: startup, readiness and a liveness check of period 10 and threshold 1."""
    look = Look(server)
    virtual_loop().network.open.add(ADDRESS)
    checks = (
        check("startup", look, period_seconds=1, failure_threshold=1000),
        check("readiness", look, period_seconds=1),
        check("liveness", look, **(liveness or {})),
    )
    return guarded(container(*checks, action=action, port=ADDRESS[1], **{"runtime": server, **restart}))


# -- the order --------------------------------------------------------


class Noting(Acts):
    """A hook or an action that writes its kind down in order, and what the endpoints said then."""

    def __init__(self, notes: list[Any], *script: Any, takes: float = 0.0) -> None:
        super().__init__(*script, takes=takes)
        self.notes = notes
        self.ward: Ward | None = None

    async def act(self, order: Order) -> None:
        self.notes.append((virtual_loop().time(), order.type, self.ward.view.phase if self.ward else ""))
        await super().act(order)


def test_a_kill_goes_through_drain_hook_action_and_hold_to_the_new_instance() -> None:
    async def work() -> None:
        server, notes = Server(), []
        action = Noting(notes, lambda: server.restart_in(30), takes=4)
        hooks = [Noting(notes, takes=1) for _ in range(2)]
        rule = {
            "drain": Drain(max_seconds=15),
            "hooks": Hooks(pre_restart=hooks[0], post_restart=hooks[1]),
        }
        async with ward_of(server, action, **rule) as ward:
            for each in (action, *hooks):
                each.ward = ward
            await at(5)
            assert (ward.healthz(), ward.view.ready) == (200, True)
            server.letter = "f"
            await at(10)
            assert (ward.view.phase, ward.healthz(), ward.view.ready) == ("draining", 200, False)
            await at(25.5)
            assert ward.healthz() == 200, "drain and hook first"
            await at(26.5)
            assert (ward.view.phase, ward.healthz()) == ("restarting", 503)
            await at(31)
            assert (ward.view.phase, ward.healthz()) == ("holding", 503)
            await at(65)
            assert (ward.view.phase, ward.healthz(), ward.view.instance) == ("", 200, 2)
            assert ward.view.ready
        assert notes == [
            (25.0, "pre_restart", "draining"),
            (26.0, "action", "restarting"),
            (pytest.approx(60, abs=1.1), "post_restart", ""),
        ]
        assert [step for _, step in ward.steps()] == [
            "decided", "draining", "drained", "pre_restart", "action", "holding", "gone", "succeeded", "post_restart",
        ]  # fmt: skip
        assert ward.outcomes() == ["succeeded"]

    run_virtual(work)


def test_the_action_is_told_what_happened_and_how_long_its_victim_may_take() -> None:
    async def work() -> Order:
        server = Server()
        action = Acts(server.start)
        async with ward_of(server, action, liveness={"termination_grace_period_seconds": 7.0}) as ward:
            await at(5)
            server.letter = "f"
            await at(11)
            assert ward.view.restarts[0].check == "liveness/it"
        return action.orders[0]

    order = run_virtual(work)
    assert (order.type, order.container, order.reason, order.check, order.to, order.instance, order.grace_seconds) == (
        "action", "model", "status", "it", "Failure", "1", 7.0,
    )  # fmt: skip


def test_nothing_is_probed_from_the_decision_to_the_new_instance() -> None:
    probed: list[float] = []

    class Counting(Look, frozen=True):
        async def probe(self, target: Any) -> Any:
            probed.append(virtual_loop().time())
            return await super().probe(target)

    async def work() -> None:
        server = Server()
        look = Counting(server)
        action = Acts(lambda: server.restart_in(20), takes=5)
        spec = container(
            check("readiness", look, period_seconds=1), check("liveness", look), action=action, runtime=server
        )
        async with guarded(spec):
            await at(5)
            server.letter = "f"
            await at(60)

    run_virtual(work)
    assert not [t for t in probed if 10 < t < 34.9], "the action ends at 15, the server is back at 35"
    assert [t for t in probed if t > 36]


# -- an action that fails --------------------------------------------------------


def test_a_failed_action_is_tried_again_with_backoff_and_each_attempt_uses_one_of_the_budget() -> None:
    async def work() -> None:
        server = Server()
        action = Acts(fails, fails, server.start)
        rule = {"backoff": Backoff(initial_seconds=10, max_seconds=300), "budget": Budget(restarts=5)}
        async with ward_of(server, action, **rule) as ward:
            await at(5)
            server.letter = "f"
            await at(10)
            assert ward.healthz() == 503
            await at(39)
            assert action.begun == pytest.approx([10, 20])
            assert (ward.healthz(), ward.view.ready) == (503, False), "between two attempts nothing is taken back"
            await at(60)
            assert action.begun == pytest.approx([10, 20, 40])
            assert ward.outcomes() == ["failed", "failed", "succeeded"]
            assert (ward.view.budget_remaining, ward.view.instance) == (2, 2)
            assert "the engine said no" in ward.view.restarts[0].detail

    run_virtual(work)


def test_each_attempt_is_on_disk_before_it_begins() -> None:
    """An action may end the agent itself, which must not find a fresh budget then."""

    async def work() -> None:
        server = Server()
        spent: list[int] = []

        class Looking(Acts):
            async def act(self, order: Order) -> None:
                spent.append(len(ward.saved[-1].spent) if ward.saved else 0)
                await super().act(order)

        async with ward_of(server, Looking(fails, fails, server.start)) as ward:
            await at(5)
            server.letter = "f"
            await at(30)
        assert spent == [1, 2, 3]

    run_virtual(work)


def test_an_action_that_takes_too_long_is_ended_and_has_failed() -> None:
    """Its time-out comes on top of the grace period."""

    async def work() -> None:
        server = Server()
        action = Acts(takes=1000)
        rule = {"action_timeout_seconds": 60, "grace_period_seconds": 30, "budget": Budget(restarts=1)}
        async with ward_of(server, action, **rule) as ward:
            await at(5)
            server.letter = "f"
            await at(99.9)
            assert action.cancelled == 0
            await at(101)
            assert (action.cancelled, ward.outcomes()) == (1, ["failed"])
            assert "not done within 90 s" in ward.view.restarts[0].detail

    run_virtual(work)


@pytest.mark.parametrize("how", [asyncio.CancelledError, ZeroDivisionError, TimeoutError])
def test_whatever_an_action_raises_is_its_failure(how: type[BaseException]) -> None:
    def raises() -> None:
        raise how

    async def work() -> None:
        server = Server()
        action = Acts(raises, server.start)
        async with ward_of(server, action) as ward:
            await at(5)
            server.letter = "f"
            await at(30)
            assert ward.outcomes() == ["failed", "succeeded"]
            assert ward.guard.healthy() == []

    run_virtual(work)


def test_with_the_budget_gone_after_a_failed_action_the_same_instance_is_probed_again_and_given_up() -> None:
    async def work() -> None:
        server = Server()
        action = Acts(fails)
        give_up = Acts()
        rule = {"budget": Budget(restarts=2, window_seconds=1000), "hooks": Hooks(on_give_up=give_up)}
        async with ward_of(server, action, **rule) as ward:
            await at(5)
            server.letter = "f"
            await at(100)
            assert len(action.begun) == 2
            assert (ward.view.phase, ward.healthz(), ward.view.ready, ward.view.instance) == ("given_up", 200, False, 1)
            assert len(give_up.begun) == 1
            assert (ward.view.suppressed, ward.guard.stats.suppressed) == ("budget", {"budget": 1})
            server.letter = "s"
            await at(120)
            assert ward.view.suppressed == "", "nothing is wanted any more"
            assert ward.container.started, "it is probed, from its startup checks on"
            assert ward.container.ready
            assert not ward.view.ready, "given up is not ready"

    run_virtual(work)


def test_a_new_instance_seen_while_the_last_action_fails_is_taken_over() -> None:
    """The action timed out, but did its work; no budget is left, and none is needed."""

    async def work() -> None:
        server = Server()

        def works_and_fails() -> None:
            server.start()

        class Late(Acts):
            async def act(self, order: Order) -> None:
                await super().act(order)
                await asyncio.sleep(5)
                fails()

        action, post = Late(works_and_fails), Acts()
        rule = {"budget": Budget(restarts=1), "hooks": Hooks(post_restart=post)}
        async with ward_of(server, action, **rule) as ward:
            await at(5)
            server.letter = "f"
            await at(30)
            assert (ward.view.instance, ward.view.phase, ward.outcomes()) == (2, "", ["failed"])
            assert ward.view.ready
            assert len(post.begun) == 1

    run_virtual(work)


# -- the hold and its end --------------------------------------------------------


def hold(server: Server, **rule: Any) -> Any:
    """A ward whose action does nothing by itself."""
    return ward_of(server, Acts(), **rule)


async def killed(ward: Ward, server: Server, moment: float = 10) -> None:
    await at(moment - 5)
    server.letter = "f"
    await at(moment + 0.1)
    assert ward.view.phase == "holding"


def test_the_runtime_ends_a_hold() -> None:
    async def work() -> None:
        server = Server()
        async with hold(server) as ward:
            await killed(ward, server)
            server.restart_in(20)
            await at(29)
            assert ward.view.instance == 1
            await at(31.2)
            assert (ward.view.instance, ward.view.identity, ward.outcomes()) == (2, "run 2", ["succeeded"])

    run_virtual(work)


def test_a_runtime_that_has_died_leaves_the_hold_to_the_other_signs() -> None:
    async def work() -> None:
        server = Server(broken_runtime=True)
        async with hold(server) as ward:
            await killed(ward, server)
            server.restart_in(20)
            await at(29)
            assert ward.view.instance == 1
            await at(31)
            assert ward.view.instance == 2

    run_virtual(work)


def test_the_connection_edge_ends_a_hold() -> None:
    async def work() -> None:
        server = Server()
        async with hold(server, runtime=None) as ward:
            await killed(ward, server)
            await at(30)
            assert ward.view.instance == 1, "accepting all along is no sign"
            server.restart_in(20)
            await at(49.9)
            assert ward.view.instance == 1
            await at(50.3)
            assert ward.view.instance == 2

    run_virtual(work)


def test_one_refusal_is_no_edge() -> None:
    async def work() -> None:
        server = Server()
        async with hold(server, runtime=None) as ward:
            await killed(ward, server)
            await at(30.1)
            server.restart_in(0.15)
            await at(40)
            assert ward.view.instance == 1

    run_virtual(work)


def test_a_port_that_never_answers_is_no_refusal() -> None:
    async def work() -> None:
        server = Server()
        async with hold(server, runtime=None) as ward:
            await killed(ward, server)
            network: Network = virtual_loop().network
            network.silent.add(ADDRESS)
            await at(40)
            network.silent.discard(ADDRESS)
            await at(50)
            assert ward.view.instance == 1

    run_virtual(work)


def test_the_kubelet_ends_a_liveness_hold_when_it_asks_after_two_periods_of_silence() -> None:
    async def work() -> None:
        server = Server()
        async with hold(server, runtime=None) as ward:
            assert not ward.guard.asked_startup()  # the server is still starting
            await killed(ward, server)
            assert ward.guard.asked_startup() is False, "10 s after it asked: not two periods"
            await at(19)
            assert not ward.guard.asked_startup()
            await at(60)
            assert ward.guard.asked_startup(), "that same request is answered 503"
            await at(60.1)
            assert ward.view.instance == 2

    run_virtual(work)


def test_without_any_sign_a_new_instance_is_assumed() -> None:
    async def work() -> None:
        server = Server()
        async with hold(server, runtime=None, assume_restarted_seconds=45) as ward:
            await killed(ward, server)
            await at(54.9)
            assert (ward.view.instance, ward.healthz()) == (1, 503)
            await at(55.1)
            assert (ward.view.instance, ward.healthz(), ward.outcomes()) == (2, 200, ["timed_out"])

    run_virtual(work)


def test_the_time_until_it_is_assumed_counts_from_the_actions_end() -> None:
    async def work() -> None:
        server = Server()
        async with ward_of(server, Acts(takes=30), runtime=None, assume_restarted_seconds=45) as ward:
            await at(5)
            server.letter = "f"
            await at(84.9)
            assert ward.view.instance == 1
            await at(85.1)
            assert ward.view.instance == 2

    run_virtual(work)


def test_a_sign_during_the_action_counts_when_the_action_is_over() -> None:
    async def work() -> None:
        server = Server()
        action = Acts(takes=20)
        async with ward_of(server, action) as ward:
            await at(5)
            server.letter = "f"
            await at(12)
            server.start()
            await at(29)
            assert (ward.view.instance, ward.view.phase) == (1, "restarting")
            await at(30.1)
            assert (ward.view.instance, ward.outcomes()) == (2, ["succeeded"])

    run_virtual(work)


def test_what_a_human_took_down_costs_no_budget_and_is_taken_over_when_it_comes_back() -> None:
    """`docker stop` is a considered act too: nobody gives up on a server that is stopped for an afternoon."""

    def left() -> None:
        raise LeftAloneError("it was stopped by hand")

    async def work() -> None:
        server, action = Server(), Acts(left)
        async with ward_of(server, action, budget=Budget(restarts=1)) as ward:
            await at(5)
            server.stop()
            await at(4000)
            assert (len(action.begun), ward.outcomes(), ward.view.phase) == (1, ["withdrawn"], "")
            assert (ward.view.budget_remaining, ward.healthz(), ward.view.ready) == (1, 200, False)
            server.start()
            await at(4010)
            assert (ward.view.instance, ward.view.ready) == (2, True)

    run_virtual(work)


def test_who_gives_up_is_not_told_as_ready_on_the_way() -> None:
    """The same instance is looked at again after the last failed action: nobody is to route to it for that."""

    async def work() -> None:
        server, action = Server(), Acts(fails)
        async with ward_of(server, action, budget=Budget(restarts=1)) as ward:
            await at(5)
            server.letter = "f"
            await at(60)
            assert ward.view.phase == "given_up"
            readiness = [event.name for when, event in ward.said if "ready" in event.name and when >= 5]
            assert readiness[-1] == "container.not_ready"

    run_virtual(work)


def test_a_server_that_was_started_twice_meanwhile_is_one_new_instance() -> None:
    """An engine starts it by itself while it is asked to restart it: the first of the two is no longer there."""

    async def work() -> None:
        server = Server()
        action = Acts(server.start, takes=20)
        async with ward_of(server, action) as ward:
            await at(5)
            server.letter = "f"
            await at(12)
            server.start()  # seen by the watch, and restarted once more by the action at 30
            await at(30.1)
            assert (ward.view.instance, ward.outcomes()) == (2, ["succeeded"])
            await at(60)
            server.letter = "f"
            await at(95)
            assert (ward.view.instance, ward.outcomes()) == (3, ["succeeded", "succeeded"]), "its own hang is seen"
            assert len(action.begun) == 2

    run_virtual(work)


def test_a_server_that_comes_back_by_itself_during_the_drain_is_not_killed() -> None:
    async def work() -> None:
        server = Server()
        action, post = Acts(), Acts()
        async with ward_of(server, action, drain=Drain(max_seconds=30), hooks=Hooks(post_restart=post)) as ward:
            await at(5)
            server.letter = "f"
            await at(12)
            server.restart_in(5)
            await at(60)
            assert (action.begun, ward.view.instance, ward.outcomes()) == ([], 2, ["withdrawn"])
            assert ward.view.ready
            assert len(post.begun) == 1, "the hook before it ran too"

    run_virtual(work)


def test_a_crash_and_return_during_the_drain_is_seen_at_once_also_without_a_runtime() -> None:
    async def work() -> None:
        server, action = Server(), Acts()
        async with ward_of(server, action, runtime=None, drain=Drain(max_seconds=300)) as ward:
            await at(5)
            server.letter = "f"
            await at(12)
            server.restart_in(5)
            await at(17.5)
            assert (ward.view.instance, ward.view.phase, ward.outcomes()) == (2, "", ["withdrawn"])
            await at(400)
            assert action.begun == []

    run_virtual(work)


def test_a_refusal_before_the_decision_and_one_after_it_are_two_in_a_row() -> None:
    """The kill comes in the middle of the edge: the watch that begins with it goes on where the other one was."""

    async def work() -> None:
        server, action = Server(), Acts()
        rule = {"runtime": None, "drain": Drain(max_seconds=30)}
        async with ward_of(server, action, **rule) as ward:
            await at(9.9)
            server.restart_in(0.15)
            await at(11)
            assert (ward.view.instance, ward.outcomes(), action.begun) == (2, ["withdrawn"], [])

    run_virtual(work)


class Slow(Ward):
    """Its state file takes three seconds to write."""

    async def _save(self) -> None:
        await asyncio.sleep(3)
        await super()._save()


def test_a_sign_while_the_state_is_saved_before_the_action_stops_the_action() -> None:
    async def work() -> None:
        server, action = Server(), Acts()
        spec = container(check("liveness", Look(server)), action=action, runtime=server)
        ward = Slow(spec)
        await ward.guard.begin(None)
        ward.guard.work(lambda _: 0.0)
        await at(5)
        server.letter = "f"
        await at(11)
        assert ward.view.phase == "restarting"
        server.start()
        await at(18)
        assert (action.begun, ward.view.instance, ward.outcomes()) == ([], 2, ["withdrawn"])
        assert ward.guard.memory().hold is None
        await ward.guard.close()

    run_virtual(work)


def test_the_hold_is_on_disk_before_the_action_and_gone_when_the_action_failed() -> None:
    async def work() -> None:
        server, action = Server(), Acts(fails, takes=20)
        async with ward_of(server, action, backoff=Backoff(initial_seconds=50)) as ward:
            await at(5)
            server.letter = "f"
            await at(15)
            for memory in (ward.saved[-1], ward.guard.memory()):
                assert memory.hold == Hold(since=10.0, check="liveness/it", reason="status", action="scripted")
            assert ward.saved[-1].backoff_since == 10.0, "an agent killed now does not act again at once"
            await at(31)
            assert (ward.saved[-1].hold, ward.guard.memory().hold) == (None, None)

    run_virtual(work)


def test_after_the_action_the_hold_says_when_it_was() -> None:
    async def work() -> None:
        server = Server()
        async with ward_of(server, Acts(takes=20)) as ward:
            await at(5)
            server.letter = "f"
            await at(31)
            assert ward.saved[-1].hold is not None
            assert (ward.saved[-1].hold.since, ward.saved[-1].hold.acted_at) == (10.0, 30.0)

    run_virtual(work)


def test_a_startup_kill_is_carried_out_too() -> None:
    async def work() -> None:
        server = Server(letter="f")
        action = Acts(server.start)
        spec = container(check("startup", Look(server), failure_threshold=3), action=action, runtime=server)
        async with guarded(spec) as ward:
            await at(25)
            assert action.begun == [20.0]
            assert (ward.view.instance, ward.view.restarts[0].check) == (2, "startup/it")
            await at(31)
            assert ward.view.started

    run_virtual(work)


def test_a_crash_loop_of_the_target_is_backed_off() -> None:
    """0, 10, 20, 40: the waits between kills of a server that fails at once, each decided again at a failed round."""

    async def work() -> list[float]:
        server = Server()
        action = Acts(lambda: server.start("f"))
        spec = container(
            check("liveness", Look(server), period_seconds=1), action=action, runtime=server, backoff=Backoff(),
            budget=Budget(restarts=100),
        )  # fmt: skip
        async with guarded(spec):
            server.letter = "f"
            await at(200)
        return action.begun

    begun = run_virtual(work)
    gaps = [later - earlier for earlier, later in pairwise(begun)]
    assert gaps[:4] == pytest.approx([10, 20, 40, 80], abs=1.5)


# -- signs outside a hold --------------------------------------------------------


def test_a_server_that_crashes_by_itself_is_seen_by_the_runtime() -> None:
    async def work() -> None:
        server = Server()
        async with hold(server) as ward:
            await at(20)
            server.start()
            await at(26.5)
            assert (ward.view.instance, ward.view.phase, ward.outcomes()) == (2, "", [])

    run_virtual(work)


def test_a_server_that_crashes_by_itself_is_seen_by_its_edge() -> None:
    """From a refused probe of the liveness port until it is accepted again."""

    async def work() -> None:
        server = Server()
        async with hold(server, runtime=None, liveness={"failure_threshold": 100}) as ward:
            await at(20.5)
            server.restart_in(3)
            await at(23)
            assert ward.view.instance == 1
            await at(24)
            assert ward.view.instance == 2
            await at(25)
            assert ward.view.started

    run_virtual(work)


def test_a_readiness_port_that_closes_and_opens_again_is_no_restart() -> None:
    """Only the liveness port tells of the server's life: a server may well stop listening elsewhere for a while."""

    async def work() -> None:
        server = Server()
        spec = container(check("readiness", Look(server), period_seconds=2, failure_threshold=1))
        async with guarded(spec) as ward:
            virtual_loop().network.open.add(ADDRESS)
            await at(5)
            assert ward.view.ready
            server.stop()
            virtual_loop().network.open.discard(ADDRESS)
            await at(15)
            server.start()
            virtual_loop().network.open.add(ADDRESS)
            await at(30)
            assert (ward.view.instance, ward.view.ready) == (1, True)

    run_virtual(work)


def test_the_kubelet_tells_of_a_restart_that_nobody_else_saw() -> None:
    async def work() -> None:
        server = Server()
        async with hold(server, runtime=None) as ward:
            assert not ward.guard.asked_startup(), "it is still starting"
            await at(10)
            assert not ward.guard.asked_startup(), "and is told that it started"
            await at(12)
            assert ward.guard.asked_startup(), "who was told so asks about another one"
            assert ward.view.instance == 2
            await at(14)
            assert ward.view.started
            assert not ward.guard.asked_startup()

    run_virtual(work)


def test_the_kubelet_and_the_runtime_telling_of_one_restart_are_one_new_instance() -> None:
    async def work() -> None:
        server = Server()
        async with hold(server) as ward:
            await at(3)
            assert ward.guard.asked_startup(), "the first question ever, while started"
            await at(12)
            assert (ward.view.instance, ward.view.identity) == (2, "run 1")
            assert not ward.guard.asked_startup()
            await at(20.1)
            server.start()
            assert ward.guard.asked_startup()
            await at(30)
            assert (ward.view.instance, ward.view.identity) == (3, "run 2")

    run_virtual(work)


def test_who_was_told_and_asks_during_a_hold_ends_it() -> None:
    async def work() -> None:
        server = Server()
        async with hold(server, runtime=None) as ward:
            ward.guard.asked_startup()
            await at(4)
            assert not ward.guard.asked_startup(), "told"
            await killed(ward, server)
            assert ward.guard.asked_startup(), "six seconds later"
            await at(10.5)
            assert (ward.view.instance, ward.outcomes()) == (2, ["succeeded"])

    run_virtual(work)


# -- action none: the platform is asked --------------------------------------------------------


class Nothing(Acts):
    """Like `none`."""

    def __init__(self) -> None:
        super().__init__(holds=False)


def asking(server: Server, **rule: Any) -> Any:
    return ward_of(server, Nothing(), action_name="none", runtime=None, **rule)


def test_the_request_stands_until_a_new_instance_is_seen() -> None:
    async def work() -> None:
        server = Server()
        async with asking(server) as ward:
            await at(5)
            server.letter = "f"
            await at(10.1)
            assert (ward.healthz(), ward.view.ready, ward.view.running) == (503, False, True)
            await at(1000)
            assert (ward.healthz(), ward.view.instance) == (503, 1), "nobody came: it stands"
            server.restart_in(5)
            await at(1006)
            assert (ward.healthz(), ward.view.instance, ward.outcomes()) == (200, 2, ["succeeded"])
            await at(1008)
            assert ward.view.ready

    run_virtual(work)


def test_a_server_that_recovers_before_the_platform_acts_is_not_restarted() -> None:
    async def work() -> None:
        server = Server()
        async with asking(server) as ward:
            await at(5)
            server.letter = "f"
            await at(15)
            server.letter = "s"
            await at(16.5)
            assert ward.view.started, "startup began anew and has passed"
            assert ward.healthz() == 503, "but the check that asked has not"
            await at(20.1)
            assert (ward.healthz(), ward.view.instance, ward.outcomes()) == (200, 1, ["withdrawn"])
            assert ward.view.ready

    run_virtual(work)


def test_each_request_uses_one_of_the_budget_and_after_the_last_the_container_is_given_up() -> None:
    async def work() -> None:
        server = Server()
        async with asking(server, budget=Budget(restarts=3)) as ward:
            for episode in range(3):
                await at(20 * episode + 5)
                server.letter = "f"
                await at(20 * episode + 10.1)
                assert ward.healthz() == 503, "no backoff of the agent's own with none"
                server.letter = "s"
                await at(20 * episode + 20.1)
                assert ward.healthz() == 200
            assert ward.outcomes() == ["withdrawn"] * 3
            server.letter = "f"
            await at(70.1)
            assert (ward.healthz(), ward.view.phase, ward.view.ready) == (200, "given_up", False)

    run_virtual(work)


def test_in_a_drain_before_the_request_healthz_is_still_200_and_a_recovery_ends_it() -> None:
    async def work() -> None:
        server = Server()
        async with asking(server, drain=Drain(max_seconds=30)) as ward:
            await at(5)
            server.letter = "f"
            await at(12)
            assert (ward.view.phase, ward.healthz(), ward.view.ready) == ("draining", 200, False)
            server.letter = "s"
            await at(21)
            assert (ward.view.phase, ward.healthz(), ward.view.ready) == ("", 200, True)
            assert ward.view.restarts[0].outcome == "withdrawn"

    run_virtual(work)


def test_a_crash_and_return_before_the_request_is_no_success_of_it() -> None:
    async def work() -> None:
        server = Server()
        async with asking(server, drain=Drain(max_seconds=300)) as ward:
            await at(5)
            server.letter = "f"
            await at(12)
            server.restart_in(5)
            await at(18)
            assert (ward.healthz(), ward.view.instance, ward.outcomes()) == (200, 2, ["withdrawn"])
            assert "requested" not in [step for _, step in ward.steps()]

    run_virtual(work)


def test_a_request_that_comes_while_the_last_one_is_not_quite_over_waits_for_it() -> None:
    """Its pre_restart hook still runs when the server recovers, and when it fails again."""

    async def work() -> None:
        server = Server()
        hook = Acts(takes=25)
        async with asking(server, hooks=Hooks(pre_restart=hook)) as ward:
            for moment, letter in ((5, "f"), (12, "s"), (21, "f")):
                await at(moment)
                server.letter = letter
            await at(33)
            assert (hook.begun, ward.healthz()) == ([10.0], 200)
            await at(66)
            assert (hook.most_at_once, hook.begun) == (1, [10.0, 40.0])
            assert ward.healthz() == 503
            server.start()
            virtual_loop().network.open.discard(ADDRESS)
            await at(67)
            virtual_loop().network.open.add(ADDRESS)
            await at(70)
            assert (ward.view.instance, ward.outcomes()) == (2, ["withdrawn", "succeeded"])

    run_virtual(work)


def test_a_kill_waits_for_the_hook_of_the_one_before() -> None:
    async def work() -> None:
        server = Server()
        action, post = Acts(lambda: server.start("f")), Acts(takes=22)
        spec = container(check("liveness", Look(server)), action=action, runtime=server, hooks=Hooks(post_restart=post))
        async with guarded(spec) as ward:
            server.letter = "f"
            await at(39)
            assert (action.begun, post.most_at_once) == ([0.0, 30.0], 1)
            assert ward.view.instance == 2 + 1

    run_virtual(work)


# -- notify, exit, policy --------------------------------------------------------


def test_notify_counts_and_tells_and_leaves_the_container_in_service() -> None:
    async def work() -> None:
        server = Server()
        action, post = Tells(takes=3), Acts()
        rule = {"drain": Drain(max_seconds=30), "hooks": Hooks(post_restart=post)}
        async with ward_of(server, action, liveness={"failure_threshold": 3}, **rule) as ward:
            await at(5)
            server.letter = "f"
            await at(12)
            server_readiness = ward.slot("readiness/it")
            assert server_readiness.state.published == "Failure", "its own readiness check says so, nobody else"
            await at(31)
            assert action.begun == [30.0]
            assert (ward.view.phase, ward.healthz(), ward.view.running, ward.view.started) == ("", 200, True, True)
            await at(34)
            assert (ward.outcomes(), len(post.begun)) == (["succeeded"], 1)
            await at(59)
            assert len(action.begun) == 1
            await at(61)
            assert len(action.begun) == 2, "a full run again"
            assert ward.view.instance == 1

    run_virtual(work)


def test_notify_is_one_at_a_time_and_stays_within_its_budget() -> None:
    async def work() -> None:
        server = Server()
        action = Tells(takes=25)
        async with ward_of(server, action, budget=Budget(restarts=2)) as ward:
            await at(5)
            server.letter = "f"
            await at(300)
            assert (action.most_at_once, len(action.begun)) == (1, 2)
            assert ward.view.phase == "given_up"

    run_virtual(work)


def test_exit_has_the_agent_leave_with_its_code_and_its_budget_saved_before() -> None:
    def leaves() -> None:
        raise ExitRequested(3)

    async def work() -> None:
        server = Server()
        async with ward_of(server, Acts(leaves)) as ward:
            await at(5)
            server.letter = "f"
            await at(20)
            assert ward.left == [3]
            assert len(ward.saved[-1].spent) == 1
            assert ward.outcomes() == ["succeeded"]
            assert ward.healthz() == 503

    run_virtual(work)


def test_with_policy_never_the_instance_is_killed_once_and_none_is_expected() -> None:
    async def work() -> None:
        server = Server()
        action = Acts(server.stop)
        async with ward_of(server, action, policy="Never") as ward:
            await at(5)
            server.letter = "f"
            await at(1000)
            assert len(action.begun) == 1
            assert (ward.outcomes(), ward.view.running, ward.view.ready) == (["succeeded"], False, False)
            assert ward.healthz() == 200, "nothing is asked for any more"
            server.start()
            await at(1010)
            assert ward.view.instance == 2, "somebody started one all the same"
            assert ward.view.ready

    run_virtual(work)


# -- brakes --------------------------------------------------------


def test_a_suppressed_kill_is_no_kill() -> None:
    async def work() -> None:
        server = Server()
        action = Acts(server.start)
        rule = {"arm_after_seconds": 100, "drain": Drain(max_seconds=30)}
        async with ward_of(server, action, **rule) as ward:
            await at(5)
            server.letter = "f"
            await at(95)
            view = ward.view
            assert (view.phase, view.requested, view.suppressed, view.running, view.started) == (
                "",
                False,
                "arming",
                True,
                True,
            )
            assert not view.live
            assert ward.guard.stats.suppressed == {"arming": 9}
            assert ward.outcomes() == []
            await at(101)
            assert ward.view.phase == "draining", "the first failed round once it is armed"
            assert ward.view.suppressed == ""

    run_virtual(work)


def test_a_published_success_withdraws_a_suppressed_kill() -> None:
    async def work() -> None:
        server = Server()
        async with ward_of(server, Acts(), arm_after_seconds=1000) as ward:
            await at(5)
            server.letter = "f"
            await at(25)
            assert ward.view.suppressed == "arming"
            server.letter = "s"
            await at(31)
            assert (ward.view.suppressed, ward.view.live) == ("", True)

    run_virtual(work)


def test_a_dry_run_decides_after_each_full_run_and_never_acts() -> None:
    async def work() -> None:
        server = Server()
        action = Acts()
        rule = {"dry_run": True, "budget": Budget(restarts=1)}
        async with ward_of(server, action, liveness={"failure_threshold": 3}, **rule) as ward:
            await at(5)
            server.letter = "f"
            await at(131)
            assert (action.begun, ward.healthz(), ward.view.phase) == ([], 200, "")
            assert ward.guard.stats.suppressed == {"dry_run": 4}, "at 30, 60, 90 and 120"
            assert ward.view.budget_remaining == 1, "only what is really done uses it"
            assert len([step for _, step in ward.steps() if step == "suppressed"]) == 4, (
                "each is told: it is the report"
            )

    run_virtual(work)


def test_an_impaired_agent_kills_nobody() -> None:
    async def work() -> None:
        server = Server()
        action = Acts(server.start)
        async with ward_of(server, action) as ward:
            ward.pulse.start()
            try:
                await at(6)
                server.letter = "f"
                virtual_loop().block(3)
                await at(19)
                assert action.begun == []
                assert ward.guard.stats.suppressed == {"impaired": 1}
                assert ward.view.suppressed == "impaired"
                await at(21)
                assert action.begun == [20.0]
            finally:
                ward.pulse.stop()

    run_virtual(work)


def test_given_up_is_told_once_and_left_when_the_window_has_passed() -> None:
    async def work() -> None:
        server = Server()
        action = Acts(lambda: server.start("s"))
        rule = {"budget": Budget(restarts=1, window_seconds=100)}
        async with ward_of(server, action, **rule) as ward:
            await at(5)
            server.letter = "f"
            await at(15)
            assert len(action.begun) == 1
            await at(25)
            server.letter = "f"
            await at(31)
            assert (ward.view.phase, ward.healthz(), ward.view.suppressed) == ("given_up", 200, "budget")
            await at(105)
            assert len(action.begun) == 1
            assert [step for _, step in ward.steps()].count("given_up") == 1
            await at(112)
            assert ward.view.phase != "given_up"
            await at(121)
            assert len(action.begun) == 2, "the next failed round kills"

    run_virtual(work)


def test_given_up_is_left_after_healthy_running() -> None:
    async def work() -> None:
        server = Server()
        rule = {"budget": Budget(restarts=0), "backoff": Backoff(reset_after_seconds=60)}
        async with ward_of(server, Acts(), **rule) as ward:
            await at(5)
            server.letter = "f"
            await at(15)
            server.letter = "s"
            await at(60)
            assert ward.view.phase == "given_up"
            await at(82)
            assert ward.view.phase == ""
            assert ward.view.ready

    run_virtual(work)


def test_a_new_instance_alone_does_not_leave_given_up() -> None:
    async def work() -> None:
        server = Server()
        async with ward_of(server, Acts(), budget=Budget(restarts=0)) as ward:
            await at(5)
            server.letter = "f"
            await at(15)
            server.start()
            await at(30)
            assert (ward.view.instance, ward.view.phase, ward.view.ready) == (2, "given_up", False)

    run_virtual(work)


def test_one_action_at_a_time_per_container() -> None:
    async def work() -> None:
        server = Server()
        look = Look(server)
        action = Acts(server.start, takes=50)
        checks = [check("liveness", look, name=name, period_seconds=period) for name, period in (("a", 5), ("b", 7))]
        async with guarded(container(*checks, action=action, runtime=server)):
            await at(3)
            server.letter = "f"
            await at(200)
        assert action.most_at_once == 1

    run_virtual(work)


def test_a_bug_in_the_remedy_does_not_hold_the_container_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        server = Server()
        async with ward_of(server, Acts()) as ward:
            await at(5)
            ward.guard.save = None  # type: ignore[assignment]
            server.letter = "f"
            await at(11)
            assert ward.view.phase == ""
            assert ward.container.running
            ward.guard.save = ward._save
        assert "remedy.error" in [record.getMessage() for record in caplog.records]

    run_virtual(work)


def test_a_cancellation_of_somebodys_own_making_does_not_hold_the_container_for_ever(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Cancelling(Ward):
        async def _save(self) -> None:
            raise asyncio.CancelledError

    async def work() -> None:
        server = Server()
        spec = container(check("liveness", Look(server)), action=Acts(), runtime=server)
        ward = Ward(spec)
        await ward.guard.begin(None)
        ward.guard.work(lambda _: 0.0)
        await at(5)
        ward.guard.save = Cancelling._save.__get__(ward)
        server.letter = "f"
        await at(11)
        assert (ward.view.phase, ward.container.running, ward.outcomes()) == ("", True, ["failed"])
        ward.guard.save = ward._save
        await ward.guard.close()

    run_virtual(work)
    assert "remedy.error" in [record.getMessage() for record in caplog.records]


def test_no_secret_is_left_in_what_an_action_says() -> None:
    def tells() -> None:
        raise RuntimeError("login with hunter2 failed")

    async def work() -> None:
        server = Server()
        async with ward_of(server, Acts(tells)) as ward:
            await at(5)
            server.letter = "f"
            await at(12)
            assert ward.view.restarts[0].detail == "RuntimeError: login with [redacted] failed"
            assert not [e for _, e in ward.said if "hunter2" in e.detail]

    run_virtual(work)


def test_the_sentence_follows_what_the_action_is_like() -> None:
    async def work() -> None:
        server = Server()
        for action, sentence in (
            (Acts(), Sentence.KILL),
            (Nothing(), Sentence.ASK),
            (Tells(), Sentence.SPARE_AND_RESET),
        ):
            async with ward_of(server, action) as ward:
                assert ward.guard.sentence(ward.slot("liveness/it"), 0.0) is sentence

    run_virtual(work)
