"""What a container is where it runs: its instance, later exec in it and restart of it. One file and one line each."""

from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

RUNTIMES: Final[Mapping[str, str]] = {
    "process": "agent.runtimes.processes:Process",
}
"""Runtime name to import string."""


class Instance(msgspec.Struct, frozen=True):
    """One run of the target as the runtime knows it. Two runs never share ``identity``."""

    identity: str  # e.g. "pid 41 started 183223.4"
    started_at: float | None = None  # on time.monotonic()'s scale, seconds; None where unknown
    pid: int | None = None


class Runtime(Protocol):
    """A frozen struct whose fields are its options.

    Optional attribute ``can_exec``: can run commands in the container.
    """

    async def instance(self) -> Instance | None:
        """The running instance, or None when there is none. Raises OSError where it can't be told."""
        ...
