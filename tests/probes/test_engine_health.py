"""The engine_health check: the engine's own verdict, as a table and on a real engine."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from agent.core.model import Outcome, Target, success
from agent.probes.engine_health import EngineHealth, verdict
from agent.runtimes.docker import Docker
from agent.runtimes.engine_api.answers import Health, Inspected, State, Tried
from tests.acceptance.engine import docker
from tests.containers import Containers

RUNNING = {"status": "running", "running": True}


def judged(state: State) -> tuple[Outcome, str, str]:
    result = verdict(Inspected("a" * 64, state, "/model"))
    return result.outcome, result.reason, result.detail


@pytest.mark.parametrize(
    ("health", "expected"),
    [
        (Health("healthy"), (Outcome.SUCCESS, "ok", "")),
        (Health("healthy", 2), (Outcome.SUCCESS, "ok", "")),  # failing, and not yet often enough
        (
            Health("unhealthy", 3, (Tried(1), Tried(7))),
            (
                Outcome.FAILURE,
                "exit",
                "model failed its own health check 3 times in a row, the last with exit status 7",
            ),
        ),
        (
            Health("unhealthy", 4, (Tried(-1),)),
            (
                Outcome.FAILURE,
                "timeout",
                "model failed its own health check 4 times in a row, the last by its time-out",
            ),
        ),
        (Health("unhealthy", 3), (Outcome.FAILURE, "exit", "model failed its own health check 3 times in a row")),
        (Health("starting"), (Outcome.ERROR, "runtime", "model's own health check has no verdict yet (starting)")),
        (Health("dozing"), (Outcome.ERROR, "runtime", "model's own health check has no verdict yet (dozing)")),
    ],
)
def test_the_engines_verdict_is_the_checks(health: Health, expected: tuple[Outcome, str, str]) -> None:
    assert judged(State(**RUNNING, health=health)) == expected


@pytest.mark.parametrize("health", [None, Health("none"), Health("")])
def test_a_container_without_a_health_check_is_told_to_get_one(health: Health | None) -> None:
    outcome, reason, detail = judged(State(**RUNNING, health=health))
    assert (outcome, reason) == (Outcome.ERROR, "unsupported")
    assert "HEALTHCHECK" in detail


@pytest.mark.parametrize(
    ("state", "reason", "words"),
    [
        (State(status="exited", exit_code=1), "gone", "model is exited (exit status 1)"),
        (State(status="exited", exit_code=137, oom_killed=True), "gone", "exit status 137, out of memory"),
        (State(status="restarting", running=True, restarting=True, exit_code=3), "gone", "model is restarting"),
        (State(status="paused", running=True, paused=True, health=Health("healthy")), "stopped", "model is paused"),
    ],
)
def test_what_does_not_run_is_not_healthy_whatever_the_last_verdict_was(state: State, reason: str, words: str) -> None:
    outcome, told, detail = judged(state)
    assert (outcome, told) == (Outcome.FAILURE, reason)
    assert words in detail


async def test_without_the_docker_runtime_it_is_an_error() -> None:
    """Which configuration refuses."""
    result = await EngineHealth().probe(Target("model", "127.0.0.1"))
    assert (result.outcome, result.reason) == (Outcome.ERROR, "runtime")


async def eventually(question: Callable[[], Awaitable[object]], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not await question():  # noqa: ASYNC110 - another program's facts send no event
            await asyncio.sleep(0.05)


@pytest.mark.docker
async def test_a_real_engines_verdicts_from_starting_to_gone(containers: Containers) -> None:
    health = ("--health-cmd", "test -f /ok", "--health-interval", "0.5s", "--health-retries", "2")
    name = containers.run(*health, "--health-start-period", "0s")
    target = Target("model", "127.0.0.1", runtime=Docker(container=name))

    async def reason() -> str:
        return (await EngineHealth().probe(target)).reason

    async def is_(expected: str) -> bool:
        return await reason() == expected

    assert await reason() == "runtime"  # starting
    await eventually(lambda: is_("exit"))
    docker("exec", name, "touch", "/ok")
    await eventually(lambda: is_("ok"))
    assert await EngineHealth().probe(target) == success()
    docker("pause", name)
    assert await reason() == "stopped"
    docker("unpause", name)
    docker("kill", name)
    assert await reason() == "gone"
    docker("rm", name)
    assert await reason() == "gone"


@pytest.mark.docker
async def test_a_real_container_without_a_health_check(containers: Containers) -> None:
    target = Target("model", "127.0.0.1", runtime=Docker(container=containers.run()))
    assert (await EngineHealth().probe(target)).reason == "unsupported"
