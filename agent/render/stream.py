"""A stream of Kubernetes manifests with the agent in every workload that has probes; all else as it was."""

from collections.abc import Iterator
from typing import Any

import msgspec

from agent.config import ConfigError, Problem
from agent.config.tree import Node, below
from agent.render import kubernetes, notes
from agent.render.document import Agent
from agent.render.manifest import clean, containers_of, name_of, pod_of
from agent.render.options import Note, Settings
from agent.render.reading import Reading
from agent.render.remarks import made_names, remarks
from agent.render.shapes import check_object
from agent.render.trees import values
from agent.render.yaml_text import to_yaml


class Stream(msgspec.Struct):
    """What comes of a stream: documents in their order, each after what it needs."""

    documents: list[dict[str, Any]] = []
    notes: list[Note] = []

    def text(self) -> str:
        made = made_names(self.documents)
        return "---\n".join(to_yaml(document, remarks(document, made)) for document in self.documents)


def rendered(reading: Reading) -> Stream:
    """Every document of the stream, workloads with the agent. Raises ConfigError or RenderError."""
    stream, unused, found = Stream(), reading.over_names(), 0
    for node in (item for root in reading.first.roots for item in items(root)):
        check_object(node)
        document: dict[str, Any] = values(node)
        pod = pod_of(document) or {}
        here = frozenset(str(one.get("name")) for one in containers_of(pod))
        wanted = here & unused.keys() or any(map(kubernetes.has_probes, containers_of(pod)))
        unused = {name: at for name, at in unused.items() if name not in here}
        if kubernetes.has_agent(pod):
            stream.notes.append(Note("W-RENDER-UNCHANGED", f"{_called(document)} has the agent already: left as it is"))
        elif wanted:
            put_in(stream, document, reading.agent([node], here), reading.settings)
            found += 1
            continue
        clean(document)
        stream.documents.append(document)
    if unused:
        raise ConfigError(
            [Problem(at.file, at.line, at.path, f"no workload has a container '{name}'") for name, at in unused.items()]
        )
    if not found and not stream.notes:
        reading.agent()  # it says why there is nothing to render
    return stream


def put_in(stream: Stream, document: dict[str, Any], agent: Agent, settings: Settings) -> None:
    """The workload ``document`` with the agent in it, after what it needs."""
    name = f"{name_of(document)}-health"
    if any(made.get("metadata", {}).get("name") == name for made in stream.documents):
        name = f"{name_of(document)}-{str(document.get('kind')).lower()}-health"
    stream.notes += notes.of_workload(document, agent, name)
    stream.documents += kubernetes.inject(document, agent, settings, name)
    clean(document)
    stream.documents.append(document)


def _called(document: dict[str, Any]) -> str:
    return f"{document.get('kind')} {name_of(document)}"


def items(root: Node) -> Iterator[Node]:
    """A document, or the items of a List one by one, each a document by itself."""
    value = root.value if isinstance(root.value, dict) else {}
    kind = str(value["kind"].value) if "kind" in value else ""
    listed = value.get("items")
    if listed is None or not isinstance(listed.value, list) or not kind.endswith("List"):
        yield root
        return
    for item in listed.value:
        if isinstance(item.value, dict):
            for key, text in (("apiVersion", value["apiVersion"].value), ("kind", kind.removesuffix("List"))):
                item.value.setdefault(key, Node(text, item.file, item.line, below(item.path, key), text, "quoted"))
            yield from items(item)
