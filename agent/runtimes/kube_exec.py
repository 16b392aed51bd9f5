"""Runs a command in a container over the API server's websocket: channels of output, and a Status at the end."""

import errno
import re
from collections.abc import Callable, Sequence
from typing import Final

import aiohttp
from yarl import URL

from agent.runtimes import CannotRunError
from agent.runtimes.command import CAP, Finished
from agent.runtimes.kube_answers import ApiError, shown, status_of

PROTOCOLS: Final = ("v4.channel.k8s.io", "v5.channel.k8s.io")
"""v4 first: there it is the node that answers; with v5 the API server does, before it has asked the node."""

_MOST_MESSAGE_BYTES: Final = 1 << 20
_OUTPUT: Final = frozenset({b"\x01", b"\x02"})
_STATUS: Final = b"\x03"
_OTHER_PROTOCOL: Final = frozenset({400, 403})
"""With nothing said: the server knows another protocol. A right that is missing is told in words."""

_ENGINE: Final = re.compile(r'OCI runtime exec failed|exec failed: |exec: "')
_MISSING: Final = re.compile(r"executable file .{0,300}not found|no such file or directory", re.IGNORECASE | re.DOTALL)
_FORBIDDEN: Final = re.compile(r"permission denied|exec format error|is a directory", re.IGNORECASE)
_AS_OUTPUT: Final = re.compile(r'\s*(OCI runtime exec failed: |time="[^"]*" level=error msg="exec failed: )')
_NEVER_RAN: Final = frozenset({126, 127, 255})
"""The exit statuses with which engines tell, in words of theirs, that they could not start the command."""


async def execute(
    session: aiohttp.ClientSession, url: URL, command: Sequence[str], started: Callable[[], None]
) -> Finished:
    """Run ``command``; see `agent.runtimes.Executes`. Without a shell, without an input, without a terminal."""
    params = [*url.query.items(), ("stdout", "true"), ("stderr", "true"), *(("command", word) for word in command)]
    socket = await _connected(session, url.with_query(params))
    try:
        return await _listened(socket, started)
    finally:
        await socket.close()  # says so, and waits for nobody's answer


async def _listened(socket: aiohttp.ClientWebSocketResponse, started: Callable[[], None]) -> Finished:
    kept = bytearray()
    begun = False
    while True:
        message = await socket.receive()
        if message.type is not aiohttp.WSMsgType.BINARY:
            raise ApiError(errno.ECONNRESET, "the connection ended before the command: its container or node did")
        if not begun:  # the first message is an empty one: the node has taken the command up
            begun = True
            started()
        channel, data = message.data[:1], message.data[1:]
        if channel in _OUTPUT:
            kept += data[: CAP - len(kept)]
        elif channel == _STATUS and data:
            return _finished(data, bytes(kept))


async def _connected(session: aiohttp.ClientSession, url: URL) -> aiohttp.ClientWebSocketResponse:
    """A socket that speaks one of our protocols. Each is offered alone, or the server would choose."""
    problem = ApiError(errno.EPROTO, "the API server speaks no exec protocol that the agent knows")
    for protocol in PROTOCOLS:
        try:
            socket = await session.ws_connect(
                url, protocols=(protocol,), max_msg_size=_MOST_MESSAGE_BYTES,
                timeout=aiohttp.ClientWSTimeout(ws_close=0),
            )  # fmt: skip
        except aiohttp.WSServerHandshakeError as refused:
            told = f"the exec was answered {refused.status}, and no websocket: a proxy may not let it through"
            raise ApiError(errno.EPROTO, told) from None
        except ApiError as refused:
            if refused.words or refused.status not in _OTHER_PROTOCOL:
                raise
            problem = refused
            continue
        if socket.protocol == protocol:
            return socket
        await socket.close()
    raise problem


def _finished(data: bytes, output: bytes) -> Finished:
    """What the Status at the end means."""
    status = status_of(data)
    if status is None or status.status not in ("Success", "Failure"):
        raise ApiError(errno.EPROTO, "the command's end was told in words that no API server uses")
    if status.status == "Success":
        return Finished(0, output)
    code = status.cause("ExitCode")
    if code is None or not code.isdecimal():
        raise _not_run(status.message or "")
    if int(code) in _NEVER_RAN and _AS_OUTPUT.match(text := output.decode(errors="replace")):
        raise _not_run(text)
    return Finished(int(code), output)


def _not_run(words: str) -> OSError:
    """The engine's words why it did not run the command: the container lacks it, or the engine itself has failed."""
    if _ENGINE.search(words) and _MISSING.search(words):
        return CannotRunError(errno.ENOENT, f"the container has no such program ({shown(words)})")
    if _ENGINE.search(words) and _FORBIDDEN.search(words):
        return CannotRunError(errno.EACCES, f"the container may not run it ({shown(words)})")
    return ApiError(errno.EREMOTEIO, f"the command was not run: {shown(words) or 'no reason is told'}")
