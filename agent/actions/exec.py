"""Runs a command of the user's in the agent's container: an action's, or a hook's."""

import signal
from typing import Annotated

import msgspec
from msgspec import Meta

from agent.actions import ActionError, Order
from agent.runtimes.command import Finished, problems_of, run


class ExecAction(msgspec.Struct, frozen=True):
    """The command is told of the event in HEALTH_EVENT_* and as JSON on its standard input; exit status 0 is good.

    What it leaves running stays, for it may be the server; that should have an output of its own. Where the command
    takes too long its whole process group is killed.
    """

    command: Annotated[tuple[str, ...], Meta(min_length=1, description="program and arguments; no shell is involved")]

    def check_options(self) -> list[tuple[str, str]]:
        return problems_of(self.command)

    async def act(self, order: Order) -> None:
        document = msgspec.json.encode(order.document())
        try:
            finished = await run(self.command, env=order.environment(), stdin=document, leave=True)
        except (OSError, ValueError) as problem:
            told = problem.strerror if isinstance(problem, OSError) else str(problem)
            raise ActionError(f"{self.command[0]} can't be run: {told}") from problem
        if finished.returncode != 0:
            raise ActionError(f"{self.command[0]} {_ending(finished)}")


def _ending(finished: Finished) -> str:
    code = finished.returncode
    told = f"exited with status {code}" if code > 0 else f"was ended by signal {-code} ({signal.strsignal(-code)})"
    tail = finished.tail()
    return f"{told}: {tail}" if tail else told
