"""The server as a container behind a Docker Engine's API: its instance, how it ended, commands in it, restart of it."""

import errno
import importlib
import importlib.util
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, ClassVar, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from agent.core.settings import LONGEST_SOCKET
from agent.runtimes import AbsentError, Ended, Instance, NotRunningError, moments, own
from agent.runtimes.aside import aside

if TYPE_CHECKING:
    from agent.runtimes.command import Finished
    from agent.runtimes.engine_api.answers import Address, Event, Inspected, State
    from agent.runtimes.engine_api.conversation import Conversation
    from agent.runtimes.engine_api.find import Wanted

_HERE: Final = "unix:///var/run/docker.sock"
LOG_LINES: Final = 100  # of the evidence
_MISSING: Final = "needs the package aiodocker: pip install 'model-health-agent[docker]'"
_MOST_REMEMBERED: Final = 64

_Name = Annotated[str, Meta(pattern="^[a-zA-Z0-9][a-zA-Z0-9_.-]*$")]

_known: Final[set[tuple[str | None, ...]]] = set()  # whom an engine has told of
_is_loaded: Final[set[bool]] = set()
_starts: Final[OrderedDict[str, list[str]]] = OrderedDict()
"""The last two starts that were seen of a container: an engine does not tell when the run before the present began."""


class Docker(msgspec.Struct, frozen=True, kw_only=True):
    """Which container is the server's: by name or id, or by its Compose service."""

    container: Annotated[
        _Name | None, Meta(description="its name or id; null, without a service: the container's name in this document")
    ] = None
    service: Annotated[_Name | None, Meta(description="its Compose service, which must have one container")] = None
    project: Annotated[_Name | None, Meta(description="the service's Compose project; null: the agent's own")] = None
    labels: Annotated[
        dict[str, str], Meta(description="labels that it must bear; another one under its name is left alone")
    ] = {}
    host: Annotated[
        str | None, Meta(description=f"unix:///PATH or tcp://HOST:PORT; null: the variable DOCKER_HOST, else {_HERE}")
    ] = None
    cert_path: Annotated[
        str | None,
        Meta(description="folder of ca.pem, cert.pem, key.pem for TLS; null: as DOCKER_CERT_PATH and _TLS_VERIFY say"),
    ] = None

    can_exec: ClassVar[bool] = True

    def check_options(self) -> list[tuple[str, str]]:
        found = []
        if self.container is not None and self.service is not None:
            found.append(("", "container and service are two ways to name one container: write one of them"))
        if self.project is not None and self.service is None:
            found.append(("project", "is a service's: it has no effect without `service`"))
        problem = "" if self.host is None else _host_problem(self.host)
        if problem:
            found.append(("host", problem))
        if self.cert_path is not None and (self.host or "").startswith("unix:"):
            found.append(("cert_path", "is for tcp: nobody speaks TLS over a unix socket"))
        if importlib.util.find_spec("aiodocker") is None:
            found.append(("", _MISSING))
        return found

    def settled(self, name: str, environ: Mapping[str, str]) -> "Docker":
        """Itself with what the document leaves to the container's ``name`` and to the environment, as for `docker`."""
        host = self.host or environ.get("DOCKER_HOST") or _HERE
        verified = host.startswith("tcp:") and environ.get("DOCKER_TLS_VERIFY")
        return replace(
            self,
            container=self.container or (name if self.service is None else None),
            host=host,
            cert_path=self.cert_path or (environ.get("DOCKER_CERT_PATH") if verified else None) or None,
        )

    async def instance(self) -> Instance | None:
        """The running instance, also a paused one. A container that was there once and is gone is none.

        Raises OSError where it can't be told; AbsentError where there never was such a container.
        """
        try:
            seen = await self.inspect()
        except AbsentError:
            if self._key() in _known:
                return None
            raise
        if not seen.state.runs:
            return None
        started = moments.unix_time(seen.state.started_at)
        return Instance(seen.identity, moments.monotonic(started))

    async def inspect(self) -> "Inspected":
        """The container, verified, as the engine sees it now."""
        async with self._found() as (_, seen):
            return seen

    async def log_tail(self) -> str:
        async with self._found() as (engine, seen):
            return await engine.log(seen.id, LOG_LINES)

    async def ended(self) -> Ended | None:
        async with self._found() as (engine, seen):
            state = seen.state
            if not state.runs:
                return _ended(seen.identity, state) if state.has_run else None
            began = moments.unix_time(state.started_at)
            if not state.has_ended or began is None:
                return None
            events = await engine.events(seen.id, began)
        return _ended_before(seen, events)

    async def run(self, argv: Sequence[str], started: Callable[[], None]) -> "Finished":
        try:
            seen = await self.inspect()
        except AbsentError as problem:
            if self._key() in _known:
                raise NotRunningError(problem.errno, problem.strerror) from problem
            raise
        from agent.runtimes.engine_api import commands, leftovers

        commands.check_runs(seen)
        place = leftovers.Place(self._address(), seen.id, seen.called, seen.identity)
        return await commands.run(place, argv, started)

    async def restart(self, grace_seconds: float, identity: str, tell: Callable[[str], None]) -> None:
        """Restart the instance ``identity``, or the one that is there; see `engine_api.restart`."""
        await _loaded()
        from agent.runtimes.engine_api import restart

        await restart.restart(self._address(), self._wanted(), grace_seconds, identity, tell)

    @asynccontextmanager
    async def _found(self) -> AsyncIterator[tuple["Conversation", "Inspected"]]:
        await _loaded()
        from agent.runtimes.engine_api.conversation import conversation
        from agent.runtimes.engine_api.find import found

        evidence = own.Evidence() if self.container or self.project else await own.evidence()
        async with conversation(self._address()) as engine:
            seen = await found(engine, self._wanted(), evidence)
            _known.add(self._key())
            _remember(seen)
            yield engine, seen

    def _address(self) -> "Address":
        from agent.runtimes.engine_api.answers import Address

        host = self.host or _HERE
        problem = _host_problem(host)  # of the environment's, which nobody has looked at yet
        if problem:
            raise OSError(errno.EINVAL, f"the engine {host}: {problem}")
        return Address(host, self.cert_path)

    def _key(self) -> tuple[str | None, ...]:
        return self.host, self.container, self.project, self.service

    def _wanted(self) -> "Wanted":
        from agent.runtimes.engine_api.find import Wanted

        return Wanted(
            container=self.container or "",
            service=self.service or "",
            project=self.project or "",
            labels=self.labels,
        )


async def _loaded() -> None:
    """Import aiodocker beside the loop, the first time: it takes a good part of a second on a small machine."""
    if not _is_loaded:
        await aside(object(), _load)


def _load() -> None:
    try:
        importlib.import_module("agent.runtimes.engine_api.commands")
        importlib.import_module("agent.runtimes.engine_api.restart")
    except ImportError as problem:
        raise OSError(errno.ENOPKG, f"runtime.docker {_MISSING} ({problem})") from problem
    except RuntimeError as problem:  # it looks for a home directory when it is imported
        raise OSError(errno.ENOPKG, f"runtime.docker: aiodocker can't be loaded: {problem}") from problem
    _is_loaded.add(True)


def _host_problem(host: str) -> str:
    if host.startswith("unix://"):
        path = host.removeprefix("unix://")
        if not path.startswith("/") or "\0" in path:
            return "must name an absolute path: unix:///var/run/docker.sock"
        too_long = len(path.encode(errors="surrogateescape")) > LONGEST_SOCKET
        return f"longer than the {LONGEST_SOCKET} bytes that a unix socket's path may have" if too_long else ""
    if not re.fullmatch(r"tcp://[^\s/@?#]+/?", host):
        return "must be unix:///PATH or tcp://HOST:PORT; ssh and others are not spoken"
    try:
        port = urlsplit(host).port
    except ValueError:
        port = None
    return "" if port else "needs a port; engines without TLS have 2375, with TLS 2376"


def _remember(seen: "Inspected") -> None:
    known = _starts.setdefault(seen.id, [])
    _starts.move_to_end(seen.id)
    if seen.state.has_run and seen.state.started_at not in known:
        known.append(seen.state.started_at)
        del known[:-2]
    while len(_starts) > _MOST_REMEMBERED:
        _starts.popitem(last=False)


def _ended(identity: str, state: "State") -> Ended:
    return Ended(identity, state.exit_code, state.oom_killed, state.error)


def _ended_before(seen: "Inspected", events: Sequence["Event"]) -> Ended | None:
    """How the run before the present one ended, of what the engine noted until that began; None once it forgot."""
    from agent.runtimes.engine_api.answers import identity

    deaths = [at for at, event in enumerate(events) if event.action == "die"]
    if not deaths:
        return None
    since = max((at for at, event in enumerate(events[: deaths[-1]]) if event.action in ("start", "die")), default=0)
    run = events[since : deaths[-1] + 1]
    code = run[-1].actor.attributes.get("exitCode", "")
    before = [start for start in _starts.get(seen.id, ()) if start != seen.state.started_at]
    name = identity(seen.id, before[0]) if before else f"container {seen.id[:12]} ended {seen.state.finished_at}"
    return Ended(name, int(code) if code.isdigit() else None, any(event.action == "oom" for event in run))
