"""Tells a container's runtime of its restarts, where that has a place for it: a Kubernetes Event, say.

What a platform shows of a kill is often no more than that a probe was answered 503; the reason belongs beside it.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from agent.engine.events import Event
from agent.engine.tasks import finish
from agent.engine.worker import told_to_leave

REASONS: Final[Mapping[str, str]] = {
    "restart.requested": "RestartRequested",
    "restart.action": "Restarting",
    "restart.given_up": "RestartGivenUp",
}
"""The events that are told, and the word under which a platform files them."""

WAITING_AT_MOST: Final = 100
DEADLINE_SECONDS: Final = 10.0

log = logging.getLogger(__name__)


class Announcer:
    """A listener of the Bus. One announcement at a time; what would wait behind a hundred others is dropped."""

    def __init__(self, runtime_of: Callable[[str], Any]) -> None:
        self._runtime_of = runtime_of
        self._waiting: asyncio.Queue[tuple[Any, Event]] = asyncio.Queue(WAITING_AT_MOST)
        self._task: asyncio.Task[None] | None = None
        self._complained: dict[str, str] = {}  # container to what went wrong: a right that is missing is told once

    def tell(self, event: Event) -> None:
        runtime = self._runtime_of(event.container) if event.name in REASONS else None
        if not hasattr(runtime, "announce") or self._waiting.full():
            return
        self._waiting.put_nowait((runtime, event))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work(), name="announcements")

    async def close(self, seconds: float) -> None:
        """Give what waits at most so long, then drop it."""
        await finish(self._task, seconds)

    async def _work(self) -> None:
        while not self._waiting.empty():
            await self._announce(*self._waiting.get_nowait())

    async def _announce(self, runtime: Any, event: Event) -> None:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await runtime.announce(REASONS[event.name], message_of(event))
        except (Exception, asyncio.CancelledError) as problem:
            if told_to_leave():
                raise
            self._complain(event.container, f"{type(problem).__name__}: {problem}")

    def _complain(self, container: str, text: str) -> None:
        if self._complained.get(container) != text:
            self._complained[container] = text
            log.warning("runtime.announce_failed", extra={"container": container, "detail": text})


def message_of(event: Event) -> str:
    """What happened, in words of closed sets and configured names: more people read it than the agent's log."""
    fields = event.fields
    words = [f"{fields['check']} has failed"] if fields.get("check") else []
    if fields.get("reason"):
        words.append(f"reason {fields['reason']}")
    if event.name == "restart.given_up":
        words.append("no restart is left in the budget, so nobody acts any more: a human is needed")
    elif event.name == "restart.requested":
        words.append(f"/healthz/{event.container} answers 503 until it is restarted")
    else:
        words.append(f"action {fields.get('action', '')}")
    if fields.get("evidence"):
        words.append(f"evidence {PurePosixPath(fields['evidence']).name}")  # where that is kept is not for everybody
    return "; ".join(words)
