"""The http_get check: the kubelet's HTTP probe, its redirects and its judgement, and what this project adds to them."""

from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from agent.core.model import Result, Target, failure, success, warning
from agent.probes.parts.exchange import opened
from agent.probes.parts.expect import Expect
from agent.probes.parts.faults import Fault
from agent.probes.parts.http1 import Head, read_body, read_head
from agent.probes.parts.names import control_problem, host_problem
from agent.probes.parts.request import Fields, Header, compose, custom_host, read_fields, written_fields
from agent.probes.parts.tls import Tls
from agent.probes.parts.url import Url, first_url, is_absolute, next_url

_MAX_REQUESTS: Final = 10
_SHOWN: Final = 200  # bytes of a body that is told
_FOLLOWED: Final = frozenset({301, 302, 303, 307, 308})
_KEEP_METHOD: Final = frozenset({307, 308})

Port = Annotated[int, Meta(ge=1, le=65535)]


class _Hop(NamedTuple):
    """One request of a chain of redirects."""

    url: Url
    method: str
    body: bytes | None
    host: str  # the Host header where the check gives one, else ""


class _First(NamedTuple):
    """The first request, kept from probe to probe."""

    key: tuple[str, int]
    hop: _Hop
    fields: Fields | None  # None: some of them are in files
    data: bytes


class HttpGet(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Asks over a fresh connection, without a proxy; a final status of 200 to 399 is a success (3xx a warning).

    Redirects to the same host are followed, any port and scheme, ten requests in all; others are not.
    """

    path: Annotated[str, Meta(description="path and query")] = "/"
    port: Annotated[Port | str | None, Meta(description="number or name; null: the container's")] = None
    host: Annotated[str | None, Meta(description="null: the container's host")] = None
    scheme: Annotated[Literal["http", "https"], Meta(description="https verifies nothing unless `tls` says so")] = (
        "http"
    )
    http_headers: Annotated[
        tuple[Header, ...], Meta(description="added to Host, User-Agent, Connection and Accept")
    ] = ()
    strict_redirects: Annotated[bool, Meta(description="a final 3xx is a failure, not a warning")] = False
    method: Annotated[
        Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"], Meta(description="of the request")
    ] = "GET"
    body: Annotated[
        Annotated[str, Meta(max_length=65536)] | None, Meta(description="of the request; its type is a header of yours")
    ] = None
    tls: Annotated[Tls | None, Meta(description="null: nothing is verified, as the kubelet")] = None
    expect: Annotated[Expect | None, Meta(description="what the answer must hold beyond its status")] = None

    def check_options(self) -> list[tuple[str, str]]:
        """What the types cannot say, as (path below this check, message)."""
        found = [("path", control_problem(self.path)), ("host", None if self.host is None else host_problem(self.host))]
        problems = [(path, message) for path, message in found if message is not None]
        blocks = [(f"http_headers[{index}]", header) for index, header in enumerate(self.http_headers)]
        for name, block in [*blocks, ("tls", self.tls), ("expect", self.expect)]:
            if block is not None:
                problems += [(f"{name}.{path}", message) for path, message in block.check_options()]
        return problems

    async def probe(self, target: Target) -> Result:
        try:
            return await self._look(target)
        except Fault as fault:
            return fault.result()

    async def _look(self, target: Target) -> Result:
        first = self._first(target)
        hop, fields, data = first.hop, first.fields, first.data
        if fields is None:
            fields = await read_fields(self.http_headers)
            hop = hop._replace(host=custom_host(fields))
            data = _request(hop, fields)
        custom = hop.host
        for _ in range(_MAX_REQUESTS):
            wire = await opened(hop.url, self.tls)
            try:
                await wire.send(data)
                head = await read_head(wire, bodiless=hop.method == "HEAD")
                following = _following(hop, head, first.hop.url.host, custom)
                if following is None:
                    target.reached_body = True
                    body = await read_body(wire, head)
            finally:
                wire.close()
            if following is None:
                return await self._judge(head.status, body)
            hop = following
            data = _request(hop, fields)
        return failure("redirect", f"stopped after {_MAX_REQUESTS} redirects")

    def _first(self, target: Target) -> _First:
        key = (self.host or target.host, target.port_of(self.port))
        first: _First | None = self.__dict__.get("_cached")  # derived from the fields, so not one of them
        if first is None or first.key != key:
            fields = written_fields(self.http_headers)
            body = None if self.body is None else self.body.encode()
            hop = _Hop(first_url(self.scheme, *key, self.path), self.method, body, custom_host(fields or ()))
            first = _First(key, hop, fields, b"" if fields is None else _request(hop, fields))
            self.__dict__["_cached"] = first
        return first

    async def _judge(self, status: int, body: bytes) -> Result:
        redirect = 300 <= status < 400
        if redirect and self.strict_redirects:
            return failure("redirect", f"HTTP probe ended at a redirect, statuscode: {status}")
        expected = None if self.expect is None else self.expect.accepts(status)
        if expected is False:
            return failure(
                "expectation", f"HTTP probe failed with statuscode: {status}, which `expect.status` does not list"
            )
        if expected is None and not 200 <= status < 400:
            return failure("status", f"HTTP probe failed with statuscode: {status}")
        unmet = None if self.expect is None else await self.expect.unmet(body)
        if unmet is not None:
            return failure("expectation", unmet)
        if redirect and expected is None:
            text = body[:_SHOWN].decode("utf-8", "backslashreplace")
            return warning("redirect", f"Probe terminated redirects, Response body: {text}")
        return success(f"statuscode: {status}")


def _request(hop: _Hop, fields: Fields) -> bytes:
    return compose(hop.method, hop.url, fields, host=hop.host, body=hop.body)


def _following(hop: _Hop, head: Head, first_host: str, custom_host: str) -> _Hop | None:
    """The request that a redirect asks for; None where the answer is final (another host, no Location, no redirect)."""
    if head.status not in _FOLLOWED or not head.location:
        return None
    location = head.location.decode("utf-8", "surrogateescape")
    url = next_url(hop.url, location)
    if url.host != first_host:
        return None
    if url.scheme not in ("http", "https"):
        raise Fault("redirect", "a redirect to an address that is neither http nor https")
    host = "" if is_absolute(location) else custom_host
    if head.status in _KEEP_METHOD:
        return hop._replace(url=url, host=host)
    return _Hop(url, hop.method if hop.method == "HEAD" else "GET", None, host)
