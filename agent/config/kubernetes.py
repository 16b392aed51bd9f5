"""Kubernetes manifests to a native tree: the probes of every container that keeps running, and what ends it."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from agent.config.decode import Decoder
from agent.config.kubernetes_container import Conversion
from agent.config.kubernetes_probe import PROBES
from agent.config.tree import Node, Over, below, items

_TEMPLATES: Final = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job")
_PODS: Final = {
    "Pod": "spec",
    **dict.fromkeys(_TEMPLATES, "spec.template.spec"),
    "CronJob": "spec.jobTemplate.spec.template.spec",
    "PodTemplate": "template.spec",
}
"""Kind of object to the place of its pod."""
_MAIN: Final = "containers"
_INIT: Final = "initContainers"
_EPHEMERAL: Final = "ephemeralContainers"


class _Pod(msgspec.Struct, frozen=True):
    """A pod that some object of the documents describes."""

    kind: str
    name: str
    spec: Node
    owners: tuple[tuple[str, str], ...]  # kind and name of each

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class _Found(msgspec.Struct, frozen=True):
    """A container with probes of its own, and the pod that it is in."""

    pod: _Pod
    native: Node

    @property
    def name(self) -> str:
        return _text(self.native.value.get("name"))


def native_tree(
    decoder: Decoder, documents: Sequence[Node], exec_in: str, listener: int, over: Over | None = None
) -> Node | None:
    """The native tree of all the pods; ``listener`` is the port that the agent itself listens on.

    None where nothing is left to probe and no other document is laid over it; that is reported.
    """
    before = len(decoder.problems)
    pods = _topmost([pod for document in documents for pod in _pods(decoder, document)])
    conversion = Conversion(decoder, exec_in, listener, over or {})
    found = [_Found(pod, native) for pod in pods for native in _containers(conversion, pod)]
    if not found and (over is None or not pods):
        if len(decoder.problems) == before:
            _nothing_left(decoder, documents, pods, asked=conversion.asked_agent)
        return None
    _warn_of_several(decoder, found)
    first = documents[0]
    return first.like({_MAIN: Node(_named(found), first.file, first.line, _MAIN)})


def _pods(decoder: Decoder, document: Node) -> Iterator[_Pod]:
    """The pods that an object describes, or each object of a List; other kinds describe none."""
    value = document.value if isinstance(document.value, dict) else {}
    kind = _text(value.get("kind"))
    if kind.endswith("List") and "items" in value:
        for item in items(value["items"]):
            if isinstance(item.value, dict) and "kind" not in item.value:  # as the API server itself lists things
                item.value["kind"] = document.like(kind.removesuffix("List"))
            yield from _pods(decoder, item)
    elif kind in _PODS:
        spec = document.at(_PODS[kind])
        if isinstance(spec.value, dict) and spec.path == below(document.path, _PODS[kind]):
            yield _Pod(kind, _name(document) or kind.lower(), spec, tuple(_owners(document)))
        else:
            decoder.report(document, "is missing, or no map: it describes the pod", _PODS[kind])


def _topmost(pods: Sequence[_Pod]) -> list[_Pod]:
    """The pods without those that another of them made: `kubectl get all` lists a Deployment's pods beside it."""
    known = {(pod.kind, pod.name) for pod in pods}
    return [pod for pod in pods if not any(owner in known and owner != (pod.kind, pod.name) for owner in pod.owners)]


def _owners(document: Node) -> Iterator[tuple[str, str]]:
    for owner in items(document.at("metadata.ownerReferences")):
        if isinstance(owner.value, dict):
            yield _text(owner.value.get("kind")), _text(owner.value.get("name"))


def _name(document: Node) -> str:
    return _text(document.at("metadata.name")) or _text(document.at("metadata.generateName")).rstrip("-")


def _text(node: Node | None) -> str:
    return node.value if node is not None and isinstance(node.value, str) else ""


def _containers(conversion: Conversion, pod: _Pod) -> Iterator[Node]:
    """The native containers of a pod: its ordinary ones, then the init containers that keep running."""
    groups = {key: _maps(conversion.decoder, pod.spec, key) for key in (_MAIN, _INIT, _EPHEMERAL)}
    running = groups[_MAIN] + [node for node in groups[_INIT] if _is_restartable(node)]
    for node in groups[_INIT]:
        if not _is_restartable(node):
            _refuse_probes(conversion.decoder, node, "an init container, unless its restartPolicy is Always")
    for node in groups[_EPHEMERAL]:
        _refuse_probes(conversion.decoder, node, "an ephemeral container")
    others, agent_ports = conversion.without_agents(running)
    for node in others:
        native = conversion.container(node, pod.spec, agent_ports)
        if native is not None:
            yield native


def _maps(decoder: Decoder, spec: Node, key: str) -> list[Node]:
    listed = spec.value.get(key)
    if listed is None or listed.value is None:
        return []
    if not isinstance(listed.value, list):
        decoder.report(listed, "expected a list of containers")
        return []
    for node in listed.value:
        if not isinstance(node.value, dict):
            decoder.report(node, "expected a container (a map)")
    return [node for node in listed.value if isinstance(node.value, dict)]


def _is_restartable(node: Node) -> bool:
    return _text(node.value.get("restartPolicy")) == "Always"


def _refuse_probes(decoder: Decoder, node: Node, whom: str) -> None:
    for key in PROBES:
        if key in node.value and node.value[key].value is not None:
            decoder.report(node.value[key], f"not allowed on {whom}")


def _nothing_left(decoder: Decoder, documents: Sequence[Node], pods: Sequence[_Pod], *, asked: bool) -> None:
    decoder.problems += decoder.warnings  # they say what was left out
    if not pods:
        kinds = ", ".join(dict.fromkeys(kind[:60] for document in documents for kind in _kinds(document)))
        found = f", but {kinds[:200]}" if kinds else ""
        message = f"no pod in here{found}: give what makes the pods ({', '.join(_PODS)}, or a List of them)"
        decoder.report(documents[0], message)
        return
    message = "no container has a livenessProbe, readinessProbe or startupProbe"
    if asked:
        message = "every probe asks the agent itself: give what the agent is to look at, its own configuration"
    spec = pods[0].spec
    decoder.report(spec.at(_MAIN), message)


def _kinds(document: Node) -> Iterator[str]:
    value = document.value if isinstance(document.value, dict) else {}
    if "items" in value:
        for item in items(value["items"]):
            yield from _kinds(item)
    elif _text(value.get("kind")):
        yield _text(value["kind"])


def _warn_of_several(decoder: Decoder, found: Sequence[_Found]) -> None:
    pods = list({id(one.pod): one.pod for one in found}.values())
    if len(pods) < 2:
        return
    names = ", ".join(str(pod) for pod in pods[:5]) + (", ..." if len(pods) > 5 else "")
    message = f"{len(pods)} pods ({names}): an agent is in one of them and looks around itself, at 127.0.0.1"
    decoder.warn(pods[1].spec, "W-KUBERNETES-PODS", message)


def _named(found: Sequence[_Found]) -> list[Node]:
    """The containers; those whose name another pod has too under their object's as well: `gateway.main`."""
    pods: dict[str, set[int]] = {}
    for one in found:
        pods.setdefault(one.name, set()).add(id(one.pod))
    return [_qualified(one) if one.name and len(pods[one.name]) > 1 else one.native for one in found]


def _qualified(one: _Found) -> Node:
    name = one.native.value["name"]
    value = f"{one.pod.name}.{one.name}"
    return one.native.like({**one.native.value, "name": Node(value, name.file, name.line, name.path, value, "literal")})
