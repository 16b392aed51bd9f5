"""Kubernetes manifests as plain maps: where the pods of a workload are, and what only a cluster writes into them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

_POD: Final = ("spec",)
_TEMPLATE: Final = ("spec", "template", "spec")
_TEMPLATED: Final = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job")
PLACES: Final[dict[str, tuple[str, ...]]] = {
    "Pod": _POD,
    **dict.fromkeys(_TEMPLATED, _TEMPLATE),
    "CronJob": ("spec", "jobTemplate", *_TEMPLATE),
    "PodTemplate": ("template", "spec"),
}
"""Kind of workload to the path of its pod's spec."""

_SERVERS_METADATA: Final = (
    "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generateName", "generation",
    "managedFields", "ownerReferences", "resourceVersion", "selfLink", "uid",
)  # fmt: skip
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_SERVERS_ANNOTATIONS: Final = (
    _LAST_APPLIED,
    "deployment.kubernetes.io/revision",
    "deprecated.daemonset.template.generation",
    "batch.kubernetes.io/job-tracking",
)
_SERVERS_LABELS: Final = (
    "controller-uid", "batch.kubernetes.io/controller-uid", "job-name", "batch.kubernetes.io/job-name",
    "pod-template-hash", "controller-revision-hash", "pod-template-generation",
    "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index",
)  # fmt: skip
_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
_RELEASE: Final = "meta.helm.sh/release-name"
_ADDED_TOLERATIONS: Final = [
    {"effect": "NoExecute", "key": f"node.kubernetes.io/{what}", "operator": "Exists", "tolerationSeconds": 300}
    for what in ("not-ready", "unreachable")
]
_TOKEN_VOLUME: Final = re.compile(r"kube-api-access-[a-z0-9]{5}")
_OLD_TOKEN: Final = re.compile(r".+-token-[a-z0-9]{5}")


def pod_of(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """The pod's spec within a workload; None for what is no workload, or has none."""
    return found_at(document, PLACES.get(str(document.get("kind")), ("",)))


def template_of(document: dict[str, Any]) -> dict[str, Any]:
    """What holds the pod's spec: the document itself, or its pod template."""
    return found_at(document, PLACES[document["kind"]][:-1]) or document


def containers_of(pod: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every container of a pod that may have probes, in the order in which they start."""
    yield from (one for one in pod.get("initContainers") or [] if one.get("restartPolicy") == "Always")
    yield from pod.get("containers") or []


def user_of(pod: Mapping[str, Any], container: Mapping[str, Any]) -> int | None:
    """The uid that a container is told to run as; None where its image decides."""
    said = {**(pod.get("securityContext") or {}), **(container.get("securityContext") or {})}
    user = said.get("runAsUser")
    return user if isinstance(user, int) else None


def found_at(value: Any, path: tuple[str, ...]) -> dict[str, Any] | None:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else None


def name_of(document: Mapping[str, Any]) -> str:
    metadata = document.get("metadata")
    told = metadata if isinstance(metadata, dict) else {}
    return str(told.get("name") or str(told.get("generateName") or "").rstrip("-") or "model")


def owner_of(document: Mapping[str, Any]) -> str:
    """Who made this, as `Kind name`, where a controller did and would make it again without what is added here."""
    metadata = document.get("metadata")
    told = metadata if isinstance(metadata, dict) else {}
    owners = told.get("ownerReferences") or []
    owner = next((f"{one.get('kind')} {one.get('name')}" for one in owners if one.get("controller")), "")
    if not owner and (told.get("labels") or {}).get(_MANAGED_BY) == "Helm":
        return f"Helm's release {(told.get('annotations') or {}).get(_RELEASE, '')}".rstrip()
    return owner


def merged(document: Mapping[str, Any]) -> bool:
    """Whether `kubectl apply` would keep what a new manifest does not say: this object runs, and was made otherwise."""
    metadata = document.get("metadata")
    told = metadata if isinstance(metadata, dict) else {}
    return "uid" in told and _LAST_APPLIED not in (told.get("annotations") or {})


def clean(document: dict[str, Any]) -> None:
    """Take out what `kubectl get` shows beyond what was ever applied, so that it can be applied again."""
    document.pop("status", None)
    _clean_metadata(document)
    spec = document.get("spec")
    if not isinstance(spec, dict):
        return
    if document.get("kind") == "Job" and not spec.get("manualSelector"):
        spec.pop("selector", None)
    for key in _SERVERS_LABELS:
        (found_at(spec, ("selector", "matchLabels")) or {}).pop(key, None)
    for claim in spec.get("volumeClaimTemplates") or []:
        clean(claim)
    for path in (("jobTemplate",), ("template",), ("jobTemplate", "spec", "template")):
        template = found_at(spec, path)
        if template is not None:
            _clean_metadata(template)
    if document.get("kind") == "Pod":
        _clean_pod(spec)


def _clean_metadata(document: dict[str, Any]) -> None:
    metadata = document.get("metadata")
    if not isinstance(metadata, dict):
        return
    for key in _SERVERS_METADATA:
        if key != "generateName" or metadata.get("name"):
            metadata.pop(key, None)
    for part, keys in (("annotations", _SERVERS_ANNOTATIONS), ("labels", _SERVERS_LABELS)):
        if isinstance(metadata.get(part), dict):
            for key in keys:
                metadata[part].pop(key, None)
            if not metadata[part]:
                del metadata[part]
    if not metadata and "spec" in document:
        del document["metadata"]


def _clean_pod(spec: dict[str, Any]) -> None:
    """What admission and the scheduler write into a pod that runs."""
    for key in ("nodeName", "ephemeralContainers", "priority", "preemptionPolicy"):
        spec.pop(key, None)
    if spec.get("serviceAccountName") == "default":
        del spec["serviceAccountName"]
    spec.pop("serviceAccount", None)  # the old spelling of serviceAccountName, which stands beside it
    _keep(spec, "tolerations", [one for one in spec.get("tolerations") or [] if one not in _ADDED_TOLERATIONS])
    volumes = spec.get("volumes") or []
    tokens = {volume["name"] for volume in volumes if _is_token(volume)}
    _keep(spec, "volumes", [volume for volume in volumes if volume.get("name") not in tokens])
    for container in (*(spec.get("initContainers") or []), *(spec.get("containers") or [])):
        mounts = container.get("volumeMounts") or []
        _keep(container, "volumeMounts", [mount for mount in mounts if mount.get("name") not in tokens])


def _is_token(volume: dict[str, Any]) -> bool:
    """A service account's token, mounted by admission: of today, or of Kubernetes before 1.21."""
    name = str(volume.get("name"))
    if _TOKEN_VOLUME.fullmatch(name):
        return "projected" in volume
    secret = volume.get("secret")
    return isinstance(secret, dict) and secret.get("secretName") == name and _OLD_TOKEN.fullmatch(name) is not None


def _keep(holder: dict[str, Any], key: str, items: list[Any]) -> None:
    """The items that stay; none: no key."""
    if items:
        holder[key] = items
    else:
        holder.pop(key, None)
