"""The engine_health check: the verdict of the engine's own health check, as images and Compose files define it."""

from typing import ClassVar

import msgspec

from agent.core.model import EXHAUSTED, Reason, Result, Target, error, failure, success
from agent.runtimes import AbsentError
from agent.runtimes.engine_api.answers import Inspected


class EngineHealth(msgspec.Struct, frozen=True):
    """Asks the engine, which runs the container's health check itself, for State.Health.Status."""

    needs_runtime: ClassVar[str] = "docker"

    async def probe(self, target: Target) -> Result:
        if not hasattr(target.runtime, "inspect"):
            return error("runtime", f"container {target.container} has no runtime.docker, whose engine could be asked")
        target.in_runtime = True
        try:
            seen: Inspected = await target.runtime.inspect()
        except AbsentError as problem:
            return failure("gone", problem.strerror or str(problem))
        except OSError as problem:
            if problem.errno in EXHAUSTED:
                raise
            return error("runtime", problem.strerror or str(problem))
        return verdict(seen)


def verdict(seen: Inspected) -> Result:
    """What the engine's state of a container means.

    While the engine says "starting" there is no verdict yet, which is what an error is: nothing is published, so a
    container is neither started nor ready until it is healthy, and no liveness check kills it for still loading. The
    engine itself bounds this, by the health check's start period and retries.
    """
    state, name = seen.state, seen.called
    if not state.runs:
        oom = ", out of memory" if state.oom_killed else ""
        return failure("gone", f"{name} is {state.status} (exit status {state.exit_code}{oom})")
    if state.paused:
        return failure("stopped", f"{name} is paused")
    health = state.health
    if health is None or health.status in ("", "none"):
        return error(
            "unsupported",
            f"{name} has no health check: give its image or service one (HEALTHCHECK, healthcheck:), or use http_get",
        )
    if health.status == "healthy":
        return success()
    if health.status == "unhealthy":
        last = health.log[-1].exit_code if health.log else None
        reason: Reason = "timeout" if last == -1 else "exit"
        how = (
            ""
            if last is None
            else ", the last by its time-out"
            if last == -1
            else f", the last with exit status {last}"
        )
        return failure(reason, f"{name} failed its own health check {health.failing_streak} times in a row{how}")
    return error("runtime", f"{name}'s own health check has no verdict yet ({health.status})")
