"""Which containers of an engine may be the agent's own, so that it never restarts itself."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from agent.runtimes.engine_api.answers import Inspected
from agent.runtimes.engine_api.conversation import Conversation
from agent.runtimes.engine_api.trouble import RefusedError
from agent.runtimes.own import Evidence


async def candidates(engine: Conversation, evidence: Evidence) -> list[Inspected]:
    """The containers of this engine that may be the agent's own: one, or none; more where it can't be told."""
    if evidence.cgroup or not evidence.network:
        return await _those(engine, [evidence.cgroup] if evidence.cgroup else [])
    joined = f"container:{evidence.network}"
    ids = [one.id for one in await engine.listed() if one.host_config.network_mode == joined]
    return narrowed(await _those(engine, [evidence.network, *ids]), evidence)


def narrowed(group: Sequence[Inspected], evidence: Evidence) -> list[Inspected]:
    """Of the containers on the agent's network, those that may be its own."""
    told = [one for one in group if evidence.layer and one.layer]
    by_layer = [one for one in told if one.layer == evidence.layer]
    if by_layer:
        return by_layer
    left = [one for one in group if one not in told]
    by_command = [one for one in left if _started_with(one, evidence.command)]
    return by_command or left


def _started_with(one: Inspected, command: Sequence[str]) -> bool:
    """Whether a process with this command line is the one that the container starts, behind an interpreter or init."""
    arguments = list(one.args or ())
    program = command[len(command) - len(arguments) - 1 : len(command) - len(arguments)]
    same = PurePosixPath(program[0]).name == PurePosixPath(one.path).name if program else False
    return same and list(command[len(command) - len(arguments) :]) == arguments


async def _those(engine: Conversation, ids: Sequence[str]) -> list[Inspected]:
    found = []
    for one in ids:
        try:
            found.append(await engine.inspect(one))
        except RefusedError as problem:
            if problem.status != 404:  # the agent runs under another engine, or that one is gone
                raise
    return found
