"""Which container is meant: by name or id, or the one of a Compose service; and that it is that one and no other."""

import difflib
import errno
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from agent.runtimes import AbsentError
from agent.runtimes.engine_api.answers import NUMBER, ONE_OFF, PROJECT, SERVICE, Inspected, Listed, names
from agent.runtimes.engine_api.conversation import Conversation
from agent.runtimes.engine_api.trouble import RefusedError
from agent.runtimes.own import Evidence

_MOST_NAMES: Final = 10


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Whom the configuration means; ``project`` "" is the agent's own."""

    container: str = ""
    service: str = ""
    project: str = ""
    labels: Mapping[str, str] = {}

    def __str__(self) -> str:
        return self.container or f"service {self.service}"


async def found(engine: Conversation, wanted: Wanted, evidence: Evidence) -> Inspected:
    """The container. Raises OSError where there is none, or more than one, or another one than is meant."""
    if wanted.container:
        seen = await _named(engine, wanted.container)
    else:
        project = wanted.project or await _own_project(engine, evidence)
        labels = {PROJECT: project, SERVICE: wanted.service}
        listed = await engine.listed(labels, everyone=True)
        if not listed:
            others = await engine.listed({PROJECT: project}, everyone=True)
            raise AbsentError(errno.ENOENT, none_of_service(project, wanted.service, others))
        seen = await engine.inspect(chosen(listed, project, wanted.service).id)
        _verified(seen, labels)
    _verified(seen, wanted.labels)
    return seen


def chosen(listed: Sequence[Listed], project: str, service: str) -> Listed:
    """The one container of a service, whatever Compose is about to replace it with."""
    members = [one for one in listed if one.label(ONE_OFF).lower() != "true"] or list(listed)
    numbers = {one.label(NUMBER) for one in members}
    if len(numbers) > 1:
        raise OSError(
            errno.EINVAL,
            f"service {service} of project {project} has {len(numbers)} containers ({names(members)}): runtime.docker "
            "must name one by `container`, with an entry in `containers` for each",
        )
    # While it recreates a container, Compose has two of one number: the old one and the one that will take its place.
    running = [one for one in members if one.runs]
    if len(running) > 1:
        raise OSError(errno.EBUSY, f"{names(running)} run at once as service {service}: name one by `container`")
    return (running or sorted(members, key=lambda one: one.created))[-1]


def none_of_service(project: str, service: str, others: Sequence[Listed]) -> str:
    services = sorted({one.label(SERVICE) for one in others} - {""})
    told = f"project {project} has no container of service {service}"
    if not services:
        return f"{told}, and no other: is the project named so? (docker compose ls)"
    return f"{told}; it has {', '.join(services[:_MOST_NAMES])}"


async def _named(engine: Conversation, name: str) -> Inspected:
    try:
        return await engine.inspect(name)
    except RefusedError as problem:
        if problem.status != 404:
            raise
    # Not who else is there: that changes, and the same trouble would be told again and again.
    near = difflib.get_close_matches(name, [one.called for one in await engine.listed(everyone=True)], n=1)
    hint = f"did you mean {near[0]}?" if near else "docker ps --all tells who is there"
    raise AbsentError(errno.ENOENT, f"no container is called {name}: {hint}")


async def _own_project(engine: Conversation, evidence: Evidence) -> str:
    """The Compose project that the agent belongs to; who shares its network belongs to the same one."""
    own = evidence.cgroup or evidence.network
    if own:
        try:
            project = (await engine.inspect(own)).labels.get(PROJECT, "")
        except RefusedError as problem:
            if problem.status != 404:
                raise
            project = ""
        if project:
            return project
    raise OSError(
        errno.EINVAL,
        "runtime.docker.service needs `project` beside it: the agent does not run in a container of a Compose project "
        "of this engine",
    )


def _verified(seen: Inspected, labels: Mapping[str, str]) -> None:
    for key, value in labels.items():
        if seen.labels.get(key) != value:
            raise OSError(
                errno.ESTALE,
                f"container {seen.called} ({seen.id[:12]}) is not the one that is meant: its label {key} is "
                f"{seen.labels.get(key)!r}, not {value!r}",
            )
