"""Notices that the agent's network namespace has died: with the container whose namespace it had joined."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Collection
from typing import Final

LOOPBACK: Final = "lo"
LOOK_EVERY_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 15.0  # where nobody can say that the container is up again, it is given so long

REMEDY: Final = (
    "nothing but loopback is left of the agent's network: the container whose namespace it shares has been restarted, "
    "and every probe would be refused for ever. The agent leaves, so that its restart policy has it join the new "
    "namespace; better, have the server join the agent's namespace (network_mode: service:AGENT), or put both on one "
    "network and probe the server by its service name"
)

log = logging.getLogger(__name__)


def interfaces() -> Collection[str]:
    """The names of this network namespace's interfaces; a system call that does not block."""
    return [name for _, name in socket.if_nameindex()]


class Footing:
    """Whether the network that the agent stood on is still there.

    Docker takes a container's interfaces away when it stops; a companion in its namespace keeps loopback alone, also
    after the container has been started again with a namespace of its own. An agent that never had another interface
    (network_mode: none) can't lose one.
    """

    def __init__(self, look: Callable[[], Collection[str]] = interfaces) -> None:
        self._look = look
        self._had = self._others()

    def lost(self) -> bool:
        """True while nothing but loopback is left of what there was at the start."""
        return self._had is True and self._others() is False

    def _others(self) -> bool | None:
        """Whether there is an interface besides loopback; None where that can't be told."""
        try:
            return any(name != LOOPBACK for name in self._look())
        except OSError:  # no descriptor left: the agent's own trouble, and no sign of anything
            return None

    async def watch(self, up_again: Callable[[], Awaitable[bool | None]], leave: Callable[[int], None]) -> None:
        """For ever: tell of the loss, and ``leave(1)`` once the container is ``up_again`` (None: nobody can say).

        Not before: an engine can't start a container in the namespace of one that is down, and does not try twice.
        """
        clock = asyncio.get_running_loop().time
        since: float | None = None
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            if not self.lost():
                since = None
                continue
            if since is None:
                since = clock()
                log.error("agent.stranded", extra={"detail": REMEDY})
            up = await up_again()
            if up or (up is None and clock() - since >= PATIENCE_SECONDS):
                leave(1)
                return
