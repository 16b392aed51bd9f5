"""The restart actions: one small file each, one line in the table below.

An action is a frozen msgspec struct whose fields are its options and whose `async def act(self, order)` does its one
thing and returns; an exception means that it failed. The remedy (agent.engine.remedy) gives it its deadline, its turn,
its retries and its record; an action must clean up what it started when it is cancelled.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec

ACTIONS: Final[Mapping[str, str]] = {
    "none": "agent.actions.none:NoAction",
    "notify": "agent.actions.notify:Notify",
    "signal": "agent.actions.signal:Signal",
    "exec": "agent.actions.exec:ExecAction",
    "webhook": "agent.actions.webhook:Webhook",
    "exit": "agent.actions.exit:Exit",
}
"""Action name to import string: a module is imported when the configuration uses it."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What an action or a hook is told: the event (contract 5) and what it may need to act.

    ``type`` is pre_restart, post_restart, on_transition, on_give_up or action. ``runtime`` is the container's Runtime
    struct or None; ``grace_seconds`` is how long a signalled process may take to leave before SIGKILL.
    """

    type: str
    container: str
    reason: str = ""
    check: str = ""
    to: str = ""
    instance: str = ""
    evidence: str = ""
    runtime: Any = None
    grace_seconds: float = 30.0

    def document(self) -> dict[str, str]:
        """The JSON that hooks and exec actions read on standard input, and webhooks get as their body."""
        return {
            "type": self.type, "container": self.container, "reason": self.reason, "check": self.check,
            "to": self.to, "instance": self.instance, "evidence": self.evidence,
        }  # fmt: skip

    def environment(self) -> dict[str, str]:
        """The same as HEALTH_EVENT_* variables."""
        return {f"HEALTH_EVENT_{key.upper()}": value for key, value in self.document().items()}


class Action(Protocol):
    """What a restart does. Optional class attribute ``holds`` (True): False where nobody may come afterwards."""

    async def act(self, order: Order) -> None: ...
