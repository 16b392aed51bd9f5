"""Maintenance: probing goes on and the verdict is shown, nothing is done, and it ends by itself."""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from agent.core.settings import Backoff, Budget, Drain, Hooks
from agent.engine.maintenance import Maintenance
from tests.engine.scripted import (
    ADDRESS,
    Acts,
    Letters,
    Look,
    Server,
    Ward,
    at,
    check,
    container,
    eventually,
    fails,
    guarded,
)
from tests.virtual import run_virtual, virtual_loop


def ward_of(server: Server, action: Any, **restart: Any) -> AbstractAsyncContextManager[Ward]:
    """Readiness each second, liveness of period 10 and threshold 1."""
    look = Look(server)
    virtual_loop().network.open.add(ADDRESS)
    checks = (check("readiness", look, period_seconds=1), check("liveness", look))
    return guarded(container(*checks, action=action, port=ADDRESS[1], **{"runtime": server, **restart}))


def told(ward: Ward) -> list[str]:
    return [e.name for _, e in ward.said if e.name.startswith("maintenance.")]


def test_a_request_that_maintenance_ends_is_told_as_held_back_at_once() -> None:
    """Not only from the next failed round on: until then the check would be told as good."""

    async def work() -> None:
        server = Server()
        async with ward_of(server, Acts(holds=False), action_name="none", runtime=None) as ward:
            await at(5)
            server.letter = "f"
            await at(11)
            assert ward.healthz() == 503
            await ward.guard.operator.maintain(100, "keep")
            assert (ward.healthz(), ward.view.suppressed, ward.view.live) == (200, "maintenance", False)
            server.letter = "s"
            await at(21)
            assert ward.view.suppressed == "", "it recovered"

    run_virtual(work)


def test_nothing_is_done_meanwhile_and_what_is_wrong_is_shown() -> None:
    async def work() -> None:
        server = Server()
        action = Acts(server.start)
        async with ward_of(server, action) as ward:
            await at(5)
            await ward.guard.operator.maintain(100, "keep")
            server.letter = "f"
            await at(95)
            view = ward.view
            assert (view.maintenance, view.live, view.suppressed, view.requested, view.phase) == (
                True, False, "maintenance", False, "",
            )  # fmt: skip
            assert view.maintenance_seconds == pytest.approx(10)
            assert (action.begun, ward.guard.stats.suppressed) == ([], {"maintenance": 9})
            await at(111)
            assert (len(action.begun), ward.view.maintenance) == (1, False), "the first failed round after its end"
            assert told(ward) == ["maintenance.began", "maintenance.ended"]

    run_virtual(work)


@pytest.mark.parametrize(("ready", "shown"), [("keep", True), ("false", False)])
def test_readiness_is_as_the_operator_chose(ready: Any, shown: bool) -> None:
    async def work() -> None:
        server = Server()
        async with ward_of(server, Acts()) as ward:
            await at(5)
            await ward.guard.operator.maintain(100, ready)
            assert (ward.view.ready, ward.guard.standing().ready) == (shown, shown)
            await ward.guard.operator.maintain(0)
            assert (ward.view.ready, ward.view.maintenance) == (True, False)
            await ward.guard.operator.maintain(10, ready)
            await at(17)
            assert ward.view.ready

    run_virtual(work)


def test_readiness_that_is_kept_follows_its_checks() -> None:
    async def work() -> None:
        async with guarded(container(check("readiness", Letters("ssffss"), period_seconds=10))) as ward:
            await ward.guard.operator.maintain(1000, "keep")
            seen = []
            for moment in (5, 25, 45):
                await at(moment)
                seen.append(ward.view.ready)
            assert seen == [True, False, True]

    run_virtual(work)


# -- a kill under way when it begins --------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "rule"),
    [
        (12.0, {"drain": Drain(max_seconds=30)}),
        (12.0, {"hooks": Hooks(pre_restart=Acts(takes=5))}),
    ],
)
def test_a_kill_that_has_not_acted_yet_is_off(moment: float, rule: dict[str, Any]) -> None:
    """In its drain or its hook: recorded as withdrawn, and the container is looked at again."""

    async def work() -> None:
        server, action = Server(), Acts()
        async with ward_of(server, action, **rule) as ward:
            await at(5)
            server.letter = "f"
            await at(moment)
            assert ward.view.phase
            await ward.guard.operator.maintain(100)
            await at(moment + 6)
            assert (action.begun, ward.outcomes(), ward.view.phase, ward.view.running) == ([], ["withdrawn"], "", True)
            server.letter = "s"
            await at(30)
            assert ward.view.ready
            assert ward.guard.memory().hold is None

    run_virtual(work)


def test_a_failed_action_is_not_tried_again() -> None:
    async def work() -> None:
        server, action = Server(), Acts(fails)
        async with ward_of(server, action, backoff=Backoff(initial_seconds=20)) as ward:
            await at(5)
            server.letter = "f"
            await at(15)
            assert (ward.view.step, ward.view.phase) == ("retry", "holding")
            await ward.guard.operator.maintain(100)
            await at(16)
            assert (ward.view.phase, ward.view.running, ward.healthz()) == ("", True, 200)
            await at(100)
            assert (len(action.begun), ward.outcomes()) == (1, ["failed"])

    run_virtual(work)


def test_an_action_that_runs_is_finished_and_its_hold_goes_on_unseen() -> None:
    """Half of a restart would leave no server at all; /healthz is 200 all the same."""

    async def work() -> None:
        server = Server()
        action = Acts(lambda: server.restart_in(20), takes=10)
        async with ward_of(server, action) as ward:
            await at(5)
            server.letter = "f"
            await at(15)
            assert ward.healthz() == 503
            await ward.guard.operator.maintain(100)
            assert (ward.healthz(), ward.guard.standing().requested) == (200, False)
            await at(25)
            assert (ward.view.step, ward.healthz(), action.cancelled) == ("hold", 200, 0)
            await at(42)
            assert (ward.view.instance, ward.outcomes(), ward.view.phase) == (2, ["succeeded"], "")

    run_virtual(work)


def test_a_request_that_stands_is_withdrawn() -> None:
    async def work() -> None:
        server, action = Server(), Acts(holds=False)
        async with ward_of(server, action, action_name="none") as ward:
            await at(5)
            server.letter = "f"
            await at(15)
            assert ward.healthz() == 503
            await ward.guard.operator.maintain(30)
            await at(16)
            assert (ward.healthz(), ward.outcomes()) == (200, ["withdrawn"])
            await at(39)
            assert (ward.view.suppressed, ward.guard.stats.suppressed) == ("maintenance", {"maintenance": 2})
            await at(51)
            assert ward.healthz() == 503, "the check still fails when it is over"

    run_virtual(work)


def test_it_survives_the_agent_and_ends_when_it_was_to_end() -> None:
    async def work() -> None:
        server, action = Server(), Acts()
        async with ward_of(server, action, budget=Budget(restarts=5)) as ward:
            await at(5)
            await ward.guard.operator.maintain(100, "false")
            memory, spec = ward.saved[-1], ward.container.spec
        await at(50)
        async with guarded(spec, memory) as ward:
            assert (ward.view.maintenance, ward.view.ready) == (True, False)
            assert (ward.guard.memory().maintenance_until, ward.guard.memory().maintenance_ready) == (105.0, "false")
            server.letter = "f"
            await at(104)
            assert (action.begun, ward.view.suppressed) == ([], "maintenance")
            await at(112)
            assert len(action.begun) == 1

    run_virtual(work)


# -- the file, which is a real one --------------------------------------------------------


class Changes:
    """What a maintenance told of itself, on a clock that the test turns."""

    def __init__(self, file: Path | None) -> None:
        self.now = 100.0
        self.noted: list[bool] = []
        self.maintenance = Maintenance(
            "model", None if file is None else str(file), lambda: self.now, self.noted.append
        )


async def test_it_stands_while_the_file_is_there(tmp_path: Path) -> None:
    file = tmp_path / "maintenance"
    changes = Changes(file)
    maintenance = changes.maintenance
    await maintenance.look()
    assert not maintenance.stands()
    file.touch()
    await maintenance.tick()
    assert not maintenance.stands(), "it is looked for every two seconds"
    changes.now += 2
    await maintenance.tick()
    assert (maintenance.stands(), maintenance.hides(), maintenance.left()) == (True, False, None)
    file.unlink()
    changes.now += 2
    await maintenance.tick()
    assert (maintenance.stands(), changes.noted) == (False, [True, False])


async def test_a_file_that_a_reload_no_longer_names_is_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "maintenance"
    file.touch()
    maintenance = Changes(file).maintenance
    await maintenance.look()
    assert maintenance.stands()
    maintenance.file = None
    await maintenance.look()
    assert not maintenance.stands()


async def test_a_folder_that_is_not_there_is_no_maintenance_and_no_trouble(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "missing" / "maintenance", tmp_path / "file" / "maintenance"):
        maintenance = Changes(path).maintenance
        await maintenance.look()
        assert not maintenance.stands()
    assert caplog.records == []


async def test_what_can_not_be_told_leaves_it_as_it_was_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    file = tmp_path / "maintenance"
    file.touch()
    maintenance = Changes(file).maintenance
    await maintenance.look()
    maintenance.file = str(tmp_path / "loop")
    for _ in range(3):
        await maintenance.look()
    assert maintenance.stands()
    assert [record.getMessage() for record in caplog.records] == ["maintenance.unreadable"]


async def test_a_real_agent_in_maintenance_by_its_file_restarts_nobody(tmp_path: Path) -> None:
    """On the real clock: the file is seen before the first round, and the kill comes once it is gone."""
    file = tmp_path / "maintenance"
    file.touch()
    action = Acts()
    spec = container(
        check("liveness", Letters("f"), period_seconds=0.2), action=action, maintenance_file=str(file),
        assume_restarted_seconds=60,
    )  # fmt: skip
    async with guarded(spec) as ward:
        await asyncio.sleep(1)
        assert (ward.view.maintenance, ward.view.suppressed, action.begun) == (True, "maintenance", [])
        file.unlink()
        await eventually(lambda: action.begun)


async def test_a_file_that_comes_after_the_decision_still_stops_the_action(tmp_path: Path) -> None:
    """It is looked for once more right before."""
    file = tmp_path / "maintenance"

    class Touching(Acts):
        async def act(self, order: Any) -> None:
            file.touch()
            await super().act(order)

    action, hook = Acts(), Touching()
    spec = container(
        check("liveness", Letters("f"), period_seconds=0.2), action=action, maintenance_file=str(file),
        hooks=Hooks(pre_restart=hook),
    )  # fmt: skip
    async with guarded(spec) as ward:
        await eventually(lambda: ward.view.suppressed == "maintenance")
        assert (len(hook.begun), action.begun, ward.outcomes(), ward.view.running) == (1, [], ["withdrawn"], True)
