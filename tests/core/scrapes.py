"""Scrapes and bad scrapes, one after the other, as the progress rule is given them; seconds on a clock of their own."""

from collections.abc import Mapping
from typing import Any

from agent.core.engines import Engine, Key, Reading
from agent.core.progress import Rule, State, Verdict, missed, scraped
from agent.core.remembered import Canary

ONE: Key = ()


def engine(busy: float, count: float, *, waiting: float = 0.0, arrivals: float = 0.0) -> Engine:
    """An engine with one counter of progress, and one of arrivals."""
    return Engine(busy, waiting, {"steps": count}, {"arrivals": arrivals})


class Play:
    """An instance that is looked at every ``period`` seconds; the first look is at ``start``."""

    def __init__(self, period: float = 10.0, start: float = 0.0, **rule: float) -> None:
        self.rule = Rule(**rule)
        self.period = period
        self.now = start - period
        self.state = State()
        self.canary: Canary | None = None
        self.started = True

    def engines(self, engines: Mapping[Key, Engine], process: float | None = None) -> Verdict:
        """A good scrape a period later."""
        self.now += self.period
        self.state = scraped(
            self.rule, self.state, Reading(dict(engines), process), self.now, canary=self.canary, started=self.started
        )
        return self.state.verdict

    def see(self, busy: float, count: float, process: float | None = None, **more: Any) -> Verdict:
        """A good scrape of a server with one engine."""
        return self.engines({ONE: engine(busy, count, **more)}, process)

    def miss(self, *, refused: bool = False, health: bool | None = None) -> Verdict:
        """A bad scrape a period later."""
        self.now += self.period
        self.state = missed(
            self.rule, self.state, self.now, refused=refused, health=health, started=self.started, why="why"
        )
        return self.state.verdict

    def until_hung(self, engines: Mapping[Key, Engine], within: float) -> float:
        """The same scrape again and again until the verdict is hung: how many seconds that took."""
        begun = self.now
        while self.engines(engines).condition != "hung":
            assert self.now - begun < within, self.state.verdict
        return self.now - begun
