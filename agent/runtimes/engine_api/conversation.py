"""One conversation with a Docker Engine: opened for a call, its API version negotiated anew, bounded, closed.

Whatever goes wrong leaves as an OSError whose words name the remedy (`trouble`). Nothing is kept from one conversation
to the next, so an engine that was replaced by one of another version is spoken to in that one's.
"""

import asyncio
import errno
import json
import socket
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiodocker
import aiohttp
import msgspec
from aiodocker.execs import Exec
from aiohttp.abc import AbstractResolver, ResolveResult

from agent.runtimes.aside import aside
from agent.runtimes.engine_api import trouble
from agent.runtimes.engine_api.answers import Address, Event, Inspected, Listed, Ran, read

CALL_SECONDS: Final = 4.0  # below the deadline of whoever asks for an instance (engine.watch)
_NOT_UNDERSTOOD: Final = (
    ValueError, TypeError, LookupError, AttributeError, AssertionError, RecursionError, msgspec.MsgspecError
)  # fmt: skip
"""What aiodocker raises, and reading its answers does, where an answer is not an engine's."""
_NO_CONNECTION: Final = 900  # aiodocker's status for it


class Conversation:
    """What is asked of an engine."""

    def __init__(self, docker: aiodocker.Docker, host: str) -> None:
        self._docker = docker
        self.host = host

    async def inspect(self, container: str) -> Inspected:
        """By id or name. Raises RefusedError with status 404 where there is none."""
        async with self._told():
            return read(await self._docker.containers.container(container).show(), Inspected)

    async def listed(self, labels: Mapping[str, str] | None = None, *, everyone: bool = False) -> list[Listed]:
        """The containers that run, or ``everyone``, with all of these ``labels``."""
        filters = {"label": [f"{key}={value}" for key, value in (labels or {}).items()]}
        keys = [field.encode_name for field in msgspec.structs.fields(Listed)]
        async with self._told():
            found = await self._docker.containers.list(all=everyone, filters=json.dumps(filters))
            return [read({key: one[key] for key in keys if key in one}, Listed) for one in found]

    async def events(self, container: str, until: float) -> list[Event]:
        """What the engine still knows to have happened to a container, oldest first; it keeps the last 256 of all.

        Starts, ends and the like, not what health checks do. ``until`` is Unix time on the engine's clock, and waited
        for.
        """
        async with self._told():
            told = self._docker.events.subscribe(create_task=False)  # type: ignore[no-untyped-call]
            wanted = {"type": ["container"], "container": [container], "event": ["start", "die", "oom", "stop"]}
            await self._docker.events.run(since="1", until=f"{until:.9f}", filters=json.dumps(wanted))
            found = []
            while (one := await told.get()) is not None:
                found.append(read(one, Event))
            return found

    async def log(self, container: str, lines: int) -> str:
        """The last lines that the container has printed, of both its streams."""
        async with self._told():
            told = await self._docker.containers.container(container).log(stdout=True, stderr=True, tail=lines)
            return "".join(map(str, told))

    async def restart(self, container: str, stop_seconds: int) -> None:
        async with self._told():
            await self._docker.containers.container(container).restart(t=stop_seconds)

    async def prepare(self, container: str, argv: Sequence[str], env: Mapping[str, str]) -> Exec:
        """A command in the container that is still to be started."""
        async with self._told():
            return await self._docker.containers.container(container).exec(list(argv), environment=dict(env))

    async def detach(self, command: Exec) -> None:
        """Start a command, and leave it to itself."""
        async with self._told():
            await command.start(detach=True)

    async def ran(self, command: str) -> Ran:
        """How a command, by its id, stands."""
        async with self._told():
            return read(await self._docker.containers.exec(command).inspect(), Ran)

    async def follow(self, command: Exec, kept: bytearray, cap: int) -> None:
        """Start a command and keep the first ``cap`` bytes that it writes, until it has closed both its streams."""
        stream = command.start(detach=False)
        try:
            async with self._told():
                while (message := await stream.read_out()) is not None:
                    kept.extend(message.data[: cap - len(kept)])
        finally:
            with suppress(*_NOT_UNDERSTOOD):  # it asserts a connection, which a broken one is not
                await stream.close()

    @asynccontextmanager
    async def _told(self) -> AsyncIterator[None]:
        """aiodocker's exceptions as OSErrors."""
        try:
            yield
        except aiodocker.DockerError as problem:
            if problem.status == _NO_CONNECTION:
                raise await _unreachable(self.host, problem) from problem
            raise trouble.refused(problem.status, str(problem.message)) from problem
        except aiohttp.ClientConnectionError as problem:
            raise await _unreachable(self.host, problem) from problem
        except (aiohttp.ClientError, *_NOT_UNDERSTOOD) as problem:
            raise trouble.garbled(self.host, problem) from problem


async def _unreachable(host: str, problem: Exception) -> OSError:
    try:
        return await aside(("socket", host), lambda: trouble.unreachable(host, problem))
    except TimeoutError:  # too many look at it already
        cause = trouble.origin(problem)
        return OSError(cause.errno if cause else errno.ECONNRESET, f"the engine at {host} can't be reached")


@asynccontextmanager
async def conversation(address: Address, seconds: float | None = CALL_SECONDS) -> AsyncIterator[Conversation]:
    """Talk to the engine at ``address``, for ``seconds`` at most; None: whoever asks bounds each wait."""
    async with bounded(address.host, seconds):
        docker = await _opened(address)
        try:
            yield Conversation(docker, address.host)
        finally:
            await docker.close()


@asynccontextmanager
async def bounded(host: str, seconds: float | None = CALL_SECONDS) -> AsyncIterator[None]:
    """Raises OSError that says so where the engine takes longer than ``seconds``."""
    deadline = asyncio.timeout(seconds)
    try:
        async with deadline:
            yield
    except TimeoutError as problem:
        if seconds is None or not deadline.expired():
            raise
        raise trouble.silent(host, seconds) from problem


async def _opened(address: Address) -> aiodocker.Docker:
    """A client that reads neither the environment nor anybody's Docker configuration."""
    timeout = aiohttp.ClientTimeout(total=None)  # every wait is bounded by whoever waits
    host, folder = address.host, address.cert_path
    if host.startswith("unix://"):
        connector: aiohttp.BaseConnector = aiohttp.UnixConnector(host.removeprefix("unix://"))
        url = "unix://localhost"
    else:
        tls = None if folder is None else await aside(("cert_path", folder), lambda: _client_context(folder))
        connector = aiohttp.TCPConnector(ssl=True if tls is None else tls, resolver=_Resolver(), use_dns_cache=False)
        url = f"{'http' if tls is None else 'https'}://{urlsplit(host).netloc}"
    session = aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
    return _Client(url, connector, session, timeout)


class _Client(aiodocker.Docker):
    """Closes the session and the connector that it was given: they were made for it."""

    def __init__(
        self, url: str, connector: aiohttp.BaseConnector, session: aiohttp.ClientSession, timeout: aiohttp.ClientTimeout
    ) -> None:
        super().__init__(url=url, connector=connector, session=session, timeout=timeout, api_version="auto")

    async def close(self) -> None:
        await super().close()
        await self.session.close()


def _client_context(folder: str) -> ssl.SSLContext:
    """TLS with the files of DOCKER_CERT_PATH. Blocking; read each time, so that renewed certificates are taken."""
    place = Path(folder)
    try:
        context = ssl.create_default_context(cafile=str(place / "ca.pem"))
        context.load_cert_chain(place / "cert.pem", place / "key.pem", password=lambda: "")
    except OSError as problem:  # ssl.SSLError is one too
        told = f"runtime.docker.cert_path {folder}: ca.pem, cert.pem or key.pem can't be used: {problem.strerror}"
        raise OSError(errno.ENOENT, told) from problem
    return context


class _Resolver(AbstractResolver):
    """Looks names up beside the loop, where a resolver that hangs holds up neither probes nor the agent's end."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await aside(
            ("look up", host), lambda: socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        )
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=port, family=kind, proto=proto, flags=socket.AI_NUMERICHOST
            )
            for kind, _, proto, _, address in found
        ]

    async def close(self) -> None: ...
