"""Asks a running agent over plain HTTP with nothing but a socket: Docker runs this every few seconds."""

import os
import socket
import time
from collections.abc import Mapping, Sequence

DEFAULT_PORT = 9809
MAX_ANSWER = 16 << 20  # bytes; the last hundred results of a few hundred checks are below


class CannotAskError(Exception):
    """No answer, and why: one line for people."""


class Address:
    """A taken-apart `http://HOST[:PORT][/PATH]`; ``path`` has no slash at its end."""

    def __init__(self, host: str, port: int, path: str) -> None:
        self.host = host
        self.port = port
        self.path = path

    def __str__(self) -> str:
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def agent_url(given: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """``given``, else the loopback address at the port that a running agent takes from the same variable."""
    return given or f"http://127.0.0.1:{environ.get('HEALTH_AGENT_SERVER__PORT') or DEFAULT_PORT}"


def parse(url: str) -> Address:
    """Raises CannotAskError for what is no plain http URL. By hand: urllib.parse costs as much as asking."""
    scheme, found, rest = url.partition("://")
    if not found or scheme.lower() != "http":
        raise CannotAskError(f"{url!r} is no http:// URL; the agent listens on plain HTTP, e.g. http://127.0.0.1:9809")
    netloc, slash, path = rest.partition("/")
    if netloc.startswith("["):
        host, _, tail = netloc[1:].partition("]")
        port = tail.removeprefix(":") if tail else "80"
    else:
        host, colon, port = netloc.partition(":")
        port = port if colon else "80"
    if not host or "@" in netloc or any(c.isspace() or ord(c) < 32 for c in url):
        raise CannotAskError(f"{url!r} names no host to ask, e.g. http://127.0.0.1:9809")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise CannotAskError(f"{port!r} in {url!r} is no port from 1 to 65535")
    return Address(host, int(port), (slash + path).rstrip("/"))


def path_of(prefix: str, endpoint: str, container: str = "") -> str:
    """What to ask: an endpoint such as /ready, of one container or all; the agent's own health where none is named.

    Raises CannotAskError for what can be no container's name.
    """
    if not endpoint:
        return prefix or "/-/healthy"
    if not all(c.isascii() and (c.isalnum() or c in "-_.") for c in container):
        raise CannotAskError(f"{container!r} is no container's name")
    return f"{prefix}{endpoint}{f'/{container}' if container else ''}"


def get(address: Address, path: str, seconds: float) -> tuple[int, str]:
    """Status and body of GET ``path``; everything together ends after ``seconds``. Raises CannotAskError."""
    deadline = time.monotonic() + seconds
    request = f"GET {path} HTTP/1.0\r\nHost: {address}\r\nUser-Agent: health-agent\r\nAccept: text/plain\r\n\r\n"
    # Of a str, even one of ASCII alone, Python makes bytes with a codec that takes as long as all the rest.
    host = address.host.encode() if address.host.isascii() else address.host
    try:
        with socket.create_connection((host, address.port), timeout=seconds) as connection:  # type: ignore[arg-type]
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
            connection.sendall(request.encode())
            return _parse_answer(_read(connection, deadline), address)
    except ConnectionRefusedError:
        raise CannotAskError(
            f"nothing listens on {address}: is the agent running? "
            "(another port or address: HEALTH_AGENT_SERVER__PORT or --url)",
        ) from None
    except TimeoutError:
        raise CannotAskError(f"{address} gave no answer within {seconds:g} s") from None
    except OSError as trouble:
        raise CannotAskError(f"{address} can't be asked: {trouble.strerror or trouble}") from None
    except UnicodeError:
        raise CannotAskError(f"{address.host!r} is no host name") from None


def _read(connection: socket.socket, deadline: float) -> bytes:
    received = bytearray()
    while len(received) < MAX_ANSWER:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        piece = connection.recv(65536)
        if not piece:
            break
        received += piece
    else:
        raise CannotAskError(f"the answer is longer than {MAX_ANSWER >> 20} MiB: is it the agent's port?")
    return bytes(received)


def _parse_answer(received: bytes, address: Address) -> tuple[int, str]:
    head, _, body = received.partition(b"\r\n\r\n")
    words: Sequence[bytes] = head.split(b"\r\n", 1)[0].split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise CannotAskError(f"what listens on {address} does not speak HTTP; is it the agent's port?")
    return int(words[1]), body.decode(errors="replace")
