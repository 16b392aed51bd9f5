"""Runs a command in a container through the engine, which can start one, tell how it ends, and not end it.

The engine says 101 before it begins, so it is asked until it names a process. It goes on streaming while anything the
command left behind holds its output, so it is asked for the exit as well. And it has no call to end a command: one that
is given up is killed from inside, by a mark in its environment, where the container has a shell.
"""

import asyncio
import errno
import logging
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import msgspec
from aiodocker.execs import Exec

from agent.runtimes import CannotRunError, StillRunningError
from agent.runtimes.command import CAP, Finished
from agent.runtimes.engine_api.answers import Address, Inspected, Ran
from agent.runtimes.engine_api.conversation import Conversation, bounded, conversation
from agent.runtimes.engine_api.trouble import RefusedError

MOST_LEFT: Final = 3
"""Runs of one command that could not be ended, in one container, before no further one is started."""

MARK: Final = "MODEL_HEALTH_AGENT_RUN"
_KILL: Final = (
    'for p in /proc/[0-9]*; do case "$(tr "\\0" "\\n" 2>/dev/null <$p/environ)" in '
    f'*"{MARK}=$0"*) kill -9 "${{p#/proc/}}";; esac; done'
)
_BEGIN_SECONDS: Final = 10.0
_FIRST_LOOK_SECONDS: Final = 0.02
_LONGEST_LOOK_SECONDS: Final = 0.5
_LAST_WORDS_SECONDS: Final = 0.1  # for output that is on its way when the command has ended
_KILL_SECONDS: Final = 3.0
_NEVER_BEGAN: Final = (126, 127)  # the exit status that engines give a command which could not be started
_RUNTIME_SAYS: Final = "OCI runtime exec failed"
_UNSUITABLE: Final = (
    "executable file not found", "no such file or directory", "permission denied", "exec format error",
    "not a directory", "is a directory",
)  # fmt: skip

log = logging.getLogger(__name__)
_ending: Final[set[asyncio.Task[None]]] = set()


class Place(msgspec.Struct, frozen=True):
    """Where a command runs: one run of a container of one engine."""

    address: Address
    container: str
    called: str
    identity: str


_left: Final[dict[tuple[Place, tuple[str, ...]], set[str]]] = {}
"""The commands that were given up and not seen to end, by what they run."""


async def run(place: Place, argv: Sequence[str], started: Callable[[], None]) -> Finished:
    """As `agent.runtimes.Executes.run` says."""
    key = (place, tuple(argv))
    mark = secrets.token_hex(8)
    async with conversation(place.address, None) as engine:
        async with bounded(place.address.host):
            await _left_behind(engine, key)
            command = await engine.prepare(place.container, argv, {MARK: mark})
        begun, ended = False, False

        def begin() -> None:
            nonlocal begun
            begun = True
            started()

        try:
            finished = await _followed(engine, place, command, begin)
            ended = True
        finally:
            if not ended:
                _left.setdefault(key, set()).add(command.id)
                _end_aside(key, command.id, mark)
        return finished


def check_runs(seen: Inspected) -> None:
    """Raise OSError where nothing can be run in this container now."""
    if not seen.state.runs or seen.state.paused:
        raise OSError(errno.ESRCH, f"container {seen.called} does not run: it is {seen.state.status}")


async def _followed(engine: Conversation, place: Place, command: Exec, begin: Callable[[], None]) -> Finished:
    kept = bytearray()
    following = asyncio.create_task(engine.follow(command, kept, CAP), name="exec output")
    clock = asyncio.get_running_loop().time
    latest, pause, begun = clock() + _BEGIN_SECONDS, _FIRST_LOOK_SECONDS, False
    try:
        while True:
            await asyncio.wait([following], timeout=pause)
            if following.done():
                following.result()  # its exception
            async with bounded(place.address.host):
                now = await engine.ran(command.id)
            if now.pid and not begun:
                begun = True
                begin()
            if now.exit_code is not None and not now.running:
                await asyncio.wait([following], timeout=_LAST_WORDS_SECONDS)
                return _ended(place, now, bytes(kept))
            if not begun and clock() > latest:
                raise TimeoutError(errno.ETIMEDOUT, f"the engine did not begin it within {_BEGIN_SECONDS:g} s")
            pause = min(pause * 2, _LONGEST_LOOK_SECONDS)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


def _ended(place: Place, now: Ran, output: bytes) -> Finished:
    """How it ended; or, where it never began, what the OCI runtime says of it."""
    code = now.exit_code or 0
    said = " ".join(output.decode(errors="replace").split())
    if now.pid or code not in _NEVER_BEGAN or not said.startswith(_RUNTIME_SAYS):
        return Finished(code, output)
    if any(words in said for words in _UNSUITABLE):
        raise CannotRunError(errno.ENOEXEC, f"container {place.called} can't run it: {said}")
    raise OSError(errno.EREMOTEIO, f"the engine could not run it in {place.called}: {said}")


async def _left_behind(engine: Conversation, key: tuple[Place, tuple[str, ...]]) -> None:
    """Forget those that have ended since. Raises StillRunningError where too many have not."""
    place, argv = key
    for other in [
        one for one in _left if one[0] != place and (one[0].address, one[0].called) == (place.address, place.called)
    ]:
        del _left[other]  # of an earlier run of the container, which took them with it
    for one in list(_left.get(key, ())):
        if not await _runs(engine, one):
            _forget(key, one)
    if len(_left.get(key, ())) >= MOST_LEFT:
        raise StillRunningError(
            errno.EBUSY,
            f"{MOST_LEFT} earlier runs of {argv[0]} still hang in {place.called}, and the engine has no call to end "
            "them: give the command a time-out of its own (timeout 5 ...)",
        )


async def _runs(engine: Conversation, command: str) -> bool:
    try:
        return (await engine.ran(command)).running
    except RefusedError as problem:
        if problem.status != 404:  # it went with its container, or some time after its end
            raise
        return False


def _forget(key: tuple[Place, tuple[str, ...]], command: str) -> None:
    left = _left.get(key, set())
    left.discard(command)
    if not left:
        _left.pop(key, None)


def _end_aside(key: tuple[Place, tuple[str, ...]], command: str, mark: str) -> None:
    task = asyncio.get_running_loop().create_task(_end(key, command, mark), name="end exec")
    _ending.add(task)
    task.add_done_callback(_ending.discard)


async def _end(key: tuple[Place, tuple[str, ...]], command: str, mark: str) -> None:
    """Kill what was given up, from inside; tell where that did not work."""
    place, argv = key
    ended = False
    with suppress(OSError):
        async with conversation(place.address, _KILL_SECONDS) as engine:
            killer = await engine.prepare(place.container, ["sh", "-c", _KILL, mark], {})
            await engine.detach(killer)
            while await _runs(engine, command):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(_FIRST_LOOK_SECONDS)
            ended = True
    if ended:
        _forget(key, command)
    else:
        log.warning(
            "exec.left_running",
            extra={"detail": f"{argv[0]} hangs in {place.called} and could not be ended: {MOST_LEFT} such are left"},
        )
