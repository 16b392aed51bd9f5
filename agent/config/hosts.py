"""Which hosts are this machine itself: loopback, and the addresses of its own network namespace (the pod's)."""

import ipaddress
import socket


def is_loopback(host: str) -> bool:
    """Loopback by name or number; no name is looked up."""
    if host.lower().rstrip(".") == "localhost":
        return True
    address = _address(host)
    return address is not None and (address.is_loopback or address.is_unspecified)


def is_here(host: str) -> bool:
    """Loopback, or an address of this network namespace: one that a socket can be bound to."""
    address = _address(host)
    if is_loopback(host) or address is None:
        return is_loopback(host)
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
