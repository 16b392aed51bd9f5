"""Which hosts are this machine itself: loopback, and the addresses of its own network namespace (the pod's)."""

import ipaddress
import socket


def is_loopback(host: str) -> bool:
    """Loopback by name or number; no name is looked up."""
    if host.lower().rstrip(".") == "localhost":
        return True
    address = _address(host)
    return address is not None and (address.is_loopback or address.is_unspecified)


def stays_here(host: str) -> bool:
    """Loopback as an address to listen on: nobody from another machine, or network namespace, gets there."""
    address = _address(host)
    return is_loopback(host) and not (address is not None and address.is_unspecified)


def is_here(host: str) -> bool:
    """Loopback, or an address of this network namespace: one that a socket can be bound to and connected to.

    A broadcast address can be bound to, but not connected to; a group's both. Nothing is sent: a datagram socket's
    connection is a look at the routes.
    """
    address = _address(host)
    if is_loopback(host) or address is None:
        return is_loopback(host)
    if address.is_multicast:
        return False
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
            probe.connect((host, 9))
    except OSError:
        return False
    return True


def reaches(host: str, listener: str | None) -> bool:
    """Whether a connection to ``host`` may end at a listener on ``listener`` (None: on every address here)."""
    if listener is None or not is_here(host):
        return is_here(host)
    mine, theirs = _address(listener), _address(host)
    if mine is None or theirs is None or mine.is_unspecified or theirs.is_unspecified:
        return is_loopback(host) or mine is None or mine.is_unspecified
    return mine == theirs


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
