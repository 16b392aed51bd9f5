"""What the parts of a guard need of the whole: one protocol, so that each can be tried without the others."""

from typing import Any, Protocol

from agent.actions import Order
from agent.engine.container import Container
from agent.engine.dependencies import Dependencies
from agent.engine.drain import Drain
from agent.engine.hooks import HookRunner
from agent.engine.maintenance import Maintenance
from agent.engine.pulse import Pulse
from agent.engine.stats import ContainerStats
from agent.engine.watch import Sign, Watch


class Surroundings(Protocol):
    """What a remedy, its kills and its ledger need of whoever guards the container."""

    container: Container
    watch: Watch
    hooks: HookRunner
    stats: ContainerStats
    pulse: Pulse
    drain: Drain
    dependencies: Dependencies
    maintenance: Maintenance
    agent_started_at: float

    @property
    def remembers(self) -> bool:
        """Whether the agent has a state file, and could write it last."""
        ...

    def clock(self) -> float:
        """Seconds on the engine's clock."""
        ...

    def tell(self, name: str, fields: dict[str, Any], *, level: str = "info", detail: str = "") -> None:
        """An event, for the log and /events."""
        ...

    def renew(self, sign: Sign) -> None:
        """A new instance of the container begins."""
        ...

    def leave(self, code: int) -> None:
        """The agent shall end, in order, with this exit status."""
        ...

    def redact(self, text: str) -> str: ...

    async def evidence(self, order: Order) -> str:
        """Gather what can be seen of an instance that is about to go: the name of its directory, or "" for nothing."""
        ...

    async def save(self) -> None:
        """Put what must survive the agent on disk."""
        ...
