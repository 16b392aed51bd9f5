"""Which words may stand as hosts and headers in a check: said at load, so that nothing can slip into a request."""

import re
from typing import Final

_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


def host_problem(host: str) -> str | None:
    if not host or re.search(r"[\s/?#@\x00-\x1f\x7f]", host):
        # Not repeated: somebody may have put a whole URL here, with a password in it.
        return "this is not a host: write a name or an address only, no scheme, user, port or path"
    if host.startswith("["):
        return "write an IPv6 address without brackets"
    if host.count(":") == 1:
        return f"{host!r} is not a host: the port has a field of its own, `port`"
    return None


def header_name_problem(name: str) -> str | None:
    return None if _TOKEN.fullmatch(name) else f"{name!r} is not a header name"


def control_problem(text: str) -> str | None:
    return "control characters, line ends among them, are not allowed" if _CONTROL.search(text) else None


def canonical(name: str) -> str:
    """A header name as Go writes it: Foo-Bar."""
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))
