"""Composes a probe's HTTP request: the kubelet's headers, the check's own, and secrets read afresh from their files."""

import os
import stat
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from agent.probes.parts.faults import Fault
from agent.probes.parts.names import canonical, control_problem, header_name_problem
from agent.probes.parts.shared import shared
from agent.probes.parts.url import Url
from agent.runtimes.secrets import remember

USER_AGENT: Final = "kube-probe/1.36"  # servers that keep the kubelet's probes out of their logs know this prefix
_MAX_VALUE: Final = 16384
_OURS: Final = frozenset({"Host", "User-Agent", "Content-Length", "Transfer-Encoding", "Trailer"})  # as Go's client
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_OF_BODY: Final = frozenset({"Content-Type", "Content-Encoding", "Content-Language", "Content-Location"})


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """One header of the request; the same name may come several times."""

    name: Annotated[
        str, Meta(min_length=1, description="Host sets the host asked for; empty User-Agent or Accept: not sent")
    ]
    value: Annotated[str, Meta(max_length=_MAX_VALUE)] | None = None
    value_file: Annotated[
        str | None, Meta(description="file read at each probe, for secrets; its last line end is dropped")
    ] = None

    def check_options(self) -> list[tuple[str, str]]:
        problems = [("name", header_name_problem(self.name)), ("value", control_problem(self.value or ""))]
        if (self.value is None) == (self.value_file is None):
            problems.append(("value", "give exactly one of value and value_file"))
        return [(path, problem) for path, problem in problems if problem is not None]


Fields = Sequence[tuple[str, str]]
"""Headers as (canonical name, value), in order."""


def written_fields(headers: Sequence[Header]) -> Fields | None:
    """The headers when all of them are in the configuration; None when some are in files."""
    if any(header.value_file is not None for header in headers):
        return None
    return tuple((canonical(header.name), header.value or "") for header in headers)


async def read_fields(headers: Sequence[Header]) -> Fields:
    """The headers with what their files hold now, or a Fault "internal" that names the file."""
    return [
        (canonical(header.name), header.value or "" if header.value_file is None else await _read(header.value_file))
        for header in headers
    ]


async def _read(path: str) -> str:
    try:
        content = await shared(("read", path), lambda: _contents(path))
        text = content.decode().removesuffix("\n").removesuffix("\r")
    except OSError as problem:
        raise Fault("internal", f"value_file {path}: {problem.strerror or problem}") from problem
    except UnicodeDecodeError as problem:
        raise Fault("internal", f"value_file {path}: not UTF-8 text") from problem
    if len(text) > _MAX_VALUE or control_problem(text):
        raise Fault("internal", f"value_file {path}: not one line of at most {_MAX_VALUE} characters")
    return remember(text)


def _contents(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not be waited for
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123  # it has no path any more
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(None, "not a regular file")
        return file.read(4 * _MAX_VALUE) or b""


def custom_host(fields: Fields) -> str:
    """The Host header that the check gives, or ""."""
    return next((value for name, value in fields if name == "Host"), "")


def compose(method: str, url: Url, fields: Fields, *, host: str, body: bytes | None = None) -> bytes:
    """The request; a given but empty User-Agent or Accept is not sent (probe-semantics 2.1)."""
    given = dict(reversed(fields))
    lines = [f"{method} {url.target} HTTP/1.1", f"Host: {host or url.authority}"]
    if agent := given.get("User-Agent", USER_AGENT):
        lines.append(f"User-Agent: {agent}")
    if "close" not in given.get("Connection", "").lower():
        lines.append("Connection: close")
    if "Accept" not in given:
        lines.append("Accept: */*")
    dropped = _OURS if body is not None else _OURS | _OF_BODY
    if not given.get("Accept", "*/*"):
        dropped |= {"Accept"}
    lines += [f"{name}: {value}" for name, value in fields if name not in dropped]
    if body is not None or method in _WITH_BODY:
        lines.append(f"Content-Length: {len(body or b'')}")
    return "\r\n".join([*lines, "\r\n"]).encode("utf-8", "surrogateescape") + (body or b"")
