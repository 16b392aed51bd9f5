"""What the admin listener may have the agent do: each order to the guard, or the reloader, that carries it out."""

from typing import Literal

from agent.app.agent import Agent
from agent.app.reloading import Reloader
from agent.engine.operator import Operator
from agent.server import Refused


class Orders:
    """The `agent.server.Operator` of the running agent."""

    def __init__(self, agent: Agent, reloader: Reloader) -> None:
        self._agent = agent
        self._reloader = reloader

    async def reload(self) -> None:
        problems = await self._reloader.reload()
        if problems:
            raise Refused("; ".join(problems))

    async def restart(self, name: str) -> None:
        refused = await self._of(name).restart()
        if refused:
            raise Refused(refused)

    async def maintain(self, name: str, seconds: float, ready: Literal["keep", "false"]) -> None:
        await self._of(name).maintain(seconds, ready)

    async def drain(self, name: str, seconds: float) -> None:
        await self._of(name).drain(seconds)

    async def probe(self, name: str) -> None:
        self._of(name).probe()

    def _of(self, name: str) -> Operator:
        guard = self._agent.guards.get(name)
        if guard is None or self._agent.stopping:
            raise Refused(
                "the agent is about to end" if self._agent.stopping else f"there is no container {name} any more"
            )
        if not guard.settled:
            raise Refused("the agent is starting: ask again in a moment")
        return guard.operator
