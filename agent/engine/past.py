"""What a container was spared: the kills that were wanted and not done, kept for the report."""

import time
from collections import deque
from collections.abc import Iterable
from typing import Final

from agent.core import spared as rules
from agent.core.model import Outcome, Result
from agent.core.spared import Ended, Spared
from agent.engine.cause import Cause
from agent.engine.container import Container, Slot

KEPT: Final = 100  # failings, not decisions: a server that is dead for a week is one of them
DETAIL_CHARACTERS: Final = 200


class Past:
    """The failings that are over, and those that go on; ``news`` says that one began or ended."""

    def __init__(self) -> None:
        self.over: deque[Spared] = deque(maxlen=KEPT)
        self.open: dict[tuple[str, str], Spared] = {}  # (check, why) -> the failing that goes on
        self.news = False

    def all(self) -> tuple[Spared, ...]:
        """Oldest first."""
        return tuple(sorted((*self.over, *self.open.values()), key=lambda one: one.time))[-KEPT:]

    def restore(self, kept: Iterable[Spared]) -> None:
        """What an earlier process kept; whether what it saw fail went on is not known."""
        self.over.extend(one if one.ended else rules.ended(one, "unknown", one.last) for one in kept)

    def spare(self, container: Container, cause: Cause, why: str, action: str, detail: str) -> None:
        """A kill is wanted and not done: once more in the failing that goes on, or for the first time."""
        now, key, detail = time.time(), (cause.check, why), detail[:DETAIL_CHARACTERS]
        if key in self.open:
            self.open[key] = rules.again(self.open[key], now, cause.reason, detail)
            return
        self.news = True
        one = Spared(
            time=now, last=now, why=why, action=action, check=cause.check, reason=cause.reason, detail=detail,
            instance=container.instance,
        )  # fmt: skip
        slot = container.slot(cause.check)
        self.open[key] = one if slot is None else rules.told(one, slot.check, slot.history)

    def observe(self, slot: Slot, result: Result) -> None:
        """A round ended: what goes on fails once more, or is over."""
        for key in [key for key in self.open if key[0] == slot.path]:
            if rules.is_failed(slot.check, result):
                self.open[key] = rules.failed(self.open[key])
            elif result.outcome is not Outcome.ERROR:
                self._end(key, "recovered")

    def restarted(self) -> None:
        """A new instance came, or somebody acts at last."""
        for key in list(self.open):
            self._end(key, "restarted")

    def take_news(self) -> bool:
        news, self.news = self.news, False
        return news

    def _end(self, key: tuple[str, str], how: Ended) -> None:
        self.over.append(rules.ended(self.open.pop(key), how, time.time()))
        self.news = True
