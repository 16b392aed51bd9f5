"""Reads HTTP/1 answers as leniently and as strictly as Go's client, and never more of them than a probe needs."""

import re
from typing import Final, NamedTuple

from agent.probes.parts.faults import Fault
from agent.probes.parts.wire import Wire

MAX_BODY: Final = 10240
"""Bytes of a body that are read, as the kubelet's; what comes after them is never looked at."""

_MAX_HEAD: Final = 65536  # of all heads of one answer, 1xx ones included
_MAX_CHUNK_LINE: Final = 4096
_MAX_CHUNK_OVERHEAD: Final = 16384
_END_OF_HEAD: Final = re.compile(rb"\n\r?\n")
_STATUS_LINE: Final = re.compile(rb"HTTP/\d\.(\d) +(\d{3})(?: .*)?", re.DOTALL)
_HEX: Final = re.compile(rb"[0-9a-fA-F]{1,15}")
_TOKEN: Final = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_NAME: Final = _TOKEN + b" "  # Go lets blanks in names pass
_TEXT: Final = bytes(byte for byte in range(256) if byte >= 0x20 or byte in b"\t\n").replace(b"\x7f", b"")


class Head(NamedTuple):
    """What a probe needs of an answer's status line and headers."""

    status: int
    location: bytes = b""
    length: int | None = None  # of the body; None: chunked, or up to the end of the connection
    chunked: bool = False


async def read_head(wire: Wire, *, bodiless: bool = False) -> Head:
    """The final head (101 or not 1xx); earlier 1xx ones are skipped. ``bodiless``: the answer to a HEAD request.

    Raises Fault: "reset" where the connection ends first, "protocol" where this is not HTTP.
    """
    held, used = wire.held, 0
    searched = 0
    while True:
        end = _END_OF_HEAD.search(held, searched)
        if end is not None:
            head = parse_head(bytes(held[: end.start()]), bodiless=bodiless)
            del held[: end.end()]
            if head.status >= 200 or head.status == 101 or head.status < 100:
                return head
            used, searched = used + end.end(), 0
            continue
        if not b"HTTP/".startswith(held[:5]):
            raise Fault("protocol", "the answer is not HTTP/1")
        if used + len(held) > _MAX_HEAD:
            raise Fault("protocol", f"more than {_MAX_HEAD} bytes of headers")
        searched = max(0, len(held) - 2)
        if not await wire.receive():
            raise Fault("reset", "the connection was closed before the end of the headers")


def parse_head(block: bytes, *, bodiless: bool = False) -> Head:
    """A head without its final blank line."""
    lines = block.replace(b"\r\n", b"\n").rstrip(b"\r").split(b"\n")
    status_line = _STATUS_LINE.fullmatch(lines[0])
    if status_line is None:
        raise Fault("protocol", "malformed HTTP status line")
    fields = _fields(lines[1:])
    status = int(status_line[2])
    if bodiless or status < 200 or status in (204, 304):
        return Head(status, fields.get(b"location", [b""])[0], 0)
    chunked = False
    if b"transfer-encoding" in fields and status_line[1] != b"0":  # HTTP/1.0 knows no such thing
        if [value.lower() for value in fields[b"transfer-encoding"]] != [b"chunked"]:
            raise Fault("protocol", "unsupported transfer encoding")
        chunked = True
    lengths = set(fields.get(b"content-length", ()))
    if len(lengths) > 1:
        raise Fault("protocol", "several Content-Length headers that differ")
    return Head(status, fields.get(b"location", [b""])[0], None if chunked else _length(lengths), chunked)


def _fields(lines: list[bytes]) -> dict[bytes, list[bytes]]:
    """The headers that matter to a probe, names in lower case; all of them must be well-formed."""
    found: dict[bytes, list[bytes]] = {}
    if not lines:
        return found
    if lines[0][:1] in (b" ", b"\t"):
        raise Fault("protocol", "malformed HTTP headers")
    block = b"\n".join(lines)
    if b"\n " in block or b"\n\t" in block:
        lines = re.sub(rb"\n[ \t]+", b" ", block).split(b"\n")
    if block.translate(None, _TEXT):
        raise Fault("protocol", "control characters in the HTTP headers")
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or name.translate(None, _NAME):
            raise Fault("protocol", "malformed HTTP headers")
        name = name.lower()
        if name in (b"content-length", b"transfer-encoding", b"location"):
            found.setdefault(name, []).append(value.strip(b" \t"))
    return found


def _length(lengths: set[bytes]) -> int | None:
    for length in lengths:
        if not length.isdigit() or len(length) > 18:
            raise Fault("protocol", "malformed Content-Length header")
        return int(length)
    return None


async def read_body(wire: Wire, head: Head, limit: int = MAX_BODY) -> bytes:
    """At most ``limit`` bytes of the body, as they are: nothing is decompressed.

    Raises Fault "body" where it breaks off or is malformed; the probe's error, not the target's failure (2.1, point 7).
    """
    try:
        if head.chunked:
            return await _chunks(wire, limit)
        wanted = limit if head.length is None else min(head.length, limit)
        while len(wire.held) < wanted:
            if not await wire.receive():
                if head.length is None:
                    break
                raise _ended_after(len(wire.held), head.length)
        return bytes(wire.held[:wanted])
    except Fault as fault:
        raise Fault("body", fault.detail) from fault


def _ended_after(count: int, length: int) -> Fault:
    return Fault("body", f"the body ended after {count} of {length} bytes")


async def _chunks(wire: Wire, limit: int) -> bytes:
    body = bytearray()
    overhead = 0
    while True:
        line = await wire.take_until(b"\n", _MAX_CHUNK_LINE)
        digits = line.partition(b";")[0].rstrip(b" \t\r")
        if _HEX.fullmatch(digits) is None:
            raise Fault("body", "malformed chunk")
        size = int(digits, 16)
        if size == 0:
            await _trailer(wire)
            return bytes(body)
        overhead = max(0, overhead + len(line) + 3 - (16 + 2 * size))
        if overhead > _MAX_CHUNK_OVERHEAD:
            raise Fault("body", "chunks of hardly any data")
        body += await wire.take(min(size, limit - len(body)))
        if len(body) >= limit:
            return bytes(body)
        if await wire.take(2) != b"\r\n":
            raise Fault("body", "malformed chunk")


async def _trailer(wire: Wire) -> None:
    for _ in range(_MAX_CHUNK_LINE):
        if await wire.take_until(b"\n", _MAX_CHUNK_LINE) in (b"", b"\r"):
            return
    raise Fault("body", "an endless trailer")
