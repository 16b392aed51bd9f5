"""The grpc check: the standard health service's word, asked as the kubelet asks."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta

from agent.core.model import Reason, Result, Target, failure, success
from agent.probes.parts.faults import Fault
from agent.probes.parts.protobuf import enum_field, string_field
from agent.probes.parts.request import USER_AGENT
from agent.probes.parts.tls import UNVERIFIED, client_context
from agent.probes.parts.url import first_url

if TYPE_CHECKING:
    from agent.probes.parts.http2 import Answer

Port = Annotated[int, Meta(ge=1, le=65535)]
_PATH: Final = "/grpc.health.v1.Health/Check"
_SAYINGS: Final = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
_SERVING: Final = 1
_CODES: Final = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
_NO_ANSWER: Final = "timeout: health rpc did not complete"
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 1.0


class Grpc(msgspec.Struct, frozen=True, kw_only=True):
    """Asks grpc.health.v1.Health/Check over a fresh connection; only SERVING is a success.

    A server that does not take the connection, or does not speak HTTP/2 yet, is tried again until the time-out, as the
    kubelet's client does: a refused port costs the whole of it.
    """

    port: Annotated[Port | str | None, Meta(description="number or name; null: the container's")] = None
    service: Annotated[str, Meta(description="whose health is asked for; empty: the server's as a whole")] = ""
    tls: Annotated[bool, Meta(description="TLS without verification; otherwise plain HTTP/2")] = False

    def check_options(self) -> list[tuple[str, str]]:
        try:
            import agent.probes.parts.http2  # noqa: F401
        except ImportError:
            return [("", "needs the package h2: pip install 'model-health-agent[grpc]'")]
        return []

    async def probe(self, target: Target) -> Result:
        from agent.probes.parts.http2 import Http2

        loop = asyncio.get_running_loop()
        end = loop.time() + target.timeout
        host, port = target.host, target.port_of(self.port)
        context = await client_context(UNVERIFIED, "h2") if self.tls else None
        pause = _FIRST_PAUSE
        while True:
            try:
                connection = await Http2.open(host, port, context, host.partition("%")[0].rstrip("."))
            except Fault as fault:
                target.so_far = fault.result()
            else:
                break
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        target.so_far = None
        try:
            answer = await connection.call(self._headers(host, port, end - loop.time()), string_field(1, self.service))
        except Fault as fault:
            return fault.result()
        finally:
            connection.close()
        return _judge(answer, target.timeout)

    def late(self, target: Target) -> Result:
        """The deadline has passed: in the words of the kubelet's client, and with the reason of the last try."""
        within = f"within {target.timeout:g}s"
        if target.so_far is None:
            return failure("timeout", f"{_NO_ANSWER} {within}")
        found = target.so_far
        return failure(
            found.reason, f'timeout: failed to connect service "{self._address(target)}" {within}: {found.detail}'
        )

    def _address(self, target: Target) -> str:
        return first_url("http", target.host, target.port_of(self.port), "/").authority

    def _headers(self, host: str, port: int, left: float) -> list[tuple[str, str]]:
        return [
            (":method", "POST"),
            (":scheme", "https" if self.tls else "http"),
            (":path", _PATH),
            (":authority", first_url("http", host, port, "/").authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", USER_AGENT),
            ("grpc-timeout", _timeout(left)),
        ]


def _timeout(seconds: float) -> str:
    """As gRPC writes it: at most eight digits and a unit."""
    milliseconds = max(1, int(seconds * 1000))
    return f"{milliseconds}m" if milliseconds < 10**8 else f"{milliseconds // 1000}S"


def _judge(answer: "Answer", timeout: float) -> Result:
    if answer.http_status != 200:
        reason: Reason = "unimplemented" if answer.http_status == 404 else "status"
        return failure(reason, f"no gRPC here: HTTP status {answer.http_status}")
    if answer.status is None or not answer.content_type.startswith("application/grpc"):
        return failure("protocol", "the answer is not gRPC, or ended without its status")
    if answer.status != 0:
        return _refused(answer.status, timeout)
    try:
        said = enum_field(answer.whole_message(), 1)
    except ValueError as problem:
        return failure("protocol", f"the answer is no HealthCheckResponse: {problem}")
    if said == _SERVING:
        return success("service healthy")
    word = _SAYINGS[said] if said < len(_SAYINGS) else str(said)
    return failure("serving", f'service unhealthy (responded with "{word}")')


def _refused(code: int, timeout: float) -> Result:
    """What a call that failed says; never with the server's own words."""
    name = _CODES[code] if code < len(_CODES) else str(code)
    if name == "UNIMPLEMENTED":
        return failure("unimplemented", "this server does not implement the grpc health protocol")
    if name == "DEADLINE_EXCEEDED":
        return failure("timeout", f"{_NO_ANSWER} within {timeout:g}s")
    if name == "NOT_FOUND":
        return failure("serving", "the server knows no such service (NOT_FOUND)")
    return failure("status", f"health rpc failed: {name}")
