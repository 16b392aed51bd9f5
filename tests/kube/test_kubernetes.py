"""The runtime on a real cluster: instances that change, commands in a container, and tokens that rotate."""

import asyncio
from collections.abc import Callable

import pytest

from agent.core.model import Check, CheckType, Outcome, Target
from agent.engine.worker import look
from agent.probes.exec import Exec
from agent.runtimes import AbsentError, CannotRunError, Ended, Instance
from agent.runtimes.command import CAP, Finished
from agent.runtimes.kube_answers import ApiError
from agent.runtimes.kubernetes import Kubernetes
from tests.kube.cluster import Namespace, pod

EXITS_WITH_7 = "trap 'exit 7' TERM; sleep 3600 & wait"
SWALLOWS_MEMORY = "trap 'exec python -c \"x = bytearray(1 << 30)\"' TERM; sleep 3600 & wait"


async def changed(runtime: Kubernetes, before: Instance, seconds: float = 60) -> Instance:
    """The instance that follows; asked for as the engine does in a hold."""
    async with asyncio.timeout(seconds):
        while True:
            now = await runtime.instance()
            if now is not None and now.identity != before.identity:
                return now
            await asyncio.sleep(0.5)


async def running(runtime: Kubernetes) -> Instance:
    now = await runtime.instance()
    assert now is not None
    return now


async def ran(runtime: Kubernetes, *command: str) -> Finished:
    started: list[None] = []
    finished = await runtime.run(command, lambda: started.append(None))
    assert len(started) == 1
    return finished


@pytest.fixture(scope="module")
def sleeping(namespace: Namespace) -> Kubernetes:
    """A pod that does nothing, for commands."""
    namespace.start(pod("sleeping", "sleep 3600"))
    return namespace.runtime("sleeping")


# -- instances -----------------------------------------------------------------------------------------------------


async def test_a_crash_is_another_instance_and_its_exit_is_told(namespace: Namespace) -> None:
    namespace.start(pod("crashing", EXITS_WITH_7))
    runtime = namespace.runtime("crashing")
    before = await running(runtime)
    told = namespace.get("pod", "crashing")["status"]["containerStatuses"][0]
    assert before.identity == told["containerID"]
    assert await runtime.ended() is None
    await ran(runtime, "sh", "-c", "kill -TERM 1")
    after = await changed(runtime, before)
    assert after.started_at is not None
    assert before.started_at is not None
    assert after.started_at > before.started_at
    assert await runtime.ended() == Ended(before.identity, 7, oom=False, detail="Error")


async def test_a_death_for_want_of_memory_is_told_as_one(namespace: Namespace) -> None:
    limits = {"limits": {"memory": "64Mi"}}
    namespace.start(pod("swallowing", SWALLOWS_MEMORY, resources=limits))
    runtime = namespace.runtime("swallowing")
    before = await running(runtime)
    await ran(runtime, "sh", "-c", "kill -TERM 1")
    await changed(runtime, before)
    assert await runtime.ended() == Ended(before.identity, 137, oom=True, detail="OOMKilled")


async def test_a_deleted_pod_is_no_instance_and_its_namesake_another_one(namespace: Namespace) -> None:
    namespace.start(pod("passing", "sleep 3600"))
    runtime = namespace.runtime("passing")
    before = await running(runtime)
    namespace.forget("passing")
    assert await runtime.instance() is None
    namespace.start(pod("passing", "sleep 3600"))
    assert (await running(runtime)).identity != before.identity


async def test_a_pod_that_never_was_is_told(namespace: Namespace) -> None:
    with pytest.raises(AbsentError, match=r'pods "nobody" not found \(namespace health-agent-\w+\): is it the name'):
        await namespace.runtime("nobody").instance()


async def test_a_container_that_is_not_in_the_pod_is_told(namespace: Namespace, sleeping: Kubernetes) -> None:
    with pytest.raises(AbsentError, match="pod sleeping has no container model, but main"):
        await namespace.runtime("sleeping", "model").instance()


# -- commands ------------------------------------------------------------------------------------------------------


async def test_exit_output_and_words_are_the_commands(sleeping: Kubernetes) -> None:
    assert await ran(sleeping, "true") == Finished(0, b"")
    assert await ran(sleeping, "sh", "-c", "exit 3") == Finished(3, b"")
    assert await ran(sleeping, "sh", "-c", "kill -9 $$") == Finished(137, b"")
    assert await ran(sleeping, "printf", "%s|", "a b", "c+d&e=f", "ü", "%41", "") == Finished(
        0, "a b|c+d&e=f|ü|%41||".encode()
    )
    both = await ran(sleeping, "sh", "-c", "echo one; echo two >&2")
    assert sorted(both.output.split()) == [b"one", b"two"]


async def test_ten_kilobytes_of_output_are_kept(sleeping: Kubernetes) -> None:
    assert await ran(sleeping, "sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; exit 4") == Finished(4, b"x" * CAP)


@pytest.mark.parametrize("program", ["nope", "/nope/x", "/etc", "/etc/passwd"])
async def test_a_program_that_is_missing_or_none_is_told_apart_from_one_that_failed(
    sleeping: Kubernetes, program: str
) -> None:
    with pytest.raises(CannotRunError, match=r"has no such program|may not run it"):
        await sleeping.run([program], lambda: None)


async def judged(runtime: Kubernetes, *command: str, seconds: float) -> tuple[Outcome, str]:
    options = Exec(command=command, in_="container")
    check = Check(name="exec", type=CheckType.LIVENESS, method="exec", options=options, timeout_seconds=seconds)
    result = await look(check, Target("main", "127.0.0.1", runtime=runtime))
    return result.outcome, result.reason


async def test_as_a_check_it_succeeds_fails_and_hangs(sleeping: Kubernetes) -> None:
    assert await judged(sleeping, "true", seconds=5) == (Outcome.SUCCESS, "ok")
    assert await judged(sleeping, "false", seconds=5) == (Outcome.FAILURE, "exit")
    assert await judged(sleeping, "nope", seconds=5) == (Outcome.ERROR, "spawn")
    assert await judged(sleeping, "sleep", "4", seconds=2) == (Outcome.FAILURE, "timeout")


async def test_in_a_container_that_has_ended_nothing_is_judged(namespace: Namespace) -> None:
    document = pod("ended", "exit 0")
    document["spec"]["restartPolicy"] = "Never"
    namespace.apply(document)
    runtime = namespace.runtime("ended")
    async with asyncio.timeout(60):
        while await runtime.ended() is None:  # noqa: ASYNC110 - the kubelet's doing
            await asyncio.sleep(0.5)
    assert await runtime.instance() is None
    assert await judged(runtime, "true", seconds=5) == (Outcome.ERROR, "runtime")


# -- the account ---------------------------------------------------------------------------------------------------


async def test_a_token_is_read_again_when_it_rotates(namespace: Namespace, sleeping: Kubernetes) -> None:
    """The old one is not accepted any more, and the new one was mounted a moment ago."""
    token = namespace.folder / "token"
    first = token.read_text()
    assert await sleeping.instance() is not None
    try:
        namespace.mount("second")
        second = token.read_text()
        token.write_text(first + "x")
        with pytest.raises(ApiError, match="does not accept the service account's token") as refused:
            await sleeping.instance()
        assert refused.value.status == 401
        assert first not in str(refused.value)
        token.write_text(second)
        assert await sleeping.instance() is not None
    finally:
        token.write_text(first)


async def test_another_clusters_authority_is_not_trusted(
    namespace: Namespace, sleeping: Kubernetes, other_authority: Callable[[], str]
) -> None:
    authority = namespace.folder / "ca.crt"
    whole = authority.read_text()
    authority.write_text(other_authority())
    try:
        with pytest.raises(ApiError, match="is not good by"):
            await sleeping.instance()
    finally:
        authority.write_text(whole)


@pytest.fixture
def other_authority() -> Callable[[], str]:
    import trustme

    return lambda: trustme.CA().cert_pem.bytes().decode()
