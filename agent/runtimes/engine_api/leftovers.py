"""Commands in containers that were given up: killed from inside where that works, counted where it does not.

An engine has no call to end a command. So it is found by a mark in its environment, by a shell in its container.
"""

import asyncio
import errno
import logging
from contextlib import suppress
from typing import Final

import msgspec

from agent.runtimes import StillRunningError
from agent.runtimes.engine_api.answers import Address, Ran
from agent.runtimes.engine_api.conversation import Conversation, conversation
from agent.runtimes.engine_api.trouble import RefusedError

MOST_LEFT: Final = 3
"""Runs of one command that could not be ended, in one container, before no further one is started."""

MARK: Final = "MODEL_HEALTH_AGENT_RUN"
_KILL: Final = (
    'for p in /proc/[0-9]*; do case "$(tr "\\0" "\\n" 2>/dev/null <$p/environ)" in '
    f'*"{MARK}=$0"*) kill -9 "${{p#/proc/}}";; esac; done'
)
_KILL_SECONDS: Final = 10.0  # nobody waits for it
_LOOK_SECONDS: Final = 0.05

log = logging.getLogger(__name__)


class Place(msgspec.Struct, frozen=True):
    """Where commands run: in one run of a container of one engine."""

    address: Address
    container: str
    called: str
    identity: str


class Errand(msgspec.Struct, frozen=True):
    """A command that is run there time and again."""

    place: Place
    argv: tuple[str, ...]


_left: Final[dict[Errand, set[str]]] = {}
_told: Final[set[Errand]] = set()  # of what is left; once, until it goes well again
_ending: Final[set[asyncio.Task[None]]] = set()


async def look(engine: Conversation, errand: Errand) -> None:
    """Forget those that have ended. Raises StillRunningError where too many hang, OSError where they never began."""
    _forget_earlier_runs(errand.place)
    states = {one: await _state(engine, one) for one in _left.get(errand, ())}
    for one, state in states.items():
        if not state.running:
            _forget(errand, one)
    left = [state for state in states.values() if state.running]
    if len(left) < MOST_LEFT:
        return
    program, called = errand.argv[0], errand.place.called
    if not all(state.pid for state in left):
        raise OSError(errno.EBUSY, f"the engine has still not begun earlier runs of {program} in {called}: it hangs")
    raise StillRunningError(
        errno.EBUSY,
        f"{len(left)} earlier runs of {program} still hang in {called}, and the engine has no call to end them: give "
        "the command a time-out of its own (timeout 5 ...)",
    )


def give_up(errand: Errand, command: str, mark: str) -> None:
    """Have a command ended, by its id and mark; nobody waits for that."""
    _left.setdefault(errand, set()).add(command)
    task = asyncio.get_running_loop().create_task(_end(errand, command, mark), name="end exec")
    _ending.add(task)
    task.add_done_callback(_ending.discard)


def went_well(errand: Errand) -> None:
    _told.discard(errand)


async def _end(errand: Errand, command: str, mark: str) -> None:
    place = errand.place
    with suppress(OSError):
        async with conversation(place.address, _KILL_SECONDS) as engine:
            killer = await engine.prepare(place.container, ["sh", "-c", _KILL, mark], {})
            await engine.detach(killer)
            while (await _state(engine, command)).running:  # noqa: ASYNC110 - an engine tells nobody
                await asyncio.sleep(_LOOK_SECONDS)
        _forget(errand, command)
        return
    if errand not in _told:
        _told.add(errand)
        told = (
            f"{errand.argv[0]} was given up in {place.called} and may run on there: it could not be ended from inside"
        )
        log.warning("exec.left_running", extra={"detail": f"{told}; at most {MOST_LEFT} are left so"})


async def _state(engine: Conversation, command: str) -> Ran:
    try:
        return await engine.ran(command)
    except RefusedError as problem:
        if problem.status != 404:  # it went with its container, or some time after its end
            raise
        return Ran(running=False)


def _forget(errand: Errand, command: str) -> None:
    left = _left.get(errand, set())
    left.discard(command)
    if not left:
        _left.pop(errand, None)


def _forget_earlier_runs(place: Place) -> None:
    """Of the same container, or of the one that had its name: they took their commands with them."""
    gone = [one for one in (*_left, *_told) if one.place != place and _same_name(one.place, place)]
    for one in gone:
        _left.pop(one, None)
        _told.discard(one)


def _same_name(one: Place, other: Place) -> bool:
    return (one.address, one.called) == (other.address, other.called)
