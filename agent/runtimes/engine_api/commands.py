"""Runs a command in a container through the engine, which can start one and tell how it ends, and no more.

The engine says 101 before it begins, so it is asked until it names a process. And it goes on streaming for as long as
anything that the command left behind holds its output, so it is asked for the exit as well.
"""

import asyncio
import errno
import secrets
from collections.abc import Callable, Sequence
from typing import Final

from aiodocker.execs import Exec

from agent.runtimes import CannotRunError, NotRunningError
from agent.runtimes.command import CAP, Finished
from agent.runtimes.engine_api import leftovers
from agent.runtimes.engine_api.answers import Inspected, Ran
from agent.runtimes.engine_api.conversation import Conversation, bounded, conversation
from agent.runtimes.engine_api.leftovers import MARK, Errand, Place

_BEGIN_SECONDS: Final = 10.0
_FIRST_LOOK_SECONDS: Final = 0.02
_LONGEST_LOOK_SECONDS: Final = 0.5
_LAST_WORDS_SECONDS: Final = 0.1  # for output that is on its way when the command has ended
_NEVER_BEGAN: Final = (126, 127)  # the exit status that engines give a command which could not be started
_RUNTIME_SAYS: Final = "OCI runtime exec failed"
_UNSUITABLE: Final = (
    "executable file not found", "no such file or directory", "permission denied", "exec format error",
    "not a directory", "is a directory",
)  # fmt: skip


async def run(place: Place, argv: Sequence[str], started: Callable[[], None]) -> Finished:
    """As `agent.runtimes.Executes.run` says."""
    errand = Errand(place, tuple(argv))
    mark = secrets.token_hex(8)
    async with conversation(place.address, None) as engine:
        async with bounded(place.address.host):
            await leftovers.look(engine, errand)
            command = await engine.prepare(place.container, argv, {MARK: mark})
        kept = bytearray()
        over = False
        try:
            now = await _followed(engine, command, kept, started)
            over = True
        finally:
            if not over:
                leftovers.give_up(errand, command.id, mark)
    finished = _judged(place, now, bytes(kept))
    leftovers.went_well(errand)
    return finished


def check_runs(seen: Inspected) -> None:
    """Raise OSError where nothing can be run in this container now."""
    told = f"container {seen.called} does not run: it is {seen.state.status}"
    if not seen.state.runs:
        raise NotRunningError(errno.ESRCH, told)
    if seen.state.paused:
        raise OSError(errno.ESRCH, told)


async def _followed(engine: Conversation, command: Exec, kept: bytearray, started: Callable[[], None]) -> Ran:
    """Start the command and follow it to its end, its output in ``kept``."""
    following = asyncio.create_task(engine.follow(command, kept, CAP), name="exec output")
    clock = asyncio.get_running_loop().time
    latest, pause, begun = clock() + _BEGIN_SECONDS, _FIRST_LOOK_SECONDS, False
    try:
        while True:
            await asyncio.wait([following], timeout=pause)
            if following.done():
                following.result()  # its exception
            async with bounded(engine.host):
                now = await engine.ran(command.id)
            if now.pid and not begun:
                begun = True
                started()
            if now.exit_code is not None and not now.running:
                await asyncio.wait([following], timeout=_LAST_WORDS_SECONDS)
                return now
            if not begun and clock() > latest:
                raise TimeoutError(errno.ETIMEDOUT, f"the engine did not begin it within {_BEGIN_SECONDS:g} s")
            pause = min(pause * 2, _LONGEST_LOOK_SECONDS)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


def _judged(place: Place, now: Ran, output: bytes) -> Finished:
    """How it ended; or, where it never began, what the OCI runtime says of it in the place of output."""
    code = now.exit_code or 0
    said = " ".join(output.decode(errors="replace").split())
    if now.pid or code not in _NEVER_BEGAN or not said.startswith(_RUNTIME_SAYS):
        return Finished(code, output)
    if any(words in said for words in _UNSUITABLE):
        raise CannotRunError(errno.ENOEXEC, f"container {place.called} can't run it: {said}")
    raise OSError(errno.EREMOTEIO, f"the engine could not run it in {place.called}: {said}")
