"""The exec check: a command's exit status is the verdict."""

import signal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.core.model import EXHAUSTED, Result, Target, error, failure, success
from agent.runtimes import CannotRunError, NotRunningError, StillRunningError
from agent.runtimes.command import Finished, problems_of, run


class Exec(msgspec.Struct, frozen=True, kw_only=True):
    """Runs a command without a shell, in a session of its own.

    Exit 0 is success, anything else a failure. Output is read up to 10 KiB and dropped beyond; what the command leaves
    running in its process group is killed.
    """

    command: Annotated[tuple[str, ...], Meta(min_length=1, description="program and arguments; no shell")]
    in_: Annotated[
        Literal["agent", "container"],
        Meta(description="agent: beside the agent; container: in the target, through `runtime`"),
    ] = msgspec.field(default="agent", name="in")

    def check_options(self) -> list[tuple[str, str]]:
        return problems_of(self.command)

    async def probe(self, target: Target) -> Result:
        if self.in_ == "container":
            return await self._inside(target)
        try:
            return _judge(await run(self.command))
        except OSError as problem:
            if problem.errno in EXHAUSTED:
                raise
            return error("spawn", f"{self.command[0]}: {problem.strerror or problem}")

    async def _inside(self, target: Target) -> Result:
        """In the container: until the command has begun there, whatever goes wrong is the runtime's trouble."""
        if not getattr(target.runtime, "can_exec", False):
            return error(
                "runtime",
                f"container {target.container} has no runtime to run a command in; give it one, or `in: agent`",
            )

        def started() -> None:
            target.in_runtime = False

        target.in_runtime = True
        try:
            return _judge(await target.runtime.run(self.command, started))
        except NotRunningError as problem:  # as for the kubelet: a container that does not run has failed
            return failure("gone", problem.strerror or str(problem))
        except CannotRunError as problem:
            return error("spawn", f"{self.command[0]}: {problem.strerror or problem}")
        except StillRunningError as problem:  # what hangs time and again is the target's failure, run once more or not
            return failure("timeout", problem.strerror or str(problem))
        except OSError as problem:
            if problem.errno in EXHAUSTED:
                raise
            return error("runtime", problem.strerror or str(problem))


def _judge(ended: Finished) -> Result:
    output = ended.output.decode(errors="replace").strip()
    if ended.returncode == 0:
        return success(output)
    if ended.returncode < 0:
        return failure("signal", f"killed by {_signal_name(-ended.returncode)}: {output}".removesuffix(": "))
    return failure("exit", output or f"exit status {ended.returncode}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
