"""Puts the agent into a Kubernetes workload: a container beside the server, whose probes point at it from then on."""

from collections.abc import Mapping
from math import ceil
from typing import Any, Final

from agent.core.model import CheckType
from agent.core.settings import Container
from agent.render import rights
from agent.render.document import Agent, acts
from agent.render.manifest import containers_of, merged, name_of, pod_of, template_of, user_of
from agent.render.options import RenderError, Settings
from agent.render.sidecar import CONFIG_FOLDER, NAME, is_agent, sidecar, volumes
from agent.render.windows import Window, windows
from agent.render.yaml_text import to_yaml

PROBES: Final = {
    CheckType.STARTUP: "startupProbe",
    CheckType.READINESS: "readinessProbe",
    CheckType.LIVENESS: "livenessProbe",
}
_LEADING: Final = (
    "terminationGracePeriodSeconds", "enableServiceLinks", "shareProcessNamespace", "serviceAccountName",
    "automountServiceAccountToken", "volumes", "initContainers",
)  # fmt: skip
_USUAL_GRACE: Final = 30  # seconds, Kubernetes' own
DEFAULT_CONTAINER: Final = "kubectl.kubernetes.io/default-container"


def has_agent(pod: Mapping[str, Any]) -> bool:
    return any(is_agent(container) for container in containers_of(pod))


def has_probes(container: Mapping[str, Any]) -> bool:
    return any(container.get(key) for key in PROBES.values())


def inject(document: dict[str, Any], agent: Agent, settings: Settings, name: str) -> list[dict[str, Any]]:
    """Put the agent into the workload ``document``; ``name`` is that of everything that is made beside it.

    Returns what must be there before the workload. Raises RenderError.
    """
    pod = pod_of(document)
    if pod is None or not pod.get("containers"):
        raise RenderError(f"the {document.get('kind')} {name_of(document)} has no containers: is it a whole manifest?")
    _refuse(document, pod, agent, settings)
    known = set(pod)
    metadata = {key: value for key, value in (document.get("metadata") or {}).items() if key == "namespace"}
    before = [_config_map(agent, name, metadata)]
    if rights.needs_token(agent):
        before += _account(document, pod, agent, name, metadata)
    token = rights.needs_token(agent) and pod.get("automountServiceAccountToken") is False
    user = _user(pod, agent)
    for container in containers_of(pod):
        spec = agent.container(str(container.get("name")))
        if spec is not None:
            point_at(container, spec, agent.port, merged=merged(document))
    _insert(document, pod, sidecar(agent, settings, name, user=user, token=token), agent, settings)
    pod["volumes"] = [*(pod.get("volumes") or []), *volumes(agent, name, token=token)]
    if agent.runtimes("process"):
        pod["shareProcessNamespace"] = True
    pod["enableServiceLinks"] = False
    _grant_grace(pod, agent)
    _lead(pod, known)
    return before


def _lead(pod: dict[str, Any], known: set[str]) -> None:
    """What is new stands before the containers, in its usual order, and not behind a page of them."""
    new: dict[str, Any] = {key: pod.pop(key) for key in _LEADING if key in pod and key not in known}
    first = next(key for key in pod if key in {"initContainers", "containers"})
    ordered: dict[str, Any] = {}
    for key in list(pod):
        if key == first:
            ordered |= new
        ordered[key] = pod.pop(key)
    pod |= ordered


def point_at(container: dict[str, Any], spec: Container, port: int, *, merged: bool) -> None:
    """The server's probes ask the agent; how long the kubelet gives the server to end stays its own.

    Where the manifest will be ``merged`` with the running object, what was there before is said to be gone.
    """
    wanted = windows(spec)
    for kind, key in PROBES.items():
        before = container.pop(key, None) or {}
        probe = _probe(wanted[kind], port, spec, kind) if kind in wanted else None
        if merged and before:
            container[key] = _instead(before, probe)
        elif kind in wanted:
            container[key] = probe


def _probe(window: Window, port: int, spec: Container, kind: CheckType) -> dict[str, Any]:
    probe: dict[str, Any] = {
        "httpGet": {"path": window.path, "port": port},
        "periodSeconds": window.period,
        "timeoutSeconds": window.timeout,
        "failureThreshold": window.failures,
    }
    graces = [check.termination_grace_period_seconds or 0 for check in spec.checks() if check.type is kind]
    if kind is not CheckType.READINESS and any(graces):
        probe["terminationGracePeriodSeconds"] = ceil(max(graces))
    return probe


def _instead(before: Any, after: Any) -> Any:
    """``after``, and null for what only ``before`` has: a merge takes that for an order to remove it."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return after
    kept = {key: _instead(before.get(key), value) for key, value in after.items()}
    return {**kept, **{key: None for key in before if key not in after}}


def _grant_grace(pod: dict[str, Any], agent: Agent) -> None:
    """Where the kubelet ends the server it gives it as long as the agent's document says."""
    graces = [one.restart.grace_period_seconds for one in agent.config.containers if one.restart.action_name == "none"]
    usual = pod.get("terminationGracePeriodSeconds", _USUAL_GRACE)
    if graces and max(graces) != usual:
        pod["terminationGracePeriodSeconds"] = ceil(max(graces))


def _refuse(document: Mapping[str, Any], pod: Mapping[str, Any], agent: Agent, settings: Settings) -> None:
    what = f"{document.get('kind')} {name_of(document)}"
    present = [*(pod.get("initContainers") or []), *(pod.get("containers") or [])]
    if any(one.get("name") == NAME for one in present):
        raise RenderError(f"{what} has a container named {NAME} that was not rendered: rename it, or take it out")
    if settings.sidecar == "container" and document.get("kind") in {"Job", "CronJob"}:
        raise RenderError(
            f"{what}: a plain second container would keep the job from ever ending: use --sidecar native "
            "(Kubernetes 1.29 and later)"
        )
    for folder in agent.folders:
        if folder == "/" or f"{CONFIG_FOLDER}/".startswith(f"{folder}/") or folder.startswith(f"{CONFIG_FOLDER}/"):
            raise RenderError(
                f"{what}: the agent is to write to {folder}, which is not its own: take /var/lib/health-agent/..."
            )
    for one in present:
        if any(port.get("containerPort") == agent.port for port in one.get("ports") or []):
            raise RenderError(
                f"{what}: port {agent.port} is taken by its container {one.get('name')}: give the agent another one "
                "with --port"
            )


def _config_map(agent: Agent, name: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, **metadata},
        "data": {"config.yaml": to_yaml(agent.document)},
    }


def _account(
    document: Mapping[str, Any], pod: dict[str, Any], agent: Agent, name: str, metadata: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The rights. A pod without an account of its own gets one, whose token is mounted into the agent alone."""
    account = pod.get("serviceAccountName") or name
    if account == name:
        pod.pop("serviceAccount", None)
        pod["serviceAccountName"] = name
        pod["automountServiceAccountToken"] = False
    lone = name_of(document) if document.get("kind") == "Pod" else None
    return rights.objects(agent, name, account, metadata, lone)


def _user(pod: Mapping[str, Any], agent: Agent) -> int | None:
    """The uid that the agent must share with a server to signal it; images run as root where nothing else is said."""
    for container in containers_of(pod):
        spec = agent.container(str(container.get("name")))
        if spec is not None and "signal" in acts(spec):
            return user_of(pod, container) or 0
    return None


def _insert(
    document: dict[str, Any], pod: dict[str, Any], added: dict[str, Any], agent: Agent, settings: Settings
) -> None:
    """Where it starts before whoever asks it, and no sooner: it counts from its own start how long a server takes."""
    if settings.sidecar == "container":
        servers = pod.get("containers") or []
        metadata = template_of(document).setdefault("metadata", {})
        metadata["annotations"] = {DEFAULT_CONTAINER: servers[0].get("name"), **(metadata.get("annotations") or {})}
        pod["containers"] = [added, *servers]
        return
    first = list(pod.get("initContainers") or [])
    asking = (at for at, one in enumerate(first) if agent.container(str(one.get("name"))) is not None)
    at = next(asking, len(first))
    pod["initContainers"] = [*first[:at], added, *first[at:]]
