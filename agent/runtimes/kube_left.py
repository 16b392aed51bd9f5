"""Commands that are given up in a container, and go on there: the API can begin a command, but not end one.

Their connections are kept, since that is how their end is known, and only a few of a kind are left: a check that hangs
round after round must not fill the server's container with processes.
"""

import asyncio
import errno
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Final

from agent.runtimes import StillRunningError
from agent.runtimes.command import Finished

MOST_LEFT: Final = 3
LEFT_SECONDS: Final = 3600.0  # then it is forgotten, whatever it does

_left: Final[dict[Hashable, set[asyncio.Task[Any]]]] = {}


async def bounded(
    kind: Hashable, run: Callable[[Callable[[], None]], Awaitable[Finished]], started: Callable[[], None]
) -> Finished:
    """``run(started)``; cancelled once the command has begun, it is left to itself.

    Raises StillRunningError where as many of its ``kind`` as may be are left.
    """
    if len(_left.get(kind, ())) >= MOST_LEFT:
        raise StillRunningError(
            errno.EBUSY,
            f"{MOST_LEFT} earlier runs of it still hang in the container, where nothing can end them: give the command "
            'a bound of its own, e.g. [timeout, "5", ...]',
        )
    begun = False

    def begin() -> None:
        nonlocal begun
        begun = True
        started()

    async def whole() -> Finished:
        async with asyncio.timeout(LEFT_SECONDS):
            return await run(begin)

    task = asyncio.create_task(whole(), name="command in a container")
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if begun and not task.done():
            _leave(kind, task)
        else:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        raise


def _leave(kind: Hashable, task: "asyncio.Task[Any]") -> None:
    def over(task: "asyncio.Task[Any]") -> None:
        _left[kind].discard(task)
        if not _left[kind]:
            del _left[kind]
        if not task.cancelled():
            task.exception()  # nobody waits for it any more

    _left.setdefault(kind, set()).add(task)
    task.add_done_callback(over)
