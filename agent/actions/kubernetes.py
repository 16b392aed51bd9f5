"""Has Kubernetes replace the whole pod: by eviction, which disruption budgets may refuse, or by deletion."""

import asyncio
from typing import Annotated, ClassVar, Final, Literal

import msgspec
from msgspec import Meta

from agent.actions import ActionError, Order
from agent.core.settings import Seconds

ASK_AGAIN_SECONDS: Final = 5.0  # where the server names no Retry-After, as `kubectl drain` does
CONFLICT_SECONDS: Final = 1.0


class KubernetesAction(msgspec.Struct, frozen=True, kw_only=True):
    """Evicts or deletes the pod that `runtime.kubernetes` names; whatever owns the pod makes another.

    A disruption budget that does not allow an eviction is never forced: it is asked again, as often as the server
    likes, for as long as the action may take. A pod that is going already is left alone, so each is evicted once.
    """

    method: Annotated[
        Literal["evict", "delete"], Meta(description="evict heeds disruption budgets, delete does not")
    ] = "evict"
    min_pod_age_seconds: Annotated[
        Seconds, Meta(description="a younger pod is left alone, and the attempt has failed; seconds")
    ] = 600.0

    needs_runtime: ClassVar[str] = "kubernetes"
    outlives_the_agent: ClassVar[bool] = True  # the cluster goes on with it

    async def act(self, order: Order) -> None:
        if order.runtime is None:
            raise ActionError("kubernetes needs runtime.kubernetes, which names the pod")
        refused = ""
        try:
            while True:
                try:
                    return await self._once(order)
                except OSError as problem:
                    wait, refused = _wait(problem), problem.strerror or str(problem)
                    if wait is None:
                        raise ActionError(refused) from problem
                await asyncio.sleep(wait)
        except asyncio.CancelledError:
            if not refused:
                raise
            raise ActionError(f"given up waiting: {refused}") from None  # its time is over, and that was the reason

    async def _once(self, order: Order) -> None:
        if self.method == "evict":
            await order.runtime.evict(order.identity, self.min_pod_age_seconds)
        else:
            await order.runtime.delete(order.identity, self.min_pod_age_seconds, order.grace_seconds)


def _wait(problem: OSError) -> float | None:
    """Seconds until the server may be asked again; None where it has refused for good, or was not reached."""
    status, named = getattr(problem, "status", 0), getattr(problem, "retry_after", None)
    if status == 429:
        return ASK_AGAIN_SECONDS if named is None else max(named, 1.0)
    return CONFLICT_SECONDS if status == 409 else None
