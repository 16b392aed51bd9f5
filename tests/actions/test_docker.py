"""The docker action on a real engine: the one container that is meant is restarted, once, and nothing else."""

import asyncio
import logging
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.actions import ActionError, Order
from agent.actions.docker import DockerRestart
from agent.runtimes.docker import Docker
from agent.runtimes.engine_api import restart
from agent.runtimes.engine_api.conversation import CALL_SECONDS
from tests.acceptance.engine import BASE, docker, inspect
from tests.containers import Containers
from tests.runtimes.fake_engine import Way, error, fake_engine, hang, ok, way_to

pytestmark = pytest.mark.docker

STUBBORN = ("sh", "-c", "trap '' TERM; while :; do sleep 1; done")


async def order(name: str, grace: float = 1, **runtime: object) -> Order:
    """For the instance that runs in the container now."""
    found = Docker(container=name, **runtime)  # type: ignore[arg-type]
    seen = await Docker(container=name).inspect()
    return Order(type="action", container="model", runtime=found, identity=seen.identity, grace_seconds=grace)


def starts(name: str) -> str:
    found: str = inspect(name, ".State.StartedAt")
    return found


def restarts(way: Way) -> list[str]:
    return [request.split("/")[-1] for request in way.asked if "/restart" in request]


async def test_the_container_is_restarted_once_with_the_grace_as_its_stop_time_out(
    containers: Containers, engine: str, tmp_path: Path
) -> None:
    name = containers.run("--init")
    before = starts(name)
    async with way_to(engine, tmp_path) as way:
        await DockerRestart().act(await order(name, 2.5, host=way.host))
    assert starts(name) != before
    assert restarts(way) == ["restart?t=3"]


async def test_a_server_that_does_not_leave_is_killed_after_the_grace(containers: Containers) -> None:
    """The call waits longer than the stop time-out, and than any other call to the engine."""
    name = containers.run(command=STUBBORN)
    before, began = starts(name), time.monotonic()
    grace = CALL_SECONDS + 1
    await DockerRestart().act(await order(name, grace))
    assert grace <= time.monotonic() - began < grace + 5
    assert starts(name) != before
    assert inspect(name, ".State.Running")


async def test_an_instance_that_came_meanwhile_is_left_alone(containers: Containers) -> None:
    name = containers.run()
    late = await order(name)
    docker("restart", "--time", "0", name)
    before = starts(name)
    await DockerRestart().act(late)
    assert starts(name) == before


async def test_a_container_of_another_id_under_the_name_is_left_alone(containers: Containers) -> None:
    name = containers.run()
    late = await order(name)
    docker("rm", "--force", name)
    docker("run", "--detach", "--network", "none", "--name", name, BASE, "sleep", "300")
    before = starts(name)
    await DockerRestart().act(late)
    assert starts(name) == before


async def test_a_container_of_other_labels_is_left_alone(containers: Containers) -> None:
    name = containers.run("--label", "role=database")
    before = starts(name)
    with pytest.raises(ActionError, match="not the one that is meant"):
        await DockerRestart().act(replace(await order(name, labels={"role": "model"}), identity=""))
    assert starts(name) == before


async def test_without_an_instance_to_name_what_is_there_is_restarted(containers: Containers) -> None:
    name = containers.run("--init")
    before = starts(name)
    await DockerRestart().act(replace(await order(name), identity=""))
    assert starts(name) != before


@pytest.mark.parametrize("verb", ["kill", "pause"])
async def test_a_server_that_crashed_or_stands_still_is_started_again(containers: Containers, verb: str) -> None:
    name = containers.run("--init")
    wanted = await order(name)
    docker(verb, name)
    await DockerRestart().act(wanted)
    assert inspect(name, ".State.Status") == "running"
    assert starts(name) not in wanted.identity


async def test_a_server_that_was_stopped_by_hand_is_left_so(containers: Containers) -> None:
    """As Docker's own policy unless-stopped does."""
    name = containers.run("--init")
    wanted = await order(name)
    docker("stop", "--time", "1", name)
    with pytest.raises(ActionError, match="was stopped by hand"):
        await DockerRestart().act(wanted)
    assert inspect(name, ".State.Status") == "exited"


async def test_a_restart_that_could_not_start_it_again_fails_and_may_be_retried(
    containers: Containers, tmp_path: Path
) -> None:
    """To the engine its own stop looks like one by hand, but for the error that it keeps."""
    folder = tmp_path / "weights"
    folder.mkdir()
    name = containers.run("--init", "--mount", f"type=bind,source={folder},target=/weights")
    wanted = await order(name)
    folder.rmdir()
    with pytest.raises(ActionError, match=r"was not restarted: the engine answered 500: .*mounting"):
        await DockerRestart().act(wanted)
    assert inspect(name, ".State.Status") == "exited"
    folder.mkdir()
    await DockerRestart().act(wanted)
    assert inspect(name, ".State.Status") == "running"


async def test_a_container_that_is_gone_is_told() -> None:
    with pytest.raises(ActionError, match="no container is called mha-test-none"):
        await DockerRestart().act(Order(type="action", container="m", runtime=Docker(container="mha-test-none")))


async def test_without_a_runtime_it_says_what_it_needs() -> None:
    with pytest.raises(ActionError, match=r"runtime\.docker"):
        await DockerRestart().act(Order(type="action", container="model"))


# -- what an engine's restart leaves out -------------------------------------------------------------------------------


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    records = [record for record in caplog.records if record.message == "restart.left_out"]
    assert all(record.container == "model" for record in records)  # type: ignore[attr-defined]
    return [record.detail for record in records]  # type: ignore[attr-defined]


async def test_what_compose_would_have_restarted_with_it_is_named(
    containers: Containers, caplog: pytest.LogCaptureFixture
) -> None:
    """Compose notes on a container what it depends on, and whether it is to be restarted with that."""
    project = containers.name()
    labels = {"project": project, "service": "model"}
    name = containers.run("--init", *labelled(**labels))
    web = containers.run(*labelled(project=project, depends_on="db:service_started:true,model:service_healthy:true"))
    containers.run(*labelled(project=project, depends_on="model:service_started:false"))
    containers.run(*labelled(project=f"{project}2", depends_on="model:service_started:true"))
    containers.run(*labelled(project=project, depends_on="models:service_started:true"))
    await DockerRestart().act(await order(name))
    assert [text.partition(" asks ")[0] for text in told(caplog)] == [web]
    assert f"docker restart {web}" in told(caplog)[0]


def labelled(**labels: str) -> tuple[str, ...]:
    return tuple(word for key, value in labels.items() for word in ("--label", f"com.docker.compose.{key}={value}"))


async def test_who_shares_its_network_loses_it_and_is_named(
    containers: Containers, caplog: pytest.LogCaptureFixture
) -> None:
    network = containers.network()
    name = containers.run("--init", "--network", network)
    sidecar = containers.run("--network", f"container:{name}")
    containers.run()
    interfaces = ("exec", sidecar, "cat", "/proc/net/dev")
    assert "eth0" in docker(*interfaces)
    await DockerRestart().act(await order(name))
    assert [text.partition(" shares ")[0] for text in told(caplog)] == [sidecar]
    assert f"docker restart {sidecar}" in told(caplog)[0]
    assert "eth0" not in docker(*interfaces)


async def test_nothing_is_told_where_nothing_is_left_out(
    containers: Containers, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "agent")
    await DockerRestart().act(await order(containers.run("--init")))
    assert told(caplog) == []


# -- answers that are lost ---------------------------------------------------------------------------------------------


async def test_a_restart_whose_answer_was_lost_is_looked_for_and_found(
    containers: Containers, engine: str, tmp_path: Path
) -> None:
    name = containers.run("--init")
    before = starts(name)
    async with way_to(engine, tmp_path) as way:
        way.meddle = lambda request, answer: None if "/restart" in request else answer
        await DockerRestart().act(await order(name, 10, host=way.host))
    assert starts(name) != before
    assert len(restarts(way)) == 1


async def test_a_restart_that_never_reached_the_engine_has_failed(
    containers: Containers, engine: str, tmp_path: Path
) -> None:
    """It is looked for until it would have shown; both ways of losing it take that long, so they are tried at once."""
    name = containers.run("--init")
    wanted, before = await order(name), starts(name)

    async def never_heard() -> None:
        async with way_to(engine, tmp_path) as way:
            way.passes = lambda request: "/restart" not in request
            with pytest.raises(ActionError, match=r"was lost .*, and it is still the same instance, running"):
                await DockerRestart().act(replace(wanted, runtime=Docker(container=name, host=way.host)))

    async def engine_ended() -> None:
        (tmp_path / "ends").mkdir()
        async with way_to(engine, tmp_path / "ends") as way:
            way.passes = lambda request: "/restart" not in request or way.end()
            with pytest.raises(ActionError, match=r"was lost .*, and the engine can't be asked"):
                await DockerRestart().act(replace(wanted, runtime=Docker(container=name, host=way.host)))

    began = time.monotonic()
    await asyncio.gather(never_heard(), engine_ended())
    assert time.monotonic() - began < restart.LOST_SECONDS + 1 + 5
    assert starts(name) == before


async def test_an_action_that_is_given_up_leaves_the_engine_to_it(containers: Containers) -> None:
    """The remedy's deadline ends the call, not the restart: its sign is a new instance."""
    name = containers.run(command=STUBBORN)
    before = starts(name)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await DockerRestart().act(await order(name, 2))
    async with asyncio.timeout(60):
        while starts(name) == before:  # noqa: ASYNC110 - another program's facts send no event
            await asyncio.sleep(0.1)


# -- engines that lie and hang -----------------------------------------------------------------------------------------

INSPECTED = {"Id": "a" * 64, "Name": "/model", "State": {"Running": True, "StartedAt": "2026-01-02T03:04:05Z"}}


@pytest.mark.parametrize(
    ("status", "message", "words"),
    [
        (403, "Forbidden", "ALLOW_RESTARTS"),
        (404, "No such container", "answered 404"),
        (409, "is marked for removal", "answered 409: is marked for removal"),
        (500, "tried to kill container, but did not receive an exit event", "did not receive an exit event"),
    ],
)
async def test_what_the_engine_refuses_is_told_at_once(status: int, message: str, words: str, tmp_path: Path) -> None:
    async with fake_engine(tmp_path) as engine:
        engine.answers |= {
            "/containers/model/json": ok(INSPECTED),
            "/containers/json": ok([]),
            f"/containers/{'a' * 64}/restart": error(status, message),
        }
        runtime = Docker(container="model", host=engine.host)
        with pytest.raises(ActionError, match=f"model was not restarted: .*{words}"):
            await DockerRestart().act(Order(type="action", container="model", runtime=runtime))


async def test_an_engine_that_hangs_before_the_restart_is_given_up(tmp_path: Path) -> None:
    """And the action's own deadline is what ends one that hangs in it."""
    async with fake_engine(tmp_path) as engine:
        engine.answers |= {
            "/containers/model/json": ok(INSPECTED),
            "/containers/json": ok([]),
            f"/containers/{'a' * 64}/restart": hang,
        }
        runtime = Docker(container="model", host=engine.host)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await DockerRestart().act(Order(type="action", container="model", runtime=runtime))
