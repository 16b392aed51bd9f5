"""The server as a container of a real engine: which one it is, its instance, and how the one before ended."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from agent.runtimes import AbsentError, Ended, Instance
from agent.runtimes.docker import Docker
from tests.acceptance.engine import BASE, docker, inspect
from tests.containers import NO_COMPOSE, Containers, compose, missing
from tests.runtimes.fake_engine import way_to
from tests.runtimes.support import descriptors

pytestmark = pytest.mark.docker

HOG = "x = []\nwhile True: x.append(bytearray(1 << 20))"
ONCE = f"test -f /once && exec sleep 300; touch /once; exec python -c '{HOG}'"
PROJECT, SERVICE, NUMBER = (f"com.docker.compose.{word}" for word in ("project", "service", "container-number"))


async def eventually(question: Callable[[], Awaitable[object]], seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not await question():  # noqa: ASYNC110 - another program's facts send no event
            await asyncio.sleep(0.05)


async def running(name: str) -> Instance:
    found = await Docker(container=name).instance()
    assert found is not None
    return found


def member(project: str, service: str, number: int = 1) -> tuple[str, ...]:
    """The options that make a container one of a Compose service."""
    labels = {PROJECT: project, SERVICE: service, NUMBER: str(number), "com.docker.compose.oneoff": "False"}
    return tuple(word for key, value in labels.items() for word in ("--label", f"{key}={value}"))


# -- the instance ------------------------------------------------------------------------------------------------------


async def test_the_instance_is_told_by_id_and_start(containers: Containers) -> None:
    before = time.monotonic()
    name = containers.run()
    found = await running(name)
    assert inspect(name, ".Id").startswith(found.identity.split()[1])
    assert found.identity.endswith(inspect(name, ".State.StartedAt"))
    assert found.started_at is not None
    assert before - 0.1 <= found.started_at <= time.monotonic()
    assert await Docker(container=inspect(name, ".Id")).instance() is not None
    assert (await running(name)).identity == found.identity


async def test_docker_restart_makes_another_instance_of_the_same_container(containers: Containers) -> None:
    name = containers.run(command=("sh", "-c", "trap 'exit 7' TERM; sleep 300 & wait"))
    first = await running(name)
    docker("restart", "--time", "5", name)
    second = await running(name)
    assert second.identity != first.identity
    assert await Docker(container=name).ended() == Ended(first.identity, 7)


async def test_compose_restart_and_recreation_are_seen(containers: Containers, tmp_path: Path) -> None:
    """A restart keeps the container; what Compose calls recreating is another one in its place."""
    project = containers.name()
    service = {"image": BASE, "command": ["sleep", "300"], "init": True, "network_mode": "none"}
    file = tmp_path / "compose.yaml"
    file.write_text(json.dumps({"version": "3.7", "services": {"model": service}}))
    try:
        compose(file, "--project-name", project, "up", "--detach")
    except FileNotFoundError:
        missing(NO_COMPOSE)
    try:
        server = Docker(service="model", project=project)
        identities = [await server.instance()]
        compose(file, "--project-name", project, "restart", "model")
        identities.append(await server.instance())
        compose(file, "--project-name", project, "up", "--detach", "--force-recreate")
        identities.append(await server.instance())
        assert None not in identities
        ids, starts = zip(*((one.identity.split()[1], one.identity) for one in identities if one), strict=True)
        assert ids[0] == ids[1] != ids[2]
        assert len(set(starts)) == 3
    finally:
        compose(file, "--project-name", project, "down", "--timeout", "0")


async def test_docker_kill_leaves_no_instance_and_a_start_makes_another(containers: Containers) -> None:
    name = containers.run()
    first = await running(name)
    docker("kill", name)
    assert await Docker(container=name).instance() is None
    assert await Docker(container=name).ended() == Ended(first.identity, 137)
    docker("start", name)
    assert (await running(name)).identity != first.identity
    assert await Docker(container=name).ended() == Ended(first.identity, 137)


async def test_out_of_memory_is_told_also_when_the_policy_has_restarted_it(containers: Containers) -> None:
    name = containers.run("--memory", "30m", "--memory-swap", "30m", "--restart", "always", command=("sh", "-c", ONCE))
    server = Docker(container=name)
    await eventually(server.ended)
    await eventually(server.instance)
    ended = await server.ended()
    assert ended is not None
    assert (ended.exit_code, ended.oom) == (137, True)
    assert ended.identity != (await running(name)).identity


async def test_a_container_that_stays_out_of_memory_says_so(containers: Containers) -> None:
    name = containers.run("--memory", "30m", "--memory-swap", "30m", command=("python", "-c", HOG))
    server = Docker(container=name)
    await eventually(server.ended)
    ended = await server.ended()
    assert ended is not None
    assert (ended.exit_code, ended.oom) == (137, True)
    assert await server.instance() is None


async def test_waiting_to_be_restarted_by_its_policy_is_no_instance(containers: Containers) -> None:
    """The engine calls it running all the while."""
    name = containers.run("--restart", "always", command=("sh", "-c", "exit 3"))
    server = Docker(container=name)

    async def waits() -> bool:
        return inspect(name, ".State.Restarting") and await server.instance() is None

    await eventually(waits)
    ended = await server.ended()
    assert ended is not None
    assert ended.exit_code == 3


async def test_a_crash_that_the_policy_mends_is_another_instance(containers: Containers) -> None:
    once = "test -f /once && exec sleep 300; touch /once; sleep 0.5; exit 3"
    name = containers.run("--restart", "on-failure", command=("sh", "-c", once))
    server = Docker(container=name)
    first = await running(name)

    async def mended() -> bool:
        now = await server.instance()
        return now is not None and now.identity != first.identity

    await eventually(mended)
    assert await server.ended() == Ended(first.identity, 3)


async def test_a_paused_container_is_the_same_instance(containers: Containers) -> None:
    name = containers.run()
    first = await running(name)
    docker("pause", name)
    assert (await running(name)).identity == first.identity
    docker("unpause", name)
    assert (await running(name)).identity == first.identity
    assert await Docker(container=name).ended() is None


async def test_a_container_that_was_never_started_has_no_instance_and_no_end(containers: Containers) -> None:
    server = Docker(container=containers.create())
    assert await server.instance() is None
    assert await server.ended() is None


async def test_an_end_that_nobody_saw_the_beginning_of_is_told_all_the_same(containers: Containers) -> None:
    """The agent came later: it has no name for that instance, but its exit status."""
    name = containers.run(command=("sh", "-c", "test -f /once && exec sleep 300; touch /once; exit 4"))
    docker("wait", name)
    docker("start", name)
    ended = await Docker(container=name).ended()
    assert ended is not None
    assert ended.exit_code == 4
    assert " ended " in ended.identity


async def test_asking_time_and_again_keeps_nothing_open(containers: Containers) -> None:
    server = Docker(container=containers.run())
    await server.instance()
    before = descriptors()
    for _ in range(30):
        await server.instance()
    assert descriptors() <= before + 1


async def test_a_container_that_was_there_and_is_gone_is_no_instance(containers: Containers) -> None:
    """One that never was there is an error: `runtime` may not describe it."""
    server = Docker(container=containers.run())
    await server.instance()
    docker("rm", "--force", str(server.container))
    assert await server.instance() is None


# -- which container it is ---------------------------------------------------------------------------------------------


async def test_no_such_container_is_told_with_the_one_that_was_meant(containers: Containers) -> None:
    name = containers.run()
    with pytest.raises(AbsentError, match=f"no container is called {name}x: did you mean {name}"):
        await Docker(container=f"{name}x").instance()


async def test_a_service_is_found_by_the_labels_of_compose(containers: Containers) -> None:
    project = containers.name()
    name = containers.run(*member(project, "model"))
    containers.run(*member(project, "other"))
    found = await Docker(service="model", project=project).instance()
    assert found is not None
    assert found.identity == (await running(name)).identity


async def test_a_service_of_two_containers_is_refused_with_their_names(containers: Containers) -> None:
    project = containers.name()
    names = sorted(containers.run(*member(project, "model", number)) for number in (1, 2))
    with pytest.raises(OSError, match=", ".join(names)):
        await Docker(service="model", project=project).instance()


async def test_a_container_that_compose_is_about_to_replace_is_found_all_the_same(containers: Containers) -> None:
    project = containers.name()
    old = containers.run(*member(project, "model"))
    docker("kill", old)
    new = containers.create(*member(project, "model"))
    server = Docker(service="model", project=project)
    assert await server.instance() is None
    docker("start", new)
    found = await server.instance()
    assert found is not None
    assert found.identity == (await running(new)).identity


async def test_a_service_that_is_not_there_is_told_with_those_that_are(containers: Containers) -> None:
    project = containers.name()
    containers.run(*member(project, "model"))
    with pytest.raises(AbsentError, match=f"project {project} has no container of service modle; it has model"):
        await Docker(service="modle", project=project).instance()
    with pytest.raises(AbsentError, match="is the project named so"):
        await Docker(service="model", project=f"{project}x").instance()


async def test_another_container_under_the_name_is_not_the_server(containers: Containers) -> None:
    name = containers.run("--label", "role=database")
    assert await Docker(container=name, labels={"role": "database"}).instance() is not None
    with pytest.raises(OSError, match="not the one that is meant: its label role is 'database', not 'model'"):
        await Docker(container=name, labels={"role": "model"}).instance()


async def test_without_a_project_of_its_own_the_agent_asks_for_one(containers: Containers) -> None:
    """These tests run in no container of a Compose project."""
    containers.run(*member(containers.name(), "model"))
    with pytest.raises(OSError, match="needs `project` beside it"):
        await Docker(service="model").instance()


# -- the API's version -------------------------------------------------------------------------------------------------


def version_of(request: str) -> str:
    return request.split()[1].split("/")[1]


async def test_the_version_is_the_engines_own(containers: Containers, engine: str, tmp_path: Path) -> None:
    own = docker("version", "--format", "{{.Server.APIVersion}}")
    name = containers.run()
    async with way_to(engine, tmp_path) as way:
        assert await Docker(container=name, host=way.host).instance() is not None
        assert version_of(way.asked[0]) == "version"
        assert {version_of(request) for request in way.asked[1:]} == {f"v{own}"}


async def test_an_engine_that_is_replaced_by_one_of_another_version_is_spoken_to_in_that_ones(
    containers: Containers, engine: str, tmp_path: Path
) -> None:
    """The real engine speaks older versions too, so it can play its own predecessor."""
    own = docker("version", "--format", "{{.Server.APIVersion}}").encode()
    server = Docker(container=containers.run(), host=f"unix://{tmp_path}/way.sock")
    async with way_to(engine, tmp_path) as way:
        first = await server.instance()
        new = way.asked[-1]
    with pytest.raises(FileNotFoundError, match="the engine is stopped, or its socket is not mounted"):
        await server.instance()
    async with way_to(engine, tmp_path) as way:
        way.meddle = lambda request, answer: answer.replace(own, b"1.30") if "/version" in request else answer
        second = await server.instance()
        assert version_of(way.asked[-1]) == "v1.30" != version_of(new)
    assert first is not None
    assert second is not None
    assert first.identity == second.identity


@pytest.mark.parametrize(("version", "words"), [("1.2", "too old"), ("9.99", "too new")])
async def test_an_engine_that_refuses_the_version_is_told_with_the_remedy(
    version: str, words: str, containers: Containers, engine: str, tmp_path: Path
) -> None:
    """What stands before the engine names a version that the engine itself does not speak."""
    own = docker("version", "--format", "{{.Server.APIVersion}}").encode()
    name = containers.run()
    async with way_to(engine, tmp_path) as way:
        named = json.dumps(version).encode().ljust(len(own) + 2)  # as long as before: the answer's length is told
        way.meddle = lambda request, answer: answer.replace(b'"%s"' % own, named) if "/version" in request else answer
        with pytest.raises(OSError, match=f"refuses the API version.*{words}"):
            await Docker(container=name, host=way.host).instance()


async def test_the_last_log_lines_of_both_streams_are_there_for_the_evidence(containers: Containers) -> None:
    # The engine copies the two streams beside each other: what is to come last is written when the rest has arrived.
    script = "trap 'echo trouble >&2' USR1; for n in $(seq 150); do echo line $n; done; while :; do sleep 0.1; done"
    name = containers.run(command=("sh", "-c", script))
    told = await logged(name, "line 150\n")
    assert "line 51\n" in told
    assert "line 50\n" not in told
    docker("kill", "--signal", "USR1", name)
    told = await logged(name, "trouble\n")
    assert "line 150\n" in told


async def logged(name: str, words: str) -> str:
    """The last log lines of a container, once they hold these words."""
    async with asyncio.timeout(20):
        while words not in (told := await Docker(container=name).log_tail()):  # noqa: ASYNC110 - the container's own doing
            await asyncio.sleep(0.1)
    return told
