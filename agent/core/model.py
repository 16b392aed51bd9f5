"""The vocabulary: checks, results, published values, and the closed sets that metrics and pages speak in."""

import errno
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, get_args

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping


class CheckType(StrEnum):
    """What a check decides, in the order in which rounds of one instant run."""

    STARTUP = "startup"
    READINESS = "readiness"
    LIVENESS = "liveness"


class Outcome(StrEnum):
    """What one probe found. ERROR is the prober's own trouble and says nothing about the target."""

    SUCCESS = "success"
    WARNING = "warning"  # a success worth showing: a redirect that was not followed
    FAILURE = "failure"
    ERROR = "error"


class Published(StrEnum):
    """A check's public value, as the kubelet's results manager keeps it."""

    SUCCESS = "Success"
    FAILURE = "Failure"
    UNKNOWN = "Unknown"


INITIAL: Final = {
    CheckType.STARTUP: Published.UNKNOWN,
    CheckType.READINESS: Published.FAILURE,
    CheckType.LIVENESS: Published.SUCCESS,
}
"""What a check counts as until it has published in this instance (probe-semantics 1.1)."""

Reason = Literal[
    "ok", "refused", "timeout", "reset", "dns", "tls", "protocol", "status", "redirect", "body", "stalled",
    "exit", "signal", "spawn", "unsupported", "runtime", "serving", "unimplemented", "hung", "unresponsive",
    "blind", "gone", "stopped", "gpu", "skipped_busy", "expectation", "internal",
]  # fmt: skip
REASONS: Final[tuple[str, ...]] = get_args(Reason)


EXHAUSTED: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOBUFS, errno.EADDRNOTAVAIL, errno.ECHILD}
)
"""An OSError with one of these is the agent's own want of something: it says nothing of the target, ever."""


class Result(msgspec.Struct, frozen=True, gc=False):
    """What one round found.

    ``detail`` is for people with access (logs, ``details: full``); it never carries header values, URL userinfo or
    queries, nor response bodies. ``duration`` is in seconds.
    """

    outcome: Outcome
    reason: Reason
    detail: str = ""
    duration: float = 0.0

    @property
    def reached(self) -> bool:
        """Whether the target was there: a progress check that was refused warns all the same (`blind`)."""
        return self.outcome in (Outcome.SUCCESS, Outcome.WARNING) and self.reason != "blind"

    def took(self, seconds: float) -> "Result":
        return Result(self.outcome, self.reason, self.detail, seconds)


def success(detail: str = "") -> Result:
    return Result(Outcome.SUCCESS, "ok", detail)


def failure(reason: Reason, detail: str = "") -> Result:
    return Result(Outcome.FAILURE, reason, detail)


def warning(reason: Reason, detail: str = "") -> Result:
    return Result(Outcome.WARNING, reason, detail)


def error(reason: Reason, detail: str = "") -> Result:
    return Result(Outcome.ERROR, reason, detail)


class Target:
    """Where one check looks, and what its method may remember of this instance.

    ``check`` is its TYPE/NAME. ``seen`` is new with each instance and shared by the container's checks; what they read
    there of each other is in `agent.core.remembered`. ``started``: every startup check of the instance has succeeded;
    the worker keeps both of them current.

    ``reached_body`` is set by a method once the target has answered and only the body is still to come: the worker's
    own deadline is then an error, not a failure (probe-semantics 2.1, point 7). ``in_runtime`` is set by a method while
    it waits for the runtime and not yet for the target: an engine that does not answer is an error too. ``so_far`` is
    set by a method that tries again until the deadline: what it has found until then, for its `late`. ``impaired`` is
    set by the worker where the agent itself could not look. The worker clears all four before each try.
    """

    __slots__ = (
        "check", "container", "host", "impaired", "in_runtime", "port", "ports", "reached_body", "runtime", "seen",
        "so_far", "started", "timeout",
    )  # fmt: skip

    def __init__(
        self,
        container: str,
        host: str,
        port: int | None = None,
        ports: "Mapping[str, int] | None" = None,
        *,
        timeout: float = 1.0,
        runtime: Any = None,
        seen: dict[str, Any] | None = None,
        check: str = "",
    ) -> None:
        self.container = container
        self.host = host
        self.port = port
        self.ports: Mapping[str, int] = ports or {}
        self.timeout = timeout  # seconds; the worker enforces it, a method may tell it to a peer
        self.runtime = runtime
        self.seen: dict[str, Any] = {} if seen is None else seen  # new with each instance
        self.check = check
        self.started = True
        self.reached_body = False
        self.in_runtime = False
        self.impaired = False
        self.so_far: Result | None = None

    def port_of(self, port: int | str | None) -> int:
        """The number behind ``port``: itself, a name of ``ports``, or the container's default.

        Raises LookupError where there is none; configuration refuses such a check, so here it is the worker's error.
        """
        if isinstance(port, int):
            return port
        found = self.port if port is None else self.ports.get(port)
        if found is None:
            raise LookupError(
                "no port: neither the check nor its container names one" if port is None else f"no port named {port!r}"
            )
        return found


class Method(Protocol):
    """A way to look at a target: a frozen struct whose fields are its options.

    Optional class attributes: ``default_timeout_seconds`` (1.0), ``default_failure_threshold`` (3) and ``tries`` (3, of
    a round whose attempts return errors). Optional too: ``def late(self, target) -> Result``, what it means that the
    worker's deadline ended the look; without it a failure. And ``def deadline(self, target) -> float``, seconds until
    then; without it the check's time-out. ``dials = False``: its `port` and `host`, if any, are not where it connects.
    ``def engage(self)`` and ``def disengage(self)`` are called when its worker starts and ends; neither may block.

    Optional is also ``async def in_flight(self, target: Target) -> float | None``: the requests that the server has
    running or waiting now, as its own gauges say; None where they can't be read. A drain asks for it once a second,
    also while nothing is probed, and gives it a deadline; an exception is None.
    """

    async def probe(self, target: Target) -> Result:
        """Look once. No timeout, retry, threshold, log or metric in here; an exception is the prober's error."""
        ...


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One configured check. All numbers in seconds or counts, already defaulted (probe-semantics 3.1)."""

    name: str
    type: CheckType
    method: str
    options: Any  # a Method; Any because third-party structs are only known at run time
    initial_delay_seconds: float = 0.0
    period_seconds: float = 10.0
    timeout_seconds: float = 1.0
    success_threshold: int = 1
    failure_threshold: int = 3
    termination_grace_period_seconds: float | None = None
    errors_are_failures: bool = False
