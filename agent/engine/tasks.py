"""Ends a task that works through what waits."""

import asyncio


async def finish(task: "asyncio.Task[None] | None", seconds: float) -> None:
    """Give the task at most so long, then cancel it; it has ended when this returns."""
    if task is not None and not task.done():
        await asyncio.wait([task], timeout=seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
