"""Fetches one exposition of metrics: all of it or nothing, plain or gzipped, and reads it beside the event loop."""

import zlib
from typing import Final

from agent.core.engines import Reading, Wanted, read
from agent.probes.parts.exchange import exchange
from agent.probes.parts.faults import Fault
from agent.probes.parts.request import Fields, compose, custom_host
from agent.probes.parts.tls import Tls
from agent.probes.parts.url import Url, first_url
from agent.runtimes.aside import aside

MAX_BYTES: Final = 10 << 20
MARKER_BYTES: Final = 1 << 20  # for a look at start time and counters alone, once a second
ACCEPT: Final = ("Accept", "text/plain;version=0.0.4,*/*;q=0.1")
INLINE_BYTES: Final = 1 << 17
"""As much is read in less time than a thread takes to start."""

_GZIP: Final = b"\x1f\x8b"


async def scrape(host: str, port: int, path: str = "/metrics") -> str | None:
    """The text; None where the answer is not 200 or is too long. Raises Fault or OSError; no bound of its own."""
    url = first_url("http", host, port, path)
    answer = await exchange(url, None, compose("GET", url, (ACCEPT,), host=""), MARKER_BYTES)
    if answer.status != 200 or len(answer.body) >= MARKER_BYTES:
        return None
    return answer.body.decode("utf-8", "replace")


async def exposition(url: Url, tls: Tls | None, fields: Fields) -> bytes:
    """The body as it came, at most ten megabytes. Raises Fault or OSError; no bound of its own on the time."""
    accept = () if any(name == "Accept" for name, _ in fields) else (ACCEPT,)
    request = compose("GET", url, (*fields, *accept), host=custom_host(fields))
    answer = await exchange(url, tls, request, MAX_BYTES + 1)
    if answer.status != 200:
        raise Fault("status", f"statuscode: {answer.status}")
    if len(answer.body) > MAX_BYTES:
        raise Fault("protocol", f"more than {MAX_BYTES} bytes")
    return answer.body


async def reading(wanted: Wanted, body: bytes, url: Url) -> Reading:
    """What the exposition tells of the engines; a large one is searched on a thread. Raises Fault."""
    if len(body) <= INLINE_BYTES and not body.startswith(_GZIP):
        return read(wanted, body)
    return await aside(("metrics", url.host, url.port), lambda: read(wanted, _plain(body)))


def _plain(body: bytes) -> bytes:
    """Without gzip, which nobody asked for and some proxies use all the same; a bomb is let go in time."""
    if not body.startswith(_GZIP):
        return body
    try:
        text = zlib.decompressobj(wbits=31).decompress(body, MAX_BYTES + 1)
    except zlib.error as problem:
        raise Fault("protocol", "the gzipped body cannot be read") from problem
    if len(text) > MAX_BYTES:
        raise Fault("protocol", f"more than {MAX_BYTES} bytes when unzipped")
    return text
