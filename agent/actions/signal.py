"""Signals the server's process, and kills it when it has not left within the grace."""

import logging
import signal
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import Meta

from agent.actions import ActionError, Order

APART: Final = (
    "the agent lives in the pid namespace of the server's own container and ends with it; an engine does not always "
    "start it again: have both join the namespace of a third container that only sleeps (pid: service:NAME), or the "
    "server the agent's"
)

log = logging.getLogger(__name__)


class Signal(msgspec.Struct, frozen=True):
    """Signal, grace, SIGKILL, through runtime.process; whoever started the server starts it again."""

    signal: Annotated[str, Meta(description="TERM, INT, QUIT, ...: a signal's name, with or without SIG")] = "TERM"

    needs_runtime: ClassVar[str] = "process"

    def check_options(self) -> list[tuple[str, str]]:
        if _number(self.signal) is None:
            return [("signal", f"no signal is named {self.signal!r}; TERM, INT, QUIT, HUP, USR1, USR2 and KILL are")]
        return []

    async def act(self, order: Order) -> None:
        number = _number(self.signal)
        if number is None or order.runtime is None:
            raise ActionError("signal needs a signal's name and runtime.process")
        try:
            if await order.runtime.takes_the_agent_along(order.identity):
                log.warning("restart.takes_the_agent_along", extra={"container": order.container, "detail": APART})
                if not order.remembers:
                    raise ActionError(f"needs state_file, or the agent forgets that it has restarted; {APART}")
            await order.runtime.stop(number, order.grace_seconds, order.identity)
        except OSError as problem:
            raise ActionError(problem.strerror or str(problem)) from problem


def _number(name: str) -> signal.Signals | None:
    return signal.Signals.__members__.get("SIG" + name.upper().removeprefix("SIG"))
