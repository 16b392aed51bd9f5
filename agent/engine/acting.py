"""Runs one action at a time within its deadline, to its end also where the agent is told to leave meanwhile."""

import asyncio
from typing import Final

from agent.actions import ActionError, Order
from agent.core.settings import Restart

ENDS_WITHIN_SECONDS: Final = 5.0
"""What an action may take to clean up once its time is over; one that does not even then is left to itself."""


class Acting:
    """The action of one container that is under way, if any; ``leaving``: the agent is told to end, none begins."""

    def __init__(self) -> None:
        self.leaving = False
        self._task: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    async def run(self, rule: Restart, order: Order) -> BaseException | None:
        """What went wrong with the action, or None. Who is cancelled while waiting here leaves the action running."""
        if self._task is not None and not self._task.done():  # it did not end when it was told to
            return RuntimeError("the action before this one is still running")
        seconds = rule.action_timeout_seconds + order.grace_seconds
        self._idle.clear()
        try:
            self._task = task = asyncio.create_task(_act(rule, order), name=f"action {order.container}")
            task.add_done_callback(_looked_at)
            await asyncio.wait([task], timeout=seconds)
            if not task.done():
                task.cancel()
                await asyncio.wait([task], timeout=ENDS_WITHIN_SECONDS)
                late = f"not done within {seconds:g} s{'' if task.done() else ', and it does not end'}"
                return _own_words(task) or TimeoutError(late)
            if task.cancelled():
                return RuntimeError("the action cancelled itself")
            return task.exception()
        finally:
            self._idle.set()

    async def finish(self) -> None:
        """Wait until no action is waited for any more; each has its deadline."""
        await self._idle.wait()

    async def unless_leaving(self) -> None:
        """Once the agent is told to end, what has not begun is left to the next process: until it ends, this waits."""
        if self.leaving:
            await asyncio.Event().wait()


def _own_words(task: "asyncio.Task[None]") -> ActionError | None:
    """Why an action whose time was over says that it took so long, if it does: a budget that it waited for, say."""
    problem = task.exception() if task.done() and not task.cancelled() else None
    return problem if isinstance(problem, ActionError) else None


async def _act(rule: Restart, order: Order) -> None:
    if getattr(rule.action, "needs_state_file", False) and not order.remembers:
        raise ActionError("it ends the agent, which would forget its budget: state_file can't be written")
    await rule.action.act(order)


def _looked_at(task: "asyncio.Task[None]") -> None:
    """Also where nobody waits for it any more, what an action raises is no loose end."""
    if not task.cancelled():
        task.exception()
