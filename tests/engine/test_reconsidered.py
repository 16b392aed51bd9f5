"""What a reload, a restart of the agent or of the machine makes of a kill that is under way."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from agent.actions import LeftAloneError
from agent.core.settings import Drain, Hooks, Restart
from agent.core.verdict import Record
from agent.engine.statefile import Hold, Memory
from tests.engine.scripted import Acts, Look, Server, Tells, at, check, container, guarded
from tests.virtual import run_virtual

DRAINS = Drain(max_seconds=60)


def rule(**changes: object) -> Callable[[Restart], Restart]:
    return lambda restart: replace(restart, **changes)


@pytest.mark.parametrize(
    "changed",
    [rule(dry_run=True), rule(action=Acts(holds=False), action_name="none"), rule(action=Tells())],
    ids=["dry run", "none", "notify"],
)
def test_a_kill_that_has_not_acted_ends_where_a_reload_wants_no_such_action(
    changed: Callable[[Restart], Restart],
) -> None:
    async def work() -> None:
        server, action = Server(), Acts()
        spec = container(check("liveness", Look(server)), action=action, runtime=server, drain=DRAINS)
        async with guarded(spec) as ward:
            await at(5)
            server.letter = "f"
            await at(15)
            assert ward.view.phase == "draining"
            await ward.guard.replace(replace(spec, restart=changed(spec.restart)))
            await at(16)
            assert (ward.view.phase, ward.view.running, ward.healthz(), ward.outcomes()) == (
                "",
                True,
                200,
                ["withdrawn"],
            )
            await at(300)
            assert action.begun == []

    run_virtual(work)


@pytest.mark.parametrize("changed", [rule(dry_run=True), rule(action=Tells())], ids=["dry run", "notify"])
def test_a_request_is_withdrawn_where_a_reload_wants_none(changed: Callable[[Restart], Restart]) -> None:
    async def work() -> None:
        server = Server(letter="f")
        spec = container(check("liveness", Look(server)), action=Acts(holds=False), action_name="none", runtime=server)
        async with guarded(spec) as ward:
            await at(5)
            assert ward.healthz() == 503
            await ward.guard.replace(replace(spec, restart=changed(spec.restart)))
            await at(6)
            assert (ward.healthz(), ward.outcomes()) == (200, ["withdrawn"])
            await at(300)
            assert ward.healthz() == 200

    run_virtual(work)


def test_whoever_heard_of_the_beginning_hears_of_a_new_instance_that_came_while_the_agent_was_away() -> None:
    async def work() -> None:
        server, before, after = Server(), Acts(), Acts()
        hooks = Hooks(pre_restart=before, post_restart=after)
        spec = container(check("liveness", Look(server)), action=Acts(server.stop), runtime=server, hooks=hooks)
        async with guarded(spec) as ward:
            await at(5)
            server.letter = "f"
            await at(20)
            memory = ward.guard.memory()
        assert (len(before.begun), after.begun, memory.hold is not None) == (1, [], True)
        server.start("s")
        async with guarded(spec, memory) as ward:
            await at(25)
            assert ward.outcomes() == ["succeeded"]
            assert [order.type for order in after.orders] == ["post_restart"]
            assert "instance.new" in [event.name for _, event in ward.said]

    run_virtual(work)


def test_a_container_that_was_taken_down_by_hand_stays_its_owner_s_when_the_agent_comes_back() -> None:
    def left() -> None:
        raise LeftAloneError("it was stopped by hand")

    async def work() -> None:
        server = Server()
        spec = container(check("liveness", Look(server)), action=Acts(left), runtime=server)
        async with guarded(spec) as ward:
            await at(5)
            server.letter = "f"
            await at(20)
            assert (ward.outcomes(), ward.healthz()) == (["withdrawn"], 200)
            memory = ward.guard.memory()
        async with guarded(spec, memory) as ward:
            await at(500)
            assert (ward.outcomes(), ward.healthz()) == (["withdrawn"], 200)
            server.start("s")
            await at(520)
            assert (ward.outcomes(), ward.view.ready) == (["withdrawn"], True)

    run_virtual(work)


def test_after_a_reboot_the_restart_that_was_held_for_has_succeeded() -> None:
    async def work() -> None:
        server = Server()
        spec = container(check("liveness", Look(server)), action=Acts(), runtime=server)
        hold = Hold(since=-20, check="liveness/it", reason="status", action="scripted", acted_at=-15)
        restarts = (Record(time=1.0, action="scripted", reason="status", check="liveness/it"),)
        async with guarded(spec, Memory(instance=3, hold=hold, restarts=restarts, another_boot=True)) as ward:
            await at(5)
            assert ward.outcomes() == ["succeeded"]
            assert "started anew" in ward.view.restarts[0].detail
            assert (ward.healthz(), ward.view.ready) == (200, True)

    run_virtual(work)
