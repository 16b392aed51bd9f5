"""Methods and actions as somebody else would write them."""

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from agent.actions import Order
from agent.core.model import Result, Target, success


class Redis(msgspec.Struct, frozen=True):
    port: int = 6379
    database: Annotated[int, Meta(ge=0)] = 0

    default_timeout_seconds: ClassVar[float] = 7.0
    default_failure_threshold: ClassVar[int] = 1

    def check_options(self) -> list[tuple[str, str]]:
        return [("database", "only 16 databases")] if self.database > 15 else []

    async def probe(self, target: Target) -> Result:
        return success()


class Broken(msgspec.Struct, frozen=True):
    def __post_init__(self) -> None:
        raise ValueError("nothing pleases me")

    async def probe(self, target: Target) -> Result:
        return success()


class Raising(msgspec.Struct, frozen=True):
    def check_options(self) -> list[tuple[str, str]]:
        raise RuntimeError("a bug")

    async def probe(self, target: Target) -> Result:
        return success()


class Page(msgspec.Struct, frozen=True):
    who: str

    async def act(self, order: Order) -> None: ...
