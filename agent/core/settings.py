"""The frozen configuration that the engine runs on: already validated, defaulted and resolved.

The structs that a native document spells out field by field (`Server`, `Restart`, ...) are the same ones that
configuration decodes into, so that keys, types, defaults and schema have one home.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from agent.core.model import Check, CheckType

# The upper bounds are the int32 of the Kubernetes API: nobody waits longer, and no clock overflows.
Seconds = Annotated[float, Meta(ge=0, le=2_147_483_647, description="seconds")]
PositiveSeconds = Annotated[float, Meta(gt=0, le=2_147_483_647, description="seconds")]
Count = Annotated[int, Meta(ge=1, le=2_147_483_647)]
Port = Annotated[int, Meta(ge=1, le=65535)]
LONGEST_SOCKET = 107


def _one_of(kind: str, description: str) -> Meta:
    """A map with exactly one key that names a kind of ``kind``; agent.config decodes it by this mark."""
    return Meta(description=description, extra={"kind": kind}, extra_json_schema={"$ref": f"#/$defs/{kind}"})


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """The public listener, read only."""

    host: Annotated[str | None, Meta(description="address to listen on; null: every address, IPv6 and IPv4")] = None
    port: Annotated[int, Meta(ge=0, le=65535, description="0: any free port, told in the log")] = 9809
    details: Annotated[Literal["reasons", "full"], Meta(description="full: /status and /events show detail texts")] = (
        "reasons"
    )


class Admin(msgspec.Struct, frozen=True, kw_only=True):
    """The admin listener: a unix socket, or a loopback address with a token. POST only."""

    socket: Annotated[str | None, Meta(description="path of a unix socket; only the agent's user may use it")] = None
    host: Annotated[str, Meta(description="a loopback address, with port")] = "127.0.0.1"
    port: Annotated[Port | None, Meta(description="instead of a socket; needs token_file")] = None
    token_file: Annotated[str | None, Meta(description="file with the token that every request must bear")] = None

    def check_options(self) -> list[tuple[str, str]]:
        """What its types can't say: the option's path, and what is wrong with it."""
        if (self.socket is None) == (self.port is None):
            return [("", "exactly one of socket and port is needed")]
        if self.port is not None and self.token_file is None:
            return [("port", "needs token_file: whoever is on this machine could restart the server")]
        if self.socket is not None and len(self.socket.encode(errors="surrogateescape")) > LONGEST_SOCKET:
            return [("socket", f"longer than the {LONGEST_SOCKET} bytes that a unix socket's path may have")]
        return []


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """Where the agent's own log lines go is standard error; this says how they look."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"


class Drain(msgspec.Struct, frozen=True, kw_only=True):
    """How long readiness is false before the action."""

    max_seconds: Annotated[Seconds, Meta(description="seconds; 0: no drain")] = 0.0
    until_idle: Annotated[bool, Meta(description="the drain ends once nothing is in flight")] = False


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """The kubelet's CrashLoopBackOff: 0, initial, doubling up to max (probe-semantics 3.4)."""

    initial_seconds: PositiveSeconds = 10.0
    max_seconds: PositiveSeconds = 300.0
    reset_after_seconds: PositiveSeconds = 600.0


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """At most so many restarts within a sliding window."""

    restarts: Annotated[int, Meta(ge=0)] = 5
    window_seconds: PositiveSeconds = 3600.0


class Hooks(msgspec.Struct, frozen=True, kw_only=True):
    """Commands or webhooks told of a container's events; each an Action struct (exec or webhook) or None."""

    pre_restart: Annotated[Any, _one_of("hook", "before the action; it cannot veto")] = None
    post_restart: Annotated[Any, _one_of("hook", "once the new instance is seen")] = None
    on_transition: Annotated[Any, _one_of("hook", "at each change of a published value")] = None
    on_give_up: Annotated[Any, _one_of("hook", "when no budget is left")] = None


class Escalation(msgspec.Struct, frozen=True, kw_only=True):
    """Another action, for a container that restarts do not help."""

    after: Annotated[Count, Meta(description="kills in a row, each within backoff.reset_after_seconds of the last")]
    action: Annotated[Any, _one_of("action", "what is done from then on")]
    action_name: Annotated[str, Meta(extra={"kind": "derived"})] = "none"


class Restart(msgspec.Struct, frozen=True, kw_only=True):
    """What is done about a dead container, and the brakes on it."""

    action: Annotated[Any, _one_of("action", "what is done; none: a platform acts on /healthz/NAME")] = (
        None  # never None once resolved
    )
    action_name: Annotated[str, Meta(extra={"kind": "derived"})] = "none"
    policy: Annotated[
        Literal["Always", "OnFailure", "Never"],
        Meta(description="Always, OnFailure: a kill, and a new instance is expected; Never: one kill, none expected"),
    ] = "Always"
    grace_period_seconds: Annotated[
        Seconds, Meta(description="seconds; a check's termination_grace_period_seconds wins over it")
    ] = 30.0
    drain: Drain = Drain()
    backoff: Backoff = Backoff()
    budget: Budget = Budget()
    action_timeout_seconds: Annotated[
        PositiveSeconds, Meta(description="seconds, on top of the grace; a longer action is ended and has failed")
    ] = 60.0
    assume_restarted_seconds: Annotated[
        PositiveSeconds | None,
        Meta(description="seconds after the action at which a new instance is assumed; null: 120, or 900 for webhook"),
    ] = None
    arm_after_seconds: Annotated[Seconds, Meta(description="no action in the agent's first seconds")] = 0.0
    evidence_dir: Annotated[str | None, Meta(description="where what was seen before a restart is kept")] = None
    evidence_seconds: Annotated[Seconds, Meta(description="gathering it delays a restart by at most so long")] = 10.0
    depends_on: Annotated[
        Any,
        Meta(
            description="checks of something else: while one fails too, the restart is held back",
            extra={"kind": "depends_on"},
            extra_json_schema={"$ref": "#/$defs/readiness_check"},
        ),
    ] = ()
    correlated_hold_seconds: Annotated[
        Seconds, Meta(description="a check of depends_on holds back at most so long")
    ] = 300.0
    maintenance_file: Annotated[str | None, Meta(description="maintenance while this file exists")] = None
    escalate: Annotated[
        Escalation | tuple[Escalation, ...] | None,
        Meta(description="another action after kills in a row; a list goes on from step to step"),
    ] = None
    hooks: Hooks = Hooks()
    dry_run: Annotated[bool, Meta(description="decide, count and log, but never act")] = False

    @property
    def assumed_after(self) -> float:
        """Seconds after the action at which a new instance is assumed: 120, or 900 for webhook (contract 1.1)."""
        if self.assume_restarted_seconds is not None:
            return self.assume_restarted_seconds
        return 900.0 if self.action_name == "webhook" else 120.0

    @property
    def escalations(self) -> tuple[Escalation, ...]:
        """The steps after the restart's own action, in order."""
        given = self.escalate
        return () if given is None else (given,) if isinstance(given, Escalation) else given

    def escalated(self, level: int) -> "Restart":
        """The block with the action that is due at this level; 0, or one that a reload took away, is its own."""
        steps = self.escalations
        if not 0 < level <= len(steps):
            return self
        step = steps[level - 1]
        return msgspec.structs.replace(self, action=step.action, action_name=step.action_name)


class Container(msgspec.Struct, frozen=True, kw_only=True):
    """One model server and its checks."""

    name: str
    host: str = "127.0.0.1"
    port: int | None = None
    ports: dict[str, int] = msgspec.field(default_factory=dict)
    runtime: Any = None  # a Runtime struct (agent.runtimes) or None
    load_seconds: float | None = None  # how long its load usually takes, where it is known
    startup: tuple[Check, ...] = ()
    readiness: tuple[Check, ...] = ()
    liveness: tuple[Check, ...] = ()
    restart: Restart = Restart()

    def checks(self) -> tuple[Check, ...]:
        """All checks in the order in which rounds of one instant run: startup, readiness, liveness."""
        return self.startup + self.readiness + self.liveness

    def address_of(self, check: Check) -> tuple[str, int] | None:
        """Where a check of this container connects; None where it does not, or names no port."""
        port = getattr(check.options, "port", False)
        if port is False:  # it has no such option: an exec check
            return None
        number = port if isinstance(port, int) else self.port if port is None else self.ports.get(port)
        return None if number is None else (getattr(check.options, "host", None) or self.host, number)

    def of_type(self, kind: CheckType) -> tuple[Check, ...]:
        return {CheckType.STARTUP: self.startup, CheckType.READINESS: self.readiness}.get(kind, self.liveness)


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A whole configuration. ``secrets`` are what `${NAME}` expanded to: redact them wherever text leaves."""

    containers: tuple[Container, ...]
    server: Server = Server()
    admin: Admin | None = None
    log: Log = Log()
    state_file: str | None = None
    shutdown_delay_seconds: float = 0.0
    allow_hosts: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
