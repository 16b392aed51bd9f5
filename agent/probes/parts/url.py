"""The addresses of HTTP probes: the first one of a check, and those that redirects lead to, read as Go reads them."""

import re
from typing import Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes, urljoin

from agent.probes.parts.faults import Fault

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_PATH_SAFE: Final = "!$&'()*+,;=:@/[]~"
_QUERY_SAFE: Final = _PATH_SAFE + '%?"<>\\^`{|}#'  # Go sends a query as it is written
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9a-fA-F]{2})")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9\-._~!$&'()*+,;=:@/\[\]%]")
_ORIGIN: Final = re.compile(r"^(?:[A-Za-z][A-Za-z0-9+.\-]*:)?//[^/?#]*")
_ABSOLUTE: Final = re.compile(r"^[A-Za-z][A-Za-z0-9+.\-]*:")
_LOCATION: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*):"
    r"(?://(?:[^/?#]*@)?(?P<host>\[[^\]/?#@]*\]|[^/?#@:\[\]]*)(?::(?P<port>[0-9]*))?(?=[/?#]|$)|(?!//))"
    r"(?P<rest>.*)"
)


class Url(NamedTuple):
    """Where one request goes."""

    scheme: str
    host: str  # without brackets
    port: int
    authority: str  # as the Host header says it
    target: str  # path and query, escaped

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def first_url(scheme: str, host: str, port: int, path: str) -> Url:
    """The kubelet's formatURL: an origin inside ``path`` is overridden, an unparsable ``path`` is taken literally."""
    name = host.partition("%")[0]  # the zone of an IPv6 address concerns this machine only
    authority = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    return Url(scheme, host, port, authority, _target(path))


def is_absolute(location: str) -> bool:
    return _ABSOLUTE.match(location) is not None


def next_url(base: Url, location: str) -> Url:
    """Where ``location`` leads from ``base``; a Fault where it cannot be read. Its scheme may be any."""
    try:
        found = _LOCATION.fullmatch(urljoin(str(base), location)) if _readable(location) else None
    except ValueError:  # brackets that are no IPv6 address
        found = None
    if found is None:
        raise Fault("redirect", "failed to parse the Location header")
    scheme, host = found["scheme"].lower(), (found["host"] or "")
    port = int(found["port"]) if found["port"] else _DEFAULT_PORTS.get(scheme, 0)
    if port > 65535:
        raise Fault("redirect", "failed to parse the Location header")
    authority = f"{host}:{found['port']}" if found["port"] else host
    return Url(scheme, host.strip("[]"), port, authority, _target(found["rest"]))


def _readable(text: str) -> bool:
    return _CONTROL.search(text) is None and _BAD_ESCAPE.search(text.partition("?")[0].partition("#")[0]) is None


def _target(path: str) -> str:
    before, mark, query = path.partition("#")[0].partition("?")
    if not _readable(path) or (is_absolute(before) and _ORIGIN.match(before) is None):
        before, mark, query = path, "", ""
        escaped = quote(before, safe=_PATH_SAFE, errors="surrogateescape")
    else:
        escaped = _escaped(_ORIGIN.sub("", before))
    return (
        (escaped if escaped.startswith("/") else f"/{escaped}")
        + mark
        + quote(query, _QUERY_SAFE, errors="surrogateescape")
    )


def _escaped(path: str) -> str:
    """As written where every character may stand in a path, else unescaped and escaped anew (Go's EscapedPath)."""
    if _UNSAFE.search(path) is None:
        return path
    return quote(unquote_to_bytes(path.encode("utf-8", "surrogateescape")), safe=_PATH_SAFE)
