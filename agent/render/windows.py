"""How long a platform bears with the agent before it acts on a server: the numbers of the server's own probes."""

from math import ceil
from typing import Final

import msgspec

from agent.core.explain import startup_budget
from agent.core.model import CheckType
from agent.core.settings import Container

SPARE_SECONDS: Final = 60
"""Startup lasts so much longer here than in the agent: it judges first, and may have come up late or again."""

BEARABLE_SECONDS: Final = 90
"""What the death, the grace, the crash back-off and the start of an agent take at most, together."""

RESTARTED_BY_PLATFORM: Final = frozenset({"none", "signal"})
"""The actions after which whoever runs the containers starts the server: it may as well end one that hangs on."""


class Window(msgspec.Struct, frozen=True):
    """One probe of the server's: a path of the agent's, asked every ``period`` seconds."""

    path: str
    period: int
    timeout: int
    failures: int


def windows(container: Container) -> dict[CheckType, Window]:
    """The probes that a server gets in place of its own.

    One that has a liveness check and no startup check is asked for its start all the same: the platform's question
    tells the agent of a new instance (contract 5), without which a restarted server that loads for long would be
    restarted again.
    """
    name, found = container.name, {}
    if container.startup or container.liveness:
        found[CheckType.STARTUP] = Window(f"/startupz/{name}", 5, 2, _startup_failures(container))
    if container.readiness:
        found[CheckType.READINESS] = Window(f"/ready/{name}", 5, 2, 2)
    if container.liveness and container.restart.action_name in RESTARTED_BY_PLATFORM:
        found[CheckType.LIVENESS] = Window(f"/healthz/{name}", 10, 3, ceil((_grace(container) + SPARE_SECONDS) / 10))
    return found


def _startup_failures(container: Container) -> int:
    if not container.startup:
        return BEARABLE_SECONDS // 5
    return ceil((max(map(startup_budget, container.startup)) + SPARE_SECONDS) / 5)


def _grace(container: Container) -> float:
    """Seconds that a kill may take before anyone steps in; the agent's own signal may be given longer than usual."""
    if container.restart.action_name == "none":
        return BEARABLE_SECONDS - SPARE_SECONDS
    own = [check.termination_grace_period_seconds or 0 for check in container.checks()]
    return max(BEARABLE_SECONDS - SPARE_SECONDS, container.restart.grace_period_seconds, *own)
