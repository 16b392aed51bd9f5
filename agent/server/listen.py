"""Opens the listening sockets of one address and port, and says in one line what to do when that fails."""

import asyncio
import errno
import socket
from typing import Final

RESOLVE_SECONDS = 5.0
BACKLOG = 256
Address = tuple[socket.AddressFamily, str]
EVERY_ADDRESS: Final[list[list[Address]]] = [
    [(socket.AF_INET6, "::")],
    [(socket.AF_INET, "0.0.0.0")],  # noqa: S104 the kubelet asks from outside the pod
]
"""Alternatives, best first: one socket for both families, or IPv4 alone."""


class ListenError(Exception):
    """The listener can't be opened; the message names the setting and the remedy."""


async def open_sockets(host: str | None, port: int, setting: str = "server") -> list[socket.socket]:
    """Bound sockets, all on one port. ``host`` None: every address, IPv6 and IPv4, or IPv4 where IPv6 is disabled.

    ``port`` 0 takes any free one. Raises ListenError; ``setting`` is the block of the configuration to blame.
    """
    try:
        addresses = EVERY_ADDRESS if host is None else await _resolve(host)
        return _bind_all(addresses, port)
    except OSError as problem:
        raise ListenError(_explain(problem, host, port, setting)) from problem


async def _resolve(host: str) -> list[list[Address]]:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(RESOLVE_SECONDS):
        found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    addresses: list[Address] = list(dict.fromkeys((info[0], str(info[4][0])) for info in found))
    # `localhost` has an IPv6 address in /etc/hosts even where IPv6 is disabled: then each one alone will do.
    return [addresses] if len(addresses) == 1 else [addresses, *([address] for address in addresses)]


def _bind_all(alternatives: list[list[Address]], port: int) -> list[socket.socket]:
    """The first alternative that can be bound as a whole. A port in use or forbidden is final."""
    *others, last = alternatives
    for addresses in others:
        try:
            return _bind_together(addresses, port)
        except OSError as problem:
            if problem.errno in {errno.EADDRINUSE, errno.EACCES}:
                raise
    return _bind_together(last, port)


def _bind_together(addresses: list[Address], port: int) -> list[socket.socket]:
    opened: list[socket.socket] = []
    try:
        for family, address in addresses:
            opened.append(_bind(family, address, port))
            port = opened[0].getsockname()[1]  # what port 0 found is everybody's
    except BaseException:
        for sock in opened:
            sock.close()
        raise
    return opened


def _bind(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address != "::"))
        sock.bind((address, port))
        sock.listen(BACKLOG)  # here already: of two that bound at once, it is the second's listen that fails
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _explain(problem: OSError, host: str | None, port: int, setting: str) -> str:
    where = f"{setting}: cannot listen on {'every address' if host is None else host}, port {port}: "
    if problem.errno == errno.EADDRINUSE:
        return where + f"the port is in use; stop what listens there, or set {setting}.port to a free one"
    if problem.errno == errno.EACCES:
        return where + f"not permitted; set {setting}.port to 1024 or above"
    if problem.errno == errno.EADDRNOTAVAIL:
        return where + f"not an address of this machine; set {setting}.host to one, or to null for all"
    if isinstance(problem, socket.gaierror | TimeoutError):
        return where + f"the name can't be resolved; set {setting}.host to an address, or to null for all"
    return where + (problem.strerror or str(problem))
