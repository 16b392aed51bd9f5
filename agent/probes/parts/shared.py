"""One blocking call at a time for each name or file, however many probes wait for it."""

import asyncio
from collections.abc import Callable, Hashable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from agent.runtimes.aside import aside

T = TypeVar("T")
_running: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, asyncio.Task[Any]]] = WeakKeyDictionary()


async def shared(key: Hashable, call: Callable[[], T]) -> T:
    """What ``call`` returns or raises, off the event loop; callers with an equal ``key`` wait for the same call.

    So a dead resolver or file system costs one thread for each name or file, and a hundred checks of one name do not
    look like a resolver that hangs. A cancelled caller leaves the call to the others.
    """
    running = _running.setdefault(asyncio.get_running_loop(), {})
    task = running.get(key)
    if task is None:
        task = running[key] = asyncio.create_task(aside(key, call))

        def forget(done: asyncio.Task[T]) -> None:
            del running[key]
            if not done.cancelled():
                done.exception()  # nobody may be waiting any more: that is no reason for a warning

        task.add_done_callback(forget)
    result: T = await asyncio.shield(task)
    return result
