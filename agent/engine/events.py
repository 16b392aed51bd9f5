"""The events of a container's life, told to whoever listens: the log, /events, the hooks."""

import logging
from collections.abc import Callable
from typing import Any, Literal

import msgspec

log = logging.getLogger(__name__)

Kind = Literal["transition", "restart", "state"]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened: ``fields`` are scalars of closed sets and configured names, ``detail`` is not for all.

    transition: {type, check, to, reason, instance} or {type: started|ready|live, to: true|false, ...}
    restart: {action, reason, check, step (decided, drain, action, hold, done, suppressed, ...), outcome, why}
    state: {from, to}
    """

    kind: Kind
    name: str  # the log's event name, e.g. "liveness.failure", "restart.decided"
    time: float  # Unix time, seconds
    container: str
    fields: dict[str, Any]
    detail: str = ""
    level: Literal["debug", "info", "warning", "error"] = "info"


Listener = Callable[[Event], None]


class Bus:
    """Calls every listener at once, in the order they came; one that raises is told of, and harms nobody else."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Returns the function that unsubscribes."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def tell(self, event: Event) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception:
                log.exception("listener.error", extra={"container": event.container, "of": event.name})
