"""What a container is where it runs: its instance, exec in it, restart of it. One file and one line each.

A runtime is a frozen msgspec struct whose fields are its options; `check_options` as for actions. Where it has
`settled(name, environ)`, that returns the struct with what the document left to the container's name and to the
environment, which configuration alone reads. It keeps no connection: every call opens its own, has a deadline of its
own below its caller's where it waits for somebody else, and raises OSError, with the remedy in its words, where the
engine, the API server or the kernel does not answer. That is the agent's trouble and never the target's.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

if TYPE_CHECKING:
    from agent.runtimes.command import Finished

RUNTIMES: Final[Mapping[str, str]] = {
    "process": "agent.runtimes.processes:Process",
    "docker": "agent.runtimes.docker:Docker",
    "kubernetes": "agent.runtimes.kubernetes:Kubernetes",
}
"""Runtime name to import string."""


class Instance(msgspec.Struct, frozen=True):
    """One run of the target as the runtime knows it. Two runs never share ``identity``."""

    identity: str  # e.g. "pid 41 started 183223.4"
    started_at: float | None = None  # on time.monotonic()'s scale, seconds; None where unknown
    pid: int | None = None


class Ended(msgspec.Struct, frozen=True):
    """How the instance ``identity`` ended, as the runtime tells it."""

    identity: str
    exit_code: int | None = None  # 128+n for a signal, as engines report it; None where unknown
    oom: bool = False  # the kernel killed it for its memory limit
    detail: str = ""  # what else the runtime says, e.g. "Error"; never output of the container


class AbsentError(OSError):
    """The runtime answered: there is no such container. Not the same as one that is there and does not run."""


class NotRunningError(OSError):
    """The runtime answered: the container is not running, or is gone; nothing can be run in it."""


class CannotRunError(OSError):
    """A command could not be started in the container: it has no such program, or may not run it."""


class StillRunningError(OSError):
    """Earlier runs of the same command hang in the container and can't be ended; no further one is started."""


class Runtime(Protocol):
    """What every runtime can; the others below are optional, and asked for by `hasattr` or a class attribute."""

    async def instance(self) -> Instance | None:
        """The running instance, or None when there is none. Raises OSError where it can't be told."""
        ...


class Executes(Protocol):
    """A runtime with ``can_exec``: runs commands in the container."""

    async def run(self, argv: Sequence[str], started: Callable[[], None]) -> "Finished":
        """Run ``argv`` in the container, without a shell; ``started`` is called once the command has begun.

        Until then it is the runtime that is waited for. At most `command.CAP` bytes of output are kept. Raises
        CannotRunError where the container lacks the program, StillRunningError where it already hangs there too often,
        OSError where the runtime does not answer. Cancelled, it gives the connection up and does what it can to end the
        command.
        """
        ...


class Tells(Protocol):
    """A runtime that has what the server has printed lately, for the evidence."""

    async def log_tail(self) -> str:
        """The last hundred lines of both its streams."""
        ...


class Remembers(Protocol):
    """A runtime that knows how the last instance ended."""

    async def ended(self) -> Ended | None:
        """How the newest instance that has ended did so; None where none has, or it is forgotten."""
        ...


class Announces(Protocol):
    """A runtime with a place where people look for what happened to a container: it is told of restarts."""

    async def announce(self, reason: str, message: str) -> None:
        """Write it there. ``reason`` is one CamelCase word. Raises OSError where that can't be done."""
        ...
