"""Has the Docker Engine restart the server's container: stop within the grace, kill, start."""

import errno
import logging
from typing import ClassVar, Final

import msgspec

from agent.actions import ActionError, LeftAloneError, Order
from agent.runtimes.own import ends_with_another

_ENDS_TOO: Final = (
    "the agent lives in another container's process namespace and ends with it; Docker then tries once to start it "
    "again, a tenth of a second later, and in vain unless that container runs again by then: have the server join the "
    "agent's namespace instead (pid: service:AGENT), or both of them a third container's"
)

log = logging.getLogger(__name__)


class DockerRestart(msgspec.Struct, frozen=True):
    """Restarts the container of runtime.docker alone: never the agent's own, nor one that was stopped by hand."""

    needs_runtime: ClassVar[str] = "docker"
    outlives_the_agent: ClassVar[bool] = True  # the engine goes on with it

    @property
    def needs_state_file(self) -> bool:
        """Whether the agent dies with what it restarts: it lives in another's pid namespace (pid: service:NAME)."""
        return ends_with_another()

    @property
    def caution(self) -> str:
        return _ENDS_TOO if ends_with_another() else ""

    async def act(self, order: Order) -> None:
        if order.runtime is None:
            raise ActionError("docker needs runtime.docker")

        def tell(text: str) -> None:
            log.warning("restart.left_out", extra={"container": order.container, "detail": text})

        try:
            await order.runtime.restart(order.grace_seconds, order.identity, tell)
        except OSError as problem:
            if problem.errno == errno.ECANCELED:
                raise LeftAloneError(problem.strerror or str(problem)) from problem
            raise ActionError(problem.strerror or str(problem)) from problem
