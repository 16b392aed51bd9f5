"""A third party's method that sends a real request and leaves word of it where the progress check looks."""

import asyncio
from typing import ClassVar

import aiohttp
import msgspec

from agent.core.model import Result, Target, failure, success
from agent.core.remembered import CANARY, canary, canary_answered, canary_failed, canary_sent


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One POST; late after ``patience`` seconds. It is nobody's health: its result is always a success."""

    path: str = "/work"
    patience: float = 0.5

    default_timeout_seconds: ClassVar[float] = 30.0

    async def probe(self, target: Target) -> Result:
        seen, clock = target.seen, asyncio.get_running_loop().time
        sent = seen[CANARY] = canary_sent(canary(seen), clock())
        try:
            async with (
                asyncio.timeout(self.patience),
                aiohttp.ClientSession() as session,
                session.post(f"http://{target.host}:{target.port}{self.path}", data=b"{}") as answer,
            ):
                await answer.read()
                good = answer.status == 200
        except TimeoutError:
            seen[CANARY] = canary_failed(sent, clock(), overdue=True)
            return success("late")
        except aiohttp.ClientError as problem:
            seen[CANARY] = canary_failed(sent, clock(), overdue=False)
            return failure("reset", str(problem))
        seen[CANARY] = canary_answered(sent, clock()) if good else canary_failed(sent, clock(), overdue=False)
        return success("answered")
