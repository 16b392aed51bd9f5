"""One connection of one probe: a non-blocking socket, plain or TLS, waited for without streams or transports."""

import socket
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar

from agent.probes.parts.dial import connect, readable, writable
from agent.probes.parts.faults import Fault, blame

T = TypeVar("T")
_RECEIVE_BYTES: Final = 16384
_Wait = Callable[[int], Awaitable[None]]


class Wire:
    """Sends and receives bytes. ``held`` is what was received and not yet used.

    Closing never waits: a peer that stalls a TLS shutdown is simply left.
    """

    __slots__ = ("_plain", "_sock", "held")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._plain = not isinstance(sock, ssl.SSLSocket)
        self.held = bytearray()

    @classmethod
    async def open(cls, host: str, port: int, context: ssl.SSLContext | None = None, server_name: str = "") -> "Wire":
        """Connected, and through the TLS handshake where ``context`` is given."""
        sock = await connect(host, port)
        if context is None:
            return cls(sock)
        try:
            # Without it Nagle holds the request back until the handshake's last flight is acknowledged (40 ms).
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            secure = context.wrap_socket(sock, server_hostname=server_name, do_handshake_on_connect=False)
        except OSError as problem:
            sock.close()
            raise blame(problem, "TLS handshake") from problem
        except BaseException:
            sock.close()
            raise
        wire = cls(secure)
        try:
            await wire._until_done(secure.do_handshake, "TLS handshake")
        except BaseException:
            wire.close()
            raise
        return wire

    def hurry(self) -> None:
        """Small writes in a row go out at once: Nagle holds the second back until the first is acknowledged (40 ms)."""
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def protocol(self) -> str | None:
        """What the TLS handshake agreed to speak (ALPN)."""
        return self._sock.selected_alpn_protocol() if isinstance(self._sock, ssl.SSLSocket) else None

    async def send(self, data: bytes) -> None:
        """Sends it all, unless the peer has closed already: it may have answered first, so reading tells."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[await self._until_done(partial(self._sock.send, rest), "send the request", writable) :]
        except Fault as fault:
            if fault.reason != "reset":
                raise

    async def receive(self) -> bool:
        """Adds at least one byte to ``held``; False at the end of the stream."""
        if self._plain:  # an answer is hardly ever there yet; TLS may hold decrypted bytes that no readiness tells of
            await readable(self._sock.fileno())
        data = await self._until_done(partial(self._sock.recv, _RECEIVE_BYTES), "read the answer")
        self.held += data
        return bool(data)

    async def take(self, count: int) -> bytes:
        """Exactly so many bytes."""
        while len(self.held) < count:
            if not await self.receive():
                raise Fault("reset", "the connection was closed early")
        data = bytes(self.held[:count])
        del self.held[:count]
        return data

    async def take_until(self, end: bytes, limit: int) -> bytes:
        """Everything before ``end``, which is taken too; a Fault where it does not come within ``limit`` bytes."""
        searched = 0
        while (found := self.held.find(end, searched)) < 0 and len(self.held) < limit:
            searched = max(0, len(self.held) - len(end) + 1)
            if not await self.receive():
                raise Fault("reset", "the connection was closed early")
        if not 0 <= found <= limit:
            raise Fault("protocol", f"a line of more than {limit} bytes")
        data = bytes(self.held[:found])
        del self.held[: found + len(end)]
        return data

    async def _until_done(self, step: Callable[[], T], doing: str, until: _Wait = readable) -> T:
        """What ``step`` returns once it need not wait; ``until`` is what it waits for on a plain socket."""
        while True:
            try:
                return step()
            except BlockingIOError:
                wait = until
            except ssl.SSLWantReadError:
                wait = readable
            except ssl.SSLWantWriteError:
                wait = writable
            except OSError as problem:
                raise blame(problem, doing) from problem
            await wait(self._sock.fileno())

    def close(self) -> None:
        self._sock.close()
