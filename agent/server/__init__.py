"""The listeners: they read what is known and never probe; every answer comes from memory."""

from collections.abc import Iterable
from typing import Any, Literal, Protocol

from agent.core.verdict import ContainerView, Standing
from agent.engine.events import Bus
from agent.engine.stats import CheckStats, ContainerStats, Histogram


class Source(Protocol):
    """What the listeners read. `agent.app.Agent` is one; tests have small real ones."""

    bus: Bus
    lateness: Histogram
    stopping: bool  # SIGTERM came: /ready 503, /healthz 200
    config_error: bool  # --serve-on-config-error: every NAME is healthy and started, nothing is ready
    details: str  # "reasons" or "full"
    reload_successful: bool
    reload_success_time: float  # Unix time, seconds

    @property
    def loop_lag_seconds(self) -> float: ...
    def views(self) -> list[ContainerView]: ...
    def standings(self) -> list[Standing]:
        """The same containers as `views`, without what only an explanation takes."""
        ...

    def view(self, name: str) -> ContainerView | None: ...
    def history(self, name: str) -> dict[str, list[dict[str, Any]]]:
        """The last 100 results of each check, keyed TYPE/CHECK: {time, outcome, reason, duration_seconds, detail}."""
        ...

    def asked_startup(self, name: str) -> bool:
        """The kubelet asks /startupz/NAME. True: that shows a new instance, and this very request is answered 503."""
        ...

    def healthy(self) -> list[str]:
        """What is wrong with the agent itself (event loop, workers); empty when nothing is."""
        ...

    def serving(self) -> bool:
        """Configuration loaded, listeners bound, workers started."""
        ...

    def check_stats(self) -> Iterable[tuple[str, str, str, str, CheckStats]]:
        """(container, check type, check, method, counts) of every check."""
        ...

    def container_stats(self) -> Iterable[tuple[str, ContainerStats]]: ...
    def redact(self, text: str) -> str:
        """The text without any value that `${NAME}` expanded to."""
        ...


class Refused(Exception):  # noqa: N818 - the operator is refused, nothing has failed
    """What an operator asked for is not done; the message says why, and what would have to change."""


class Operator(Protocol):
    """What the admin listener asks for; each returns once it is accepted, and raises Refused where it is not."""

    async def reload(self) -> None:
        """Read the configuration again; a bad one changes nothing, and the refusal names every error."""
        ...

    async def restart(self, name: str) -> None:
        """Restart this container now, for the reason `operator`; it is also a way back from given up."""
        ...

    async def maintain(self, name: str, seconds: float, ready: Literal["keep", "false"]) -> None:
        """Maintenance for so long; 0 seconds end it."""
        ...

    async def drain(self, name: str, seconds: float) -> None:
        """Not ready for so long, or until a new instance; 0 seconds end it."""
        ...

    async def probe(self, name: str) -> None:
        """Every check of this container looks at once."""
        ...
