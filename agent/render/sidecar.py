"""The agent as a container of a pod: its own health only, no privileges, and what its document asks for beside it."""

from collections.abc import Mapping
from typing import Any, Final

from agent.render.document import Agent
from agent.render.options import Settings

NAME: Final = "health-agent"
PORT_VARIABLE: Final = "HEALTH_AGENT_SERVER__PORT"
CONFIG_FOLDER: Final = "/etc/health-agent"
CONFIG_VOLUME: Final = "health-agent-config"
TOKEN_VOLUME: Final = "health-agent-token"  # noqa: S105  (a volume's name)
TOKEN_FOLDER: Final = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105
ARGUMENTS: Final = ("run", "--serve-on-config-error")
GPUS: Final = {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "utility"}
"""What NVIDIA's container runtime needs to show a container the driver; a device of its own the agent must not take."""

_DOWNWARD: Final = {
    "POD_IP": "status.podIP",
    "POD_NAME": "metadata.name",
    "POD_NAMESPACE": "metadata.namespace",
    "NODE_NAME": "spec.nodeName",
    "HOST_IP": "status.hostIP",
}
"""What Kubernetes itself can tell a container, by the names that people give it."""


def is_agent(container: Mapping[str, Any]) -> bool:
    """Whether `render` has been here: a container that is told the agent's port, and to serve whatever comes.

    A server may know the port as well, for `health-agent healthcheck`.
    """
    told = any(isinstance(one, dict) and one.get("name") == PORT_VARIABLE for one in container.get("env") or [])
    return told and serves(container.get("command"), container.get("args"))


def serves(*commands: Any) -> bool:
    """Whether a command, in words or in one string, is that of a rendered agent."""
    return any(ARGUMENTS[-1] in command for command in commands if isinstance(command, list | str))


def sidecar(agent: Agent, settings: Settings, secret: str, *, user: int | None, token: bool) -> dict[str, Any]:
    """The container. ``secret`` names the Secret that holds the document's variables; ``user`` is the server's uid
    where it has to be the agent's too; ``token`` mounts the service account, into this container alone.
    """
    container: dict[str, Any] = {"name": NAME, "image": settings.image}
    if settings.sidecar == "native":
        container["restartPolicy"] = "Always"
    container["args"] = [*ARGUMENTS, "--watch-config"]
    container["env"] = _environment(agent, secret)
    container["ports"] = [{"name": NAME, "containerPort": agent.port}]
    container["volumeMounts"] = _mounts(agent, token=token)
    container["startupProbe"] = {"httpGet": _healthy(agent), "periodSeconds": 1, "failureThreshold": 60}
    container["livenessProbe"] = {
        "httpGet": _healthy(agent), "periodSeconds": 5, "failureThreshold": 2, "terminationGracePeriodSeconds": 5,
    }  # fmt: skip
    container["resources"] = {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}}
    container["securityContext"] = _security(user)
    return container


def volumes(agent: Agent, config_map: str, *, token: bool) -> list[dict[str, Any]]:
    """What the container mounts."""
    found: list[dict[str, Any]] = [{"name": CONFIG_VOLUME, "configMap": {"name": config_map}}]
    found += [{"name": _folder_volume(at), "emptyDir": {}} for at in range(len(agent.folders))]
    if token:
        sources: list[dict[str, Any]] = [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
        ]
        found.append({"name": TOKEN_VOLUME, "projected": {"sources": sources}})
    return found


def secret_variables(agent: Agent) -> list[str]:
    """The document's variables that Kubernetes itself can't tell."""
    return [name for name in agent.variables if name not in _DOWNWARD]


def _environment(agent: Agent, secret: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"name": PORT_VARIABLE, "value": str(agent.port)}]
    told = [name for name in agent.variables if name in _DOWNWARD]
    if agent.runtimes("kubernetes") and "POD_NAME" not in told:
        told.append("POD_NAME")
    found += [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": _DOWNWARD[name]}}} for name in told]
    found += [{"name": name, "value": value} for name, value in GPUS.items() if agent.gpus]
    for name in secret_variables(agent):
        # Optional: without it the agent says that its configuration is wrong, and the server runs all the same.
        found.append({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": name, "optional": True}}})
    return found


def _mounts(agent: Agent, *, token: bool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"name": CONFIG_VOLUME, "mountPath": CONFIG_FOLDER, "readOnly": True}]
    found += [{"name": _folder_volume(at), "mountPath": path} for at, path in enumerate(agent.folders)]
    if token:
        found.append({"name": TOKEN_VOLUME, "mountPath": TOKEN_FOLDER, "readOnly": True})
    return found


def _folder_volume(number: int) -> str:
    return f"health-agent-state{f'-{number + 1}' if number else ''}"


def _healthy(agent: Agent) -> dict[str, Any]:
    return {"path": "/-/healthy", "port": agent.port}


def _security(user: int | None) -> dict[str, Any]:
    own = {} if user is None else {"runAsUser": user}
    return {
        **own,
        "runAsNonRoot": user != 0,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
