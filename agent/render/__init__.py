"""Deployments with the agent beside the server, from a native document, a service.json, a manifest or Compose file."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from agent.config import Options, Problem, SourceRef
from agent.config.tree import Node
from agent.render import compose, eas, fresh, notes, servers, stream
from agent.render.document import Agent, beside
from agent.render.manifest import name_of, owner_of, pod_of
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
    if settings.name and target == "compose":
        raise RenderError("--name is not for Compose: `docker compose -p NAME` names the project")
    if settings.name and reading.kind == target:
        raise RenderError(f"--name is for what has none yet: {reading.first.kind.title} has its own")
    if settings.name is None and reading.kind == "eas":
        said = reading.first.roots[0].at("metadata.name").value
        reading.settings = replace(settings, name=said if isinstance(said, str) else None)
    text, told = _MAKERS[target](reading)
    warnings = [one for one in dict.fromkeys(reading.warnings) if not (target == "compose" and _joined(one))]
    return Rendered(text, warnings, told)


def _joined(warning: Problem) -> bool:
    """A network that the agent is put into: the document did not have it there yet."""
    return warning.code == "W-COMPOSE-NETWORK" and "network_mode host" in warning.message


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
        _all_there(reading, agent, document["services"])
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
        _all_there(reading, agent, [server.name for server in servers.of_eas(document, eas.container_name)])
        eas.inject(document, agent, reading.settings, semantics)
        return eas.to_text(document), list(notes.of_eas(agent))
    agent, given, told = _elsewhere(reading)
    document = eas.fresh(given, agent, reading.settings, semantics)
    return eas.to_text(document), [*told, *eas.told_of(given), *notes.of_eas(agent)]


_MAKERS: Final[dict[Target, Callable[[Reading], tuple[str, list[Note]]]]] = {
    "kubernetes": _kubernetes,
    "compose": _compose,
    "eas": _eas,
}


def _unchanged(what: str) -> Note:
    return Note("W-RENDER-UNCHANGED", f"{what} has the agent already: left as it is")


def _all_there(reading: Reading, agent: Agent, names: Collection[str]) -> None:
    said = "containers are matched by name"
    if reading.kind == "compose" and "include" in reading.first.roots[0].value:
        said = "what stands in included files is rendered as one, docker compose config > whole.yaml"
    for container in agent.config.containers:
        if container.name not in names:
            raise RenderError(f"{container.name} is none of {', '.join(names)}: {said}")


def _elsewhere(reading: Reading) -> tuple[Agent, list[Server], list[Note]]:
    """The agent and the servers of a document of another kind, and what is lost on their way."""
    agent = reading.agent()
    given, lost = _servers(reading, agent)
    _all_there(reading, agent, [server.name for server in given])
    if reading.kind == "compose":
        beside(agent, {server.name for server in given})
    return agent, given, [*fresh.with_images(given, reading.settings), *fresh.losses(given), *lost]


_CHECKS: Final[dict[str, Callable[[Node], None]]] = {
    "eas": check_eas,
    "compose": check_compose,
    "kubernetes": check_object,
}


def _servers(reading: Reading, agent: Agent) -> tuple[list[Server], list[Note]]:
    """The servers of a document, and what it holds beside them that goes nowhere. Raises RenderError."""
    roots = [item for root in reading.first.roots for item in stream.items(root)]
    if reading.kind in _CHECKS:
        for root in roots:
            _CHECKS[reading.kind](root)
    documents = [values(root) for root in roots]
    if reading.kind == "eas":
        return servers.of_eas(documents[0], eas.container_name), []
    if reading.kind == "compose":
        return servers.of_compose(documents[0]), []
    if reading.kind == "kubernetes":
        return _of_stream(documents)
    return [Server(name=one.name, ports=[one.port] if one.port else []) for one in agent.config.containers], []


def _of_stream(documents: Sequence[Mapping[str, Any]]) -> tuple[list[Server], list[Note]]:
    """The servers of all workloads but those that another of them has made, which `kubectl get all` lists as well."""
    found: dict[str, tuple[str, Server]] = {}
    others = []
    names = [f"{document.get('kind')} {name_of(document)}" for document in documents]
    for called, document in zip(names, documents, strict=True):
        if owner_of(document) in names:
            continue
        if pod_of(document) is None:
            others.append(called)
        for server in servers.of_kubernetes(document):
            if server.name in found:
                both = f"{found[server.name][0]} and {called}"
                raise RenderError(f"{both} both have a container {server.name}: render them one by one")
            found[server.name] = (called, server)
    lost = [Note("W-RENDER-LEFT-OUT", f"not carried over: {', '.join(others)}")] if others else []
    return [server for _, server in found.values()], lost
