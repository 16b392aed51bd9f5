"""Fetches one exposition of metrics over plain HTTP: all of it or nothing."""

from typing import Final

from agent.probes.parts.http1 import read_body, read_head
from agent.probes.parts.request import compose
from agent.probes.parts.url import first_url
from agent.probes.parts.wire import Wire

MAX_BYTES: Final = 1 << 20


async def scrape(host: str, port: int, path: str = "/metrics") -> str | None:
    """The text; None where the answer is not 200 or is too long. Raises Fault or OSError; no bound of its own."""
    url = first_url("http", host, port, path)
    wire = await Wire.open(host, port)
    try:
        await wire.send(compose("GET", url, (("Accept", "text/plain"),), host=""))
        head = await read_head(wire)
        if head.status != 200:
            return None
        body = await read_body(wire, head, MAX_BYTES)
    finally:
        wire.close()
    return None if len(body) >= MAX_BYTES else body.decode("utf-8", "replace")
