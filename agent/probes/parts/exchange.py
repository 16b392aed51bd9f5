"""One request on a connection of its own, and its answer."""

from typing import NamedTuple

from agent.probes.parts.http1 import read_body, read_head
from agent.probes.parts.tls import UNVERIFIED, Tls, client_context
from agent.probes.parts.url import Url
from agent.probes.parts.wire import Wire


class Answer(NamedTuple):
    """The final status, and as much of the body as was asked for."""

    status: int
    body: bytes


async def opened(url: Url, tls: Tls | None) -> Wire:
    """A connection to where ``url`` leads; without ``tls`` nothing of an https server is verified. Raises Fault."""
    if url.scheme == "http":
        return await Wire.open(url.host, url.port)
    options = tls or UNVERIFIED
    context = await client_context(options)
    name = options.server_name or url.host.partition("%")[0].rstrip(".")
    return await Wire.open(url.host, url.port, context, name)


async def exchange(url: Url, tls: Tls | None, request: bytes, limit: int) -> Answer:
    """Send and read at most ``limit`` bytes of the body; no redirect is followed. Raises Fault or OSError."""
    wire = await opened(url, tls)
    try:
        await wire.send(request)
        head = await read_head(wire)
        return Answer(head.status, await read_body(wire, head, limit))
    finally:
        wire.close()
