"""The exec check in the container: the runtime runs the command, and its trouble is never the target's failure."""

import asyncio
import errno
from collections.abc import Callable, Sequence
from typing import ClassVar

import pytest

from agent.core.model import Check, CheckType, Outcome, Target, failure, success
from agent.engine.worker import look
from agent.probes.exec import Exec
from agent.runtimes import CannotRunError
from agent.runtimes.command import Finished

INSIDE = Exec(command=("check", "me"), in_="container")


class Engine:
    """A runtime that answers as told, or hangs before or after the command has begun."""

    can_exec: ClassVar[bool] = True

    def __init__(self, answer: Finished | OSError | None = None, *, begins: bool = True) -> None:
        self.answer = answer
        self.begins = begins
        self.ran: list[tuple[str, ...]] = []

    async def run(self, argv: Sequence[str], started: Callable[[], None]) -> Finished:
        self.ran.append(tuple(argv))
        if self.begins:
            started()
        if self.answer is None:
            await asyncio.Event().wait()
        if isinstance(self.answer, OSError):
            raise self.answer
        assert self.answer is not None
        return self.answer


async def judged(engine: Engine | None, seconds: float = 5) -> tuple[Outcome, str, str]:
    check = Check(name="exec", type=CheckType.LIVENESS, method="exec", options=INSIDE, timeout_seconds=seconds)
    result = await look(check, Target("model", "127.0.0.1", runtime=engine))
    return result.outcome, result.reason, result.detail


async def test_the_exit_status_in_the_container_is_the_verdict() -> None:
    engine = Engine(Finished(0, b"fine\n"))
    assert await INSIDE.probe(Target("model", "127.0.0.1", runtime=engine)) == success("fine")
    assert engine.ran == [("check", "me")]
    broken = Engine(Finished(7, b"no gpu"))
    assert await INSIDE.probe(Target("model", "127.0.0.1", runtime=broken)) == failure("exit", "no gpu")


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (CannotRunError(errno.ENOENT, "no such program in the container"), "spawn"),
        (FileNotFoundError(errno.ENOENT, "/var/run/docker.sock: no such file"), "runtime"),
        (PermissionError(errno.EACCES, "add the socket's group"), "runtime"),
        (OSError("a word without a number"), "runtime"),
    ],
)
async def test_trouble_on_the_way_is_an_error_after_three_tries(problem: OSError, reason: str) -> None:
    engine = Engine(problem)
    assert (await judged(engine))[:2] == (Outcome.ERROR, reason)
    assert len(engine.ran) == 3


async def test_a_command_that_hangs_is_a_failure_and_a_runtime_that_hangs_an_error() -> None:
    assert (await judged(Engine(), 0.1))[:2] == (Outcome.FAILURE, "timeout")
    assert (await judged(Engine(begins=False), 0.1))[:2] == (Outcome.ERROR, "runtime")


async def test_without_a_runtime_it_says_what_to_give_it() -> None:
    outcome, reason, detail = await judged(None)
    assert (outcome, reason) == (Outcome.ERROR, "runtime")
    assert "in: agent" in detail
