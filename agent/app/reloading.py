"""Reads the configuration again when it is told to, and swaps only what was read without an error."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from agent.app.agent import Agent
from agent.config import ConfigError, Loaded
from agent.config.reload import fingerprint
from agent.log import Output

WATCH_CONFIG_SECONDS: Final = 2.0

log = logging.getLogger(__name__)


class Known(msgspec.Struct, frozen=True):
    """What files held just before they were read (`agent.config.reload.fingerprint`), and what they include."""

    files: tuple[str, ...]
    digest: str
    included: tuple[str, ...] = ()

    @classmethod
    def of(cls, files: Iterable[str]) -> "Known":
        """Now; blocking."""
        names = tuple(files)
        return cls(names, fingerprint(names))

    def also(self, included: Iterable[str]) -> "Known":
        return Known(self.files, self.digest, tuple(included))


class Reloader:
    """Reads the configuration again when told, and swaps only what was read without an error."""

    def __init__(self, agent: Agent, output: Output, read: Callable[[], Loaded]) -> None:
        self.agent, self.output, self.read = agent, output, read
        self._lock = asyncio.Lock()

    async def reload(self) -> list[str]:
        """Read and swap; what was wrong, line by line. A bug on the way leaves whoever asked for it alive."""
        async with self._lock:
            try:
                return await self._reload()
            except Exception:
                self.agent.reload_successful = False
                log.exception("config.reload_failed")
                return ["a bug in the agent, see its log"]

    async def _reload(self) -> list[str]:
        agent = self.agent
        try:
            loaded = await asyncio.to_thread(self.read)
        except ConfigError as wrong:
            agent.reload_successful = False
            for problem in wrong.problems:
                log.error("config.invalid", extra={"detail": str(problem)})  # noqa: TRY400 - the message is all
            return [str(problem) for problem in wrong.problems]
        if agent.stopping:  # nothing begins any more
            return ["the agent is about to end"]
        _warn(loaded)
        await agent.reload(loaded.config)
        self.output.configure(loaded.config.log, agent.redact)
        agent.reload_successful, agent.reload_success_time = True, time.time()
        log.info("config.reloaded", extra={"containers": list(agent.guards)})
        return []

    async def follow(self, known: Known) -> None:
        """Reload whenever the files' content changes; a ConfigMap's swap of links is one such change.

        Also when it has changed since just before the first reading, which may not have seen that.
        """
        files = tuple(dict.fromkeys((*known.files, *known.included)))
        last = await asyncio.to_thread(fingerprint, files)
        if await asyncio.to_thread(fingerprint, known.files) != known.digest:
            await self.reload()
        while True:
            await asyncio.sleep(WATCH_CONFIG_SECONDS)
            now = await asyncio.to_thread(fingerprint, files)
            if now != last:
                last = now
                await self.reload()


def _warn(loaded: Loaded) -> None:
    for warning in loaded.warnings:
        log.warning("config.warning", extra={"code": warning.code, "detail": str(warning)})
