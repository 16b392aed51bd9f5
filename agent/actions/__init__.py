"""The restart actions: one small file each, one line in the table below.

An action is a frozen msgspec struct whose fields are its options and whose `async def act(self, order)` does its one
thing and returns; an exception means that it failed. The remedy (agent.engine.remedy) gives it its deadline, its turn,
its retries and its record; an action must clean up what it started when it is cancelled.

What an action is like is told by class attributes, each with a default, so that a third party's may leave them out:

- ``interrupts`` (True): the container goes out of service first: not ready, drained, `/healthz` 503.
- ``holds`` (True): a new instance is expected afterwards, and nothing is probed until it is seen.
- ``needs_runtime`` (""): the runtime that it acts through; configuration refuses it without that one.
- ``outlives_the_agent`` (False): somebody else carries it out, and goes on where the agent dies meanwhile.
- ``retries`` (False): as a hook it is tried again when it failed, until it is told or too old.
- ``needs_state_file`` (False): it ends the agent itself, which must find its budget again.
- ``caution`` (""): what configuration warns of, as W-ACTION-CAUTION.

An optional ``def check_options(self) -> list[tuple[str, str]]`` tells configuration what its types can't: the path of
an option ("" for the action itself, "http_headers[0].name") and what is wrong with it.
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
    "docker": "agent.actions.docker:DockerRestart",
    "kubernetes": "agent.actions.kubernetes:KubernetesAction",
    "exit": "agent.actions.exit:Exit",
}
"""Action name to import string: a module is imported when the configuration uses it."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What an action or a hook is told: the event (contract 5) and what it may need to act.

    ``type`` is pre_restart, post_restart, on_transition, on_give_up or action. ``runtime`` is the container's Runtime
    struct or None, and ``identity`` what that called the instance which is to go, so that no successor is hit;
    ``grace_seconds`` is how long a signalled process may take to leave before SIGKILL. ``remembers``: the agent has a
    state file that it can write, and finds its budget again should the action end it too.
    """

    type: str
    container: str
    reason: str = ""
    check: str = ""
    to: str = ""
    instance: str = ""
    evidence: str = ""
    runtime: Any = None
    identity: str = ""
    grace_seconds: float = 30.0
    remembers: bool = True

    def document(self) -> dict[str, str]:
        """The JSON that hooks and exec actions read on standard input, and webhooks get as their body."""
        return {
            "type": self.type, "container": self.container, "reason": self.reason, "check": self.check,
            "to": self.to, "instance": self.instance, "evidence": self.evidence,
        }  # fmt: skip

    def environment(self) -> dict[str, str]:
        """The same as HEALTH_EVENT_* variables."""
        return {f"HEALTH_EVENT_{key.upper()}": value for key, value in self.document().items()}


class ActionError(Exception):
    """An action that failed for a reason that its message tells: no traceback is needed, and no secret is in it.

    ``final``: the same again would end the same way.
    """

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final


class LeftAloneError(ActionError):
    """Nothing is done, and nothing is to be done: what is down was taken down by a human, who will start it again."""


class ExitRequested(Exception):  # noqa: N818 - it is no error: the agent is to leave, in order, with this status
    """Raised by an action that has the agent leave with exit status ``code``."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit with status {code}")
        self.code = code


class Action(Protocol):
    """What a restart does."""

    async def act(self, order: Order) -> None: ...
