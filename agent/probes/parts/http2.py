"""One unary gRPC call over one HTTP/2 connection: no pool, no retry, and a bound on what a server may say.

Needs the h2 package, so that only `agent.probes.grpc` imports this, once the configuration uses it.
"""

import ssl
from typing import Final, NamedTuple

import h2.config
import h2.connection
import h2.events

from agent.probes.parts.faults import Fault
from agent.probes.parts.wire import Wire

MAX_BYTES: Final = 1 << 18  # of a whole connection; an answer takes some two hundred
_PREFIX: Final = 5  # of a message: a flag and its length


class Answer(NamedTuple):
    """What a server said: its HTTP status, and then gRPC's own, None where it gave none; and its body."""

    http_status: int
    content_type: str
    status: int | None
    body: bytes

    def whole_message(self) -> bytes:
        """The one message of the body. Raises ValueError where there is not exactly one, plain and whole."""
        if len(self.body) < _PREFIX or self.body[0] != 0:
            raise ValueError("no plain message")
        if len(self.body) != _PREFIX + int.from_bytes(self.body[1:_PREFIX], "big"):
            raise ValueError("more or less than one message")
        return self.body[_PREFIX:]


class Http2:
    """A connection over which one call is made."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="latin-1"))
        self._received = 0

    @classmethod
    async def open(cls, host: str, port: int, context: ssl.SSLContext | None, server_name: str) -> "Http2":
        """Connected, and greeted by a server that speaks HTTP/2 too. Raises Fault or OSError."""
        wire = await Wire.open(host, port, context, server_name)
        connection = cls(wire)
        try:
            await connection._greet(secure=context is not None)
        except BaseException:
            wire.close()
            raise
        return connection

    async def _greet(self, *, secure: bool) -> None:
        if secure and self._wire.protocol() != "h2":
            raise Fault("tls", "TLS handshake: the server does not offer HTTP/2 (ALPN h2)")
        self._wire.hurry()
        self._h2.initiate_connection()
        await self._flush()
        while not any(isinstance(event, h2.events.RemoteSettingsChanged) for event in await self._events()):
            pass

    async def call(self, headers: list[tuple[str, str]], message: bytes) -> Answer:
        """The answer to ``message``, its frame not yet around it. Raises Fault or OSError."""
        stream = self._h2.get_next_available_stream_id()
        self._h2.send_headers(stream, headers)
        self._h2.send_data(stream, b"\0" + len(message).to_bytes(4, "big") + message, end_stream=True)
        await self._flush()
        said: dict[str, str] = {}
        body = bytearray()
        while True:
            for event in await self._events():
                if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                    for name, value in event.headers or ():
                        said.setdefault(str(name), str(value))
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data or b""
                elif isinstance(event, h2.events.StreamEnded):
                    return _answer(said, bytes(body))
                elif isinstance(event, h2.events.StreamReset):
                    raise Fault("reset", f"the server reset the call (HTTP/2 error code {event.error_code})")
                elif isinstance(event, h2.events.ConnectionTerminated):
                    raise Fault("reset", f"the server said goodbye (HTTP/2 error code {event.error_code})")

    async def _events(self) -> list[h2.events.Event]:
        """What the next bytes of the server mean; whatever has to be answered at once is."""
        if not await self._wire.receive():
            raise Fault("reset", "the connection was closed early")
        data = bytes(self._wire.held)
        self._wire.held.clear()
        if self._received == 0 and data.startswith(b"HTTP/"):
            raise Fault("protocol", "the server speaks HTTP/1, not HTTP/2")
        self._received += len(data)
        if self._received > MAX_BYTES:
            raise Fault("protocol", f"more than {MAX_BYTES} bytes for one answer")
        try:
            events = self._h2.receive_data(data)
        except Exception as problem:  # whatever it raises comes of what the server sent
            raise Fault("protocol", f"not HTTP/2 as it should be: {type(problem).__name__}") from problem
        await self._flush()
        return events

    async def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data:
            await self._wire.send(data)

    def close(self) -> None:
        self._wire.close()


def _answer(said: dict[str, str], body: bytes) -> Answer:
    status, http_status = said.get("grpc-status"), said.get(":status", "")
    return Answer(
        http_status=int(http_status) if http_status.isascii() and http_status.isdecimal() else 0,
        content_type=said.get("content-type", ""),
        status=None if status is None else int(status) if status.isascii() and status.isdecimal() else 2,
        body=body,
    )
