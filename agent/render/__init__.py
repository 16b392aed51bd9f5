"""Deployments with the agent beside the server, from a native document, a service.json, a manifest or Compose file."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from agent.config import Options, Problem, SourceRef
from agent.config.tree import Node
from agent.render import compose, eas, fresh, notes, servers, stream
from agent.render.document import Agent
from agent.render.options import Note, RenderError, Settings, Target
from agent.render.reading import Reading, read
from agent.render.servers import Server
from agent.render.shapes import check_compose, check_eas, check_object
from agent.render.trees import values
from agent.render.yaml_text import to_yaml

__all__ = ["Note", "RenderError", "Rendered", "Settings", "Target", "render"]


class Rendered(msgspec.Struct, frozen=True):
    """The deployment as text, what the loader says of the documents, and what to know before it is applied."""

    text: str
    warnings: list[Problem]
    notes: list[Note]


def render(
    target: Target, sources: Sequence[SourceRef], environ: Mapping[str, str], options: Options, settings: Settings
) -> Rendered:
    """The first document with the agent beside its servers, the others laid over it.

    Raises ConfigError for what is wrong with the documents, RenderError for what can't be done with them.
    """
    reading = read(target, sources, environ, options, settings)
    if settings.name and reading.kind == target:
        raise RenderError(f"--name is for what has none yet: {reading.first.kind.title} has its own")
    if settings.name is None and reading.kind == "eas":
        said = reading.first.roots[0].at("metadata.name").value
        reading.settings = replace(settings, name=said if isinstance(said, str) else None)
    text, told = _MAKERS[target](reading)
    return Rendered(text, list(dict.fromkeys(reading.warnings)), told)


def _kubernetes(reading: Reading) -> tuple[str, list[Note]]:
    if reading.kind == "kubernetes":
        found = stream.rendered(reading)
        return found.text(), found.notes
    agent, given, told = _elsewhere(reading)
    made = stream.Stream(notes=told)
    stream.put_in(made, fresh.deployment(given, reading.settings), agent, reading.settings)
    return made.text(), made.notes


def _compose(reading: Reading) -> tuple[str, list[Note]]:
    if reading.kind == "compose":
        check_compose(reading.first.roots[0])
        document = values(reading.first.roots[0])
        if compose.has_agent(document):
            return to_yaml(document, compose.remarks(document)), [_unchanged("the project")]
        agent = reading.agent()
        _all_there(agent, document["services"])
        compose.inject(document, agent, reading.settings)
        return to_yaml(document, compose.remarks(document)), list(notes.of_compose(agent, document["services"]))
    agent, given, told = _elsewhere(reading)
    document = compose.fresh(given, agent, reading.settings)
    return to_yaml(document, compose.remarks(document)), [*told, *notes.of_compose(agent, document["services"])]


def _eas(reading: Reading) -> tuple[str, list[Note]]:
    semantics = reading.semantics()
    if reading.kind == "eas":
        check_eas(reading.first.roots[0])
        document = values(reading.first.roots[0])
        if eas.has_agent(document):
            return eas.to_text(document), [_unchanged("the service")]
        agent = reading.agent()
        _all_there(agent, [server.name for server in servers.of_eas(document, eas.container_name)])
        eas.inject(document, agent, reading.settings, semantics)
        return eas.to_text(document), list(notes.of_eas(agent))
    agent, given, told = _elsewhere(reading)
    document = eas.fresh(given, agent, reading.settings, semantics)
    return eas.to_text(document), [*told, *notes.of_eas(agent)]


_MAKERS: Final[dict[Target, Callable[[Reading], tuple[str, list[Note]]]]] = {
    "kubernetes": _kubernetes,
    "compose": _compose,
    "eas": _eas,
}


def _unchanged(what: str) -> Note:
    return Note("W-RENDER-UNCHANGED", f"{what} has the agent already: left as it is")


def _all_there(agent: Agent, names: Collection[str]) -> None:
    for container in agent.config.containers:
        if container.name not in names:
            raise RenderError(f"{container.name} is none of {', '.join(names)}: containers are matched by name")


def _elsewhere(reading: Reading) -> tuple[Agent, list[Server], list[Note]]:
    """The agent and the servers of a document of another kind, and what is lost on their way."""
    agent = reading.agent()
    given = _servers(reading, agent)
    _all_there(agent, [server.name for server in given])
    return agent, given, [*fresh.with_images(given, reading.settings), *fresh.losses(given)]


_CHECKS: Final[dict[str, Callable[[Node], None]]] = {
    "eas": check_eas,
    "compose": check_compose,
    "kubernetes": check_object,
}


def _servers(reading: Reading, agent: Agent) -> list[Server]:
    roots = [item for root in reading.first.roots for item in stream.items(root)]
    if reading.kind in _CHECKS:
        for root in roots:
            _CHECKS[reading.kind](root)
    documents = [values(root) for root in roots]
    if reading.kind == "eas":
        return servers.of_eas(documents[0], eas.container_name)
    if reading.kind == "compose":
        return servers.of_compose(documents[0])
    if reading.kind == "kubernetes":
        return [server for document in documents for server in servers.of_kubernetes(document)]
    return [Server(name=one.name, ports=[one.port] if one.port else []) for one in agent.config.containers]
