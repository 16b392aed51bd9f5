"""What Kubernetes' own schemas say of a manifest, and what the agent makes of the configuration in it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import kubernetes_validate
import yaml

from agent.config import Options, SourceRef, load
from agent.core.settings import Config

NEWEST = "1.37"
NATIVE_SIDECARS = "1.29"
OWN_KINDS = frozenset({"PodMonitor", "PrometheusRule", "Kustomization", "Component"})
"""Kinds that come with an operator, or are no objects: nobody has a schema for them here."""

Manifest = Mapping[str, Any]


def stream(text: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(text) if document]


def assert_valid(documents: Sequence[Manifest], *versions: str) -> None:
    """By the schemas of these versions: no unknown key, no wrong type."""
    for document in documents:
        if document["kind"] not in OWN_KINDS:
            for version in versions:
                kubernetes_validate.validate(dict(document), version, strict=True)


def of_kind(kind: str, documents: Sequence[Manifest]) -> Any:
    (found,) = [document for document in documents if document["kind"] == kind]
    return found


def pod_of(documents: Sequence[Manifest]) -> dict[str, Any]:
    spec: dict[str, Any] = of_kind("Deployment", documents)["spec"]["template"]["spec"]
    return spec


def agent_of(pod: Manifest) -> dict[str, Any]:
    (found,) = [one for one in [*pod.get("initContainers", []), *pod["containers"]] if one["name"] == "health-agent"]
    return dict(found)


def configured(documents: Sequence[Manifest]) -> Config:
    """What the agent makes of the ConfigMap that its pod mounts."""
    (volume,) = [one for one in pod_of(documents)["volumes"] if one["name"] == "health-agent-config"]
    (found,) = [one for one in documents if one["kind"] == "ConfigMap" and _named(one, volume["configMap"]["name"])]
    source = SourceRef("config.yaml", content=found["data"]["config.yaml"].encode())
    return load([source], {}, Options(keep_unset=True)).config


def probes(documents: Sequence[Manifest]) -> dict[str, dict[str, Any]]:
    """The servers' probes, by container."""
    keys = ("startupProbe", "readinessProbe", "livenessProbe")
    return {
        one["name"]: {key: one[key] for key in keys if key in one}
        for one in pod_of(documents)["containers"]
        if one["name"] != "health-agent"
    }


def _named(document: Manifest, name: str) -> bool:
    return bool(document["metadata"]["name"] == name)


def names(documents: Sequence[Manifest]) -> Iterator[str]:
    return (f"{document['kind']} {document['metadata']['name']}" for document in documents)
