"""Ends one process for certain: a signal, its grace, SIGKILL, and what it leaves behind; never hits another process."""

import asyncio
import errno
import os
import signal
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from agent.runtimes import command, proc
from agent.runtimes.aside import aside

GONE_SECONDS: Final = 30.0
"""How long a process may take to be gone after SIGKILL: one that held much GPU memory needs seconds."""

_LOOK_SECONDS: Final = 0.1  # between two looks where the kernel has no pidfd


async def stop(pid: int, started: int, signum: int, grace_seconds: float) -> None:
    """End the process ``pid`` that started at tick ``started``; nothing is sent where that one is gone already.

    Where it takes SIGKILL, its descendants get it too: in a container they would have died with it, and they hold its
    port and its GPU memory. Raises OSError, with the remedy, where it can't be ended.
    """
    if pid == os.getpid():
        raise PermissionError(
            errno.EPERM, "the process to end is the agent itself: runtime.process must be more specific"
        )
    with _held(pid, started) as target:
        if signum != signal.SIGKILL and (not await target.send(signum) or await target.gone(grace_seconds)):
            return
        if pid == 1:
            raise PermissionError(
                errno.EPERM, f"process 1 is still there {grace_seconds:g} s after the signal: {_INIT}"
            )
        ours = command.sessions()
        family = await aside(("stop", pid), lambda: _family(pid, ours))
        if not await target.send(signal.SIGKILL):
            return
        if not await target.gone(GONE_SECONDS):
            raise TimeoutError(errno.ETIMEDOUT, await aside(("stop", pid), lambda: _still_there(pid)))
    for one in family:
        with suppress(OSError), _held(one.pid, one.started) as left:
            await left.send(signal.SIGKILL)


_INIT: Final = (
    "the kernel shields it from SIGKILL, and from signals that it does not handle, sent inside its own pid namespace; "
    "run its container with `init: true` (docker run --init), so that the server is not process 1"
)


class _Held:
    """One process, told from a later one with its number by its start time, and by a pidfd where there is one."""

    def __init__(self, pid: int, started: int, pidfd: int | None) -> None:
        self.pid = pid
        self.started = started
        self._pidfd = pidfd  # opened before the start time is looked at, so what was looked at is what it means

    async def there(self) -> bool:
        now = await aside(("stop", self.pid), lambda: proc.seen(self.pid))
        return now is not None and now.started == self.started

    async def send(self, signum: int) -> bool:
        """Whether it was there to be signalled."""
        if not await self.there():
            return False
        try:
            if self._pidfd is None:
                os.kill(self.pid, signum)
            else:
                signal.pidfd_send_signal(self._pidfd, signum)
        except ProcessLookupError:
            return False
        except PermissionError as problem:
            raise PermissionError(errno.EPERM, _not_permitted(self.pid)) from problem
        return True

    async def gone(self, seconds: float) -> bool:
        """Whether it ends within ``seconds``."""
        if self._pidfd is not None:
            return await _readable(self._pidfd, seconds)
        deadline = time.monotonic() + seconds
        while await self.there():
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(_LOOK_SECONDS)
        return True


@contextmanager
def _held(pid: int, started: int) -> Iterator[_Held]:
    try:
        pidfd = os.pidfd_open(pid)
    except (OSError, AttributeError):  # gone; or before Linux 5.3, an old seccomp profile, a Python built without it
        yield _Held(pid, started, None)
        return
    try:
        yield _Held(pid, started, pidfd)
    finally:
        os.close(pidfd)


async def _readable(file: int, seconds: float) -> bool:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(file, ready.set)
    try:
        async with asyncio.timeout(seconds):
            await ready.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(file)
    return True


def _family(pid: int, ours: Collection[int]) -> list[proc.Seen]:
    """Its descendants, without the agent, the agent's ancestors and its commands (``ours``: their sessions)."""
    agent = os.getpid()
    spared = {agent, *proc.ancestors(agent)}
    found = proc.descendants(pid, proc.everyone().values())
    return [one for one in found if one.pid not in spared and one.session not in ours]


def _not_permitted(pid: int) -> str:
    return (
        f"the agent (uid {os.geteuid()}) may not signal process {pid} (uid {proc.owner(pid)}): "
        "run both as the same user, or give the agent CAP_KILL"
    )


def _still_there(pid: int) -> str:
    now = proc.seen(pid)
    told = f"process {pid} is still there {GONE_SECONDS:g} s after SIGKILL"
    if now is not None and now.state == "D":
        return (
            f"{told}, in uninterruptible sleep (state D): a driver or a file system holds it; look at the node's dmesg"
        )
    return told
