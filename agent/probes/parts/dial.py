"""Opens a TCP connection as cheaply as the kernel allows, by address or by name."""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain, zip_longest
from typing import Any, Final

from agent.probes.parts.faults import Fault, blame
from agent.probes.parts.shared import shared

Place = tuple[int, tuple[Any, ...]]
"""Address family and socket address."""
_STREAM: Final = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
_NEXT_ADDRESS_SECONDS: Final = (
    0.3  # Go's FallbackDelay: so long a name's address may take before the next one is tried too
)
_MAX_ADDRESSES: Final = 16


async def connect(host: str, port: int) -> socket.socket:
    """A connected, non-blocking socket; the caller closes it.

    Raises Fault for what the target did, and OSError for what the agent lacks. SO_LINGER is not set: it buys nothing
    and can block the loop for a second (probe-semantics 2.1).
    """
    literal = _literal(host, port)
    if literal is not None:
        return await _open(*literal, port)
    return await _race(await _resolve(host, port), port)


@lru_cache(maxsize=1024)
def _literal(host: str, port: int) -> Place | None:
    """Family and socket address of an IP literal, or None for a name."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError, ValueError):
            socket.inet_pton(family, host.partition("%")[0] if family == socket.AF_INET6 else host)
            found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)
            return family, found[0][4]
    return None


async def _resolve(host: str, port: int) -> list[Place]:
    """The addresses of a name, families taking turns, the resolver's favourite first."""
    try:
        found = await shared(("look up", host), lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except OSError as problem:
        raise blame(problem, f"look up {host}") from problem
    except UnicodeError as problem:
        raise Fault("dns", f"look up {host}: not a host name") from problem
    places: list[Place] = [(family, address) for family, _, _, _, address in found]
    first = [place for place in places if place[0] == places[0][0]]
    others = [place for place in places if place[0] != places[0][0]]
    turns = chain.from_iterable(zip_longest(first, others))
    return [place for place in turns if place is not None][:_MAX_ADDRESSES]


async def _race(addresses: Sequence[Place], port: int) -> socket.socket:
    """The first of the addresses to accept ("happy eyeballs"); the next joins after a refusal or a short wait."""
    waiting = list(reversed(addresses))
    racing: set[asyncio.Task[socket.socket]] = set()
    problems: list[Exception] = []
    try:
        while waiting or racing:
            if waiting:
                racing.add(asyncio.ensure_future(_open(*waiting.pop(), port)))
            pause = _NEXT_ADDRESS_SECONDS if waiting else None
            ended, _ = await asyncio.wait(racing, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                problem = task.exception()
                if problem is None:
                    racing.discard(task)
                    return task.result()
                racing.discard(task)
                problems.append(problem)  # type: ignore[arg-type]  # tasks here raise Fault and OSError only
    finally:
        for task in racing:
            if not task.cancel() and task.exception() is None:
                task.result().close()  # two were accepted at once
    raise _worst(problems)


def _worst(problems: list[Exception]) -> Exception:
    """What to tell of several addresses: an exhausted agent, else the target's fault, else what there is."""
    exhausted = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)
    own = [problem for problem in problems if isinstance(problem, OSError) and problem.errno in exhausted]
    return next(iter(own + [problem for problem in problems if isinstance(problem, Fault)] + problems))


async def _open(family: int, address: tuple[Any, ...], port: int) -> socket.socket:
    sock = socket.socket(family, _STREAM)
    try:
        code = sock.connect_ex(address)
        if code == errno.EINPROGRESS:
            code = sock.connect_ex(address)  # asked again it tells how far it is: over loopback it is done by now
            if code == errno.EALREADY:
                await writable(sock.fileno())
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code in (0, errno.EISCONN) and sock.getsockname()[:2] == address[:2]:
            code = errno.ECONNREFUSED  # nobody listens, and TCP connected the socket with itself
    except BaseException:
        sock.close()
        raise
    if code not in (0, errno.EISCONN):
        sock.close()
        raise blame(OSError(code, os.strerror(code)), f"connect to {_shown(address[0], port)}")
    return sock


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    await _ready(loop, loop.add_reader, loop.remove_reader, fd)


async def writable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    await _ready(loop, loop.add_writer, loop.remove_writer, fd)


async def _ready(
    loop: asyncio.AbstractEventLoop, watch: Callable[..., Any], unwatch: Callable[[int], Any], fd: int
) -> None:
    waiter = loop.create_future()
    watch(fd, _wake, waiter)
    try:
        await waiter
    finally:
        unwatch(fd)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
