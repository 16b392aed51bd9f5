"""The comments of a manifest with the agent in it: they follow from what it holds, so that they come back with it."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from agent.render.kubernetes import PROBES
from agent.render.manifest import PLACES, containers_of, pod_of
from agent.render.sidecar import CONFIG_VOLUME, TOKEN_VOLUME, is_agent
from agent.render.yaml_text import Path

_KINDS: Final = {"initContainers": "native", "containers": "plain"}
_PLACED: Final = {
    "native": (
        "The health agent, a native sidecar (Kubernetes 1.29 or later): it starts before the server may, answers the",
        "kubelet from memory, and ends after it.",
    ),
    "plain": (
        "The health agent, first of the containers: their images are pulled in this order, and it has to answer before",
        "the server's probes give up.",
    ),
}
_CONFIG: Final = (
    "What the agent checks. It follows changes; after one of a startup check render again, since the server's",
    "startupProbe has to outlast it.",
)
_OWN_HEALTH: Final = (
    "Its own health only: it must start before the server may, and a sick server is no reason to restart it.",
)
_ASKS: Final = (
    "The kubelet asks the agent. The windows leave it time to load, to die and to come back without the server",
    "paying for it.",
)
_LINKS: Final = ("A Service named like the agent would set variables that look like its settings.",)
_SHARED: Final = ("One process namespace: the agent sees the server's processes.",)
_TOKEN: Final = ("The token of the pod's account, for the agent alone.",)
_EXEC: Final = ("For exec checks in the server's container. Who may do this may run anything in the pods it covers.",)


def remarks(document: Mapping[str, Any], made: frozenset[str]) -> dict[Path, tuple[str, ...]]:
    """Path to comment; ``made`` are the names of what `render` has put beside workloads."""
    return dict(_of_workload(document) if pod_of(document) is not None else _of_object(document, made))


def _of_workload(document: Mapping[str, Any]) -> Iterator[tuple[Path, tuple[str, ...]]]:
    pod = pod_of(document) or {}
    if not any(map(is_agent, containers_of(pod))):
        return
    at: Path = PLACES[document["kind"]]
    for key, placed in _KINDS.items():
        for index, container in enumerate(pod.get(key) or []):
            if is_agent(container):
                yield (*at, key, index), _PLACED[placed]
                yield (*at, key, index, "startupProbe"), _OWN_HEALTH
                yield from (((*at, key, index, "env", number), text) for number, text in _secrets(container))
            else:
                first = next((probe for probe in container if probe in PROBES.values() and _asks(container[probe])), "")
                if first:
                    yield (*at, key, index, first), _ASKS
    for index, volume in enumerate(pod.get("volumes") or []):
        if volume.get("name") == TOKEN_VOLUME:
            yield (*at, "volumes", index), _TOKEN
    if pod.get("enableServiceLinks") is False:
        yield (*at, "enableServiceLinks"), _LINKS
    if pod.get("shareProcessNamespace") is True:
        yield (*at, "shareProcessNamespace"), _SHARED


def _secrets(container: Mapping[str, Any]) -> Iterator[tuple[int, tuple[str, ...]]]:
    for number, variable in enumerate(container.get("env") or []):
        key = (variable.get("valueFrom") or {}).get("secretKeyRef") or {}
        if key.get("optional"):
            command = f"kubectl create secret generic {key.get('name')} --from-literal={key.get('key')}=..."
            yield number, (command, "Without it the agent says what is missing, and the server runs all the same.")
            return


def _asks(probe: Any) -> bool:
    path = (probe or {}).get("httpGet", {}).get("path", "")
    return str(path).startswith(("/startupz/", "/ready/", "/healthz/"))


def _of_object(document: Mapping[str, Any], made: frozenset[str]) -> Iterator[tuple[Path, tuple[str, ...]]]:
    if (document.get("metadata") or {}).get("name") not in made:
        return
    if document.get("kind") == "ConfigMap":
        yield ("data",), _CONFIG
    for index, rule in enumerate(document.get("rules") or []):
        if "pods/exec" in (rule.get("resources") or []):
            yield ("rules", index), _EXEC


def made_names(documents: list[dict[str, Any]]) -> frozenset[str]:
    """The ConfigMaps that the agents of these workloads mount: everything made with one bears its name."""
    return frozenset(
        str((volume.get("configMap") or {}).get("name"))
        for document in documents
        for volume in (pod_of(document) or {}).get("volumes") or []
        if volume.get("name") == CONFIG_VOLUME
    )
