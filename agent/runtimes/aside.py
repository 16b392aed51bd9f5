"""Work that may hang in the kernel, each piece on a daemon thread of its own and only a few of a kind at a time.

Reading the command line of a process that is stuck in a driver can block for ever, and so can a file on a dead mount.
A pool of threads would fill up with such reads and be waited for at exit; these threads are neither.
"""

import asyncio
import errno
import threading
from collections import Counter
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Final, TypeVar

_MOST: Final = 4
_T = TypeVar("_T")
_running: Counter[Hashable] = Counter()
_lock: Final = threading.Lock()


def _back(kind: Hashable) -> None:
    with _lock:
        _running[kind] -= 1
        if not _running[kind]:
            del _running[kind]


async def aside(kind: Hashable, work: Callable[[], _T]) -> _T:
    """What ``work`` returns or raises, off the event loop; OSError while four of this ``kind`` hang already."""
    with _lock:
        if _running[kind] >= _MOST:
            raise TimeoutError(errno.ETIMEDOUT, f"{_MOST} earlier looks have not come back: a read hangs in the kernel")
        _running[kind] += 1
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[_T] = loop.create_future()

    def tell(result: _T | None, error: BaseException | None) -> None:
        if outcome.done():  # nobody waits any more
            return
        if error is None:
            outcome.set_result(result)  # type: ignore[arg-type]
        else:
            outcome.set_exception(error)

    def body() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as problem:  # noqa: BLE001 - it is the caller's
            error = problem
        _back(kind)
        with suppress(RuntimeError):  # the loop is closed: the agent is leaving
            loop.call_soon_threadsafe(tell, result, error)

    try:
        threading.Thread(target=body, name=f"aside {kind}", daemon=True).start()
    except RuntimeError as problem:
        _back(kind)
        raise BlockingIOError(errno.EAGAIN, f"no thread to look with: {problem}") from problem
    return await outcome
