"""Has an engine restart one container and no other: not another run of it, not one stopped by hand, never the agent."""

import asyncio
import errno
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from agent.runtimes import moments, own
from agent.runtimes.engine_api import itself
from agent.runtimes.engine_api.answers import DEPENDS_ON, PROJECT, SERVICE, Address, Event, Inspected, Listed
from agent.runtimes.engine_api.conversation import Conversation, conversation
from agent.runtimes.engine_api.find import Wanted, found
from agent.runtimes.engine_api.trouble import RefusedError

RESTART_SECONDS: Final = 300.0
"""On top of the stop time-out: how long an engine may take; whoever acts has a shorter deadline of its own."""

LOOK_SECONDS: Final = 15.0  # for everything that is looked at before
LOST_SECONDS: Final = 5.0  # on top of the stop time-out: for so long a restart whose answer was lost is looked for
_LOOK_SECONDS: Final = 0.5
_STOP_EVENT_SECONDS: Final = 2.0  # an engine tells of a stop just after the container has ended

Tell = Callable[[str], None]


async def restart(address: Address, wanted: Wanted, grace_seconds: float, identity: str, tell: Tell) -> None:
    """Stop within the grace, kill, start. Nothing is done where another instance than ``identity`` runs already.

    ``tell`` gets what the operator must know of it. Raises OSError where it was refused or did not happen.
    """
    evidence = await own.evidence()
    async with conversation(address, LOOK_SECONDS) as engine:
        seen = await found(engine, wanted, evidence)
        if identity and seen.state.runs and seen.identity != identity:
            return
        mine = await itself.candidates(engine, evidence)
        _never_itself(seen, mine)
        if not seen.state.running and _by_hand(seen, await _events(engine, seen)):
            raise OSError(errno.ECANCELED, f"{seen.called} was stopped by hand (docker stop): it is left so")
        for text in left_out(seen, await engine.listed(), mine):
            tell(text)
    begun = asyncio.get_running_loop().time()
    try:
        async with conversation(address, grace_seconds + RESTART_SECONDS) as engine:
            await engine.restart(seen.id, math.ceil(grace_seconds))
    except RefusedError as problem:
        raise OSError(problem.errno, f"{seen.called} was not restarted: {problem.strerror}") from problem
    except OSError as problem:
        await _look_for(address, seen, problem, begun + grace_seconds + LOST_SECONDS)


def _never_itself(seen: Inspected, mine: Sequence[Inspected]) -> None:
    if all(one.id != seen.id for one in mine):
        return
    if len(mine) == 1:
        raise PermissionError(
            errno.EPERM, f"{seen.called} is the agent's own container: runtime.docker must name the server's"
        )
    others = ", ".join(one.called for one in mine)
    raise PermissionError(
        errno.EPERM,
        f"which of {others} is the agent's own container can't be told, and it never restarts itself: run it with "
        "--cgroupns=host (cgroup: host in Compose), where it can",
    )


async def _events(engine: Conversation, seen: Inspected) -> list[Event]:
    ended = moments.unix_time(seen.state.finished_at)
    return [] if ended is None else await engine.events(seen.id, ended + _STOP_EVENT_SECONDS)


def _by_hand(seen: Inspected, events: Sequence[Event]) -> bool:
    """Whether somebody stopped it, so that it is to stay so, as for Docker's own `unless-stopped`.

    A restart is a stop as well: where one failed to start the container again, the engine keeps the error.
    """
    return bool(events) and events[-1].action == "stop" and not seen.state.error


def left_out(seen: Inspected, running: Sequence[Listed], mine: Sequence[Inspected]) -> list[str]:
    """What a restart through the API does not see to, unlike `docker compose restart`."""
    told = []
    others = [one for one in running if one.id != seen.id]
    ours = {one.id for one in mine}
    shared = {f"container:{seen.id}", f"container:{seen.called}"}
    cut_off = [one.called for one in others if one.host_config.network_mode in shared and one.id not in ours]
    if cut_off:
        told.append(
            f"{', '.join(cut_off)} shares the network namespace of {seen.called} and loses its network in a restart: "
            f"restart it too (docker restart {' '.join(cut_off)}), or have {seen.called} join its namespace instead"
        )
    waiting = [one.called for one in others if restarts_with(one, seen)]
    if waiting:
        told.append(
            f"{', '.join(waiting)} asks to be restarted with {seen.called} (depends_on: restart: true), which only "
            f"Compose does: let a post_restart hook do it (docker restart {' '.join(waiting)})"
        )
    told += [_of_itself(one, seen) for one in mine if one.host_config.network_mode in shared and _stays_down(one)]
    return told


def _of_itself(one: Inspected, seen: Inspected) -> str:
    return (
        f"the agent ({one.called}) loses its network with {seen.called}, leaves to join the new one and has no restart "
        f"policy: give it restart: unless-stopped, or nobody looks after {seen.called} any more"
    )


def restarts_with(one: Listed, seen: Inspected) -> bool:
    """Compose notes on a container what its service depends on: service:condition:restart, ..."""
    service, project = seen.labels.get(SERVICE), seen.labels.get(PROJECT)
    if not service or one.label(PROJECT) != project:
        return False
    links = [link.split(":") for link in one.label(DEPENDS_ON).split(",")]
    return any(link[0] == service and link[-1] == "true" for link in links if len(link) == 3)


def _stays_down(one: Inspected) -> bool:
    policy = one.host_config.restart_policy
    return policy is None or policy.name in ("", "no")


async def _look_for(address: Address, before: Inspected, lost: OSError, until: float) -> None:
    """The engine may well do what it could not answer any more: look whether it does."""
    loop = asyncio.get_running_loop()
    told = "the engine can't be asked whether it was restarted all the same"
    while loop.time() < until:
        with suppress(OSError):
            async with conversation(address) as engine:
                now = await engine.inspect(before.id)
            if now.state.runs and now.identity != before.identity:
                return
            told = f"it is still the same instance, {now.state.status}"
        await asyncio.sleep(_LOOK_SECONDS)
    raise OSError(lost.errno, f"the answer to the restart of {before.called} was lost ({lost.strerror}), and {told}")
