"""The server as a process that the agent sees in /proc: in its own container, or in a shared pid namespace."""

import errno
import os
import time
from collections.abc import Collection
from functools import partial
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from agent.core.settings import Port
from agent.runtimes import Instance, command, own, proc
from agent.runtimes.aside import aside
from agent.runtimes.choice import PAUSES, Candidate, alone, choose
from agent.runtimes.stopping import stop

_STALE_SLACK_SECONDS = 10.0
_SHARE = "share the pid namespace (shareProcessNamespace: true in a pod, pid: service:NAME in Compose)"

_Text = Annotated[str, Meta(min_length=1)]


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server's process is found; exactly one of the three."""

    command_contains: Annotated[
        _Text | None,
        Meta(description="text of its command line; of several the oldest, the master of its workers"),
    ] = None
    pid_file: Annotated[_Text | None, Meta(description="file whose first word is its process id")] = None
    port: Annotated[Port | None, Meta(description="TCP port that it listens on; it is seen once it listens")] = None

    can_exec: ClassVar[bool] = False

    def check_options(self) -> list[tuple[str, str]]:
        given = [name for name in self.__struct_fields__ if getattr(self, name) is not None]
        if len(given) == 1:
            return []
        told = f"not {' and '.join(given)}" if given else "none is given"
        return [("", f"exactly one of command_contains, pid_file and port is needed, {told}")]

    async def instance(self) -> Instance | None:
        found = await self.found()
        return None if found is None else _instance(found)

    async def takes_the_agent_along(self, identity: str) -> bool:
        """Whether the agent ends with this instance: it lives in the pid namespace of the server's own container."""
        target = _identified(identity)
        return target is not None and await aside(self, partial(own.dies_with, target[0]))

    async def stop(self, signum: int, grace_seconds: float, identity: str = "") -> None:
        """End the instance ``identity``, or the one that runs now: signal, grace, SIGKILL, and gone.

        Nothing is sent where that instance is gone already. Raises OSError, with the remedy, where it can't be ended.
        """
        target = _identified(identity)
        if target is None:
            found = await self.found()
            target = None if found is None else (found.pid, found.started)
        if target is not None:
            await stop(*target, signum, grace_seconds)

    async def found(self) -> proc.Seen | None:
        """The server's process, or None. Raises OSError, with the remedy, where it can't be told."""
        ours = command.sessions()
        while True:
            found = await aside(self, partial(self._find, ours))
            begun = command.sessions() - ours  # commands that the look met before it could know of them
            if found is None or found.session not in begun:
                return found
            ours |= begun

    def _find(self, ours: Collection[int]) -> proc.Seen | None:
        if self.command_contains is not None:
            return _by_command(self.command_contains, ours)
        if self.pid_file is not None:
            return _by_pid_file(self.pid_file)
        return None if self.port is None else _by_port(self.port, ours)


def _instance(found: proc.Seen) -> Instance:
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - found.started / proc.TICKS
    identity = f"pid {found.pid} started {found.started}"
    return Instance(identity, time.monotonic() - age, found.pid)


def _identified(identity: str) -> tuple[int, int] | None:
    match identity.split():
        case ["pid", pid, "started", ticks] if pid.isdigit() and ticks.isdigit():
            return int(pid), int(ticks)
    return None


def _by_command(text: str, ours: Collection[int]) -> proc.Seen | None:
    agent = os.getpid()
    commands = {pid: proc.command_line(pid) for pid in proc.pids()}
    fitting = [pid for pid, command in commands.items() if text in " ".join(command)]
    found = _chosen(
        [Candidate(one, tuple(commands[one.pid])) for one in map(proc.seen, fitting) if one is not None], ours
    )
    if found is None:
        above = proc.ancestors(agent)
        below = {one.pid for one in proc.descendants(agent, proc.everyone().values())}
        if alone(commands, agent, above, below):
            raise FileNotFoundError(errno.ENOENT, f"the agent sees no process but its own: {_SHARE}")
    return found


def _by_port(port: int, ours: Collection[int]) -> proc.Seen | None:
    inodes = proc.listening(port)
    if not inodes:
        return None
    held = [Candidate(one) for one in map(proc.seen, proc.holders(inodes)) if one is not None]
    if not held and inodes & proc.listening(port):
        raise PermissionError(
            errno.EACCES,
            f"something listens on port {port}, but the agent may not see which process: run both as the same user, "
            f"or give the agent CAP_SYS_PTRACE; in another container, {_SHARE}",
        )
    return _chosen(held, ours)


def _chosen(fitting: list[Candidate], ours: Collection[int]) -> proc.Seen | None:
    """The server among them, without the agent's own commands (``ours``: their sessions)."""
    agent = os.getpid()
    others = {one.seen.pid: one for one in fitting if _may_be_server(one.seen) and one.seen.session not in ours}
    found = choose(others, proc.ancestors(agent))
    return None if found is None else found.seen


def _by_pid_file(path: str) -> proc.Seen | None:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not hang the look
    except FileNotFoundError:
        return None
    try:
        words = os.read(file, 64).split(maxsplit=1)
        written = os.fstat(file).st_mtime
    finally:
        os.close(file)
    if not words or not words[0].isdigit():
        raise OSError(errno.EINVAL, f"pid_file {path} does not begin with a process id")
    found = proc.seen(int(words[0]))
    if found is None:
        return None
    if not _may_be_server(found):
        raise OSError(errno.EINVAL, f"pid_file {path} names process {found.pid}, which is no server ({found.name})")
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - found.started / proc.TICKS
    if time.time() - age > written + _STALE_SLACK_SECONDS:
        raise OSError(errno.ESTALE, f"pid_file {path} is older than the process {found.pid} that it names: it is stale")
    return found


def _may_be_server(one: proc.Seen) -> bool:
    """Not the agent itself, nor the kernel's, nor a pod's pause process, which is never to be signalled."""
    return not (one.kernel or one.pid == os.getpid() or (one.pid == 1 and one.name in PAUSES))
