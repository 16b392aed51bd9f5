"""What an agent may ask of the API server: a Role for just that, bound to the pod's own service account."""

from collections.abc import Mapping
from typing import Any, Final

from agent.render.document import Agent, acts

_OF_ACTION: Final = {"evict": ("pods/eviction", ["create"]), "delete": ("pods", ["get", "delete"])}


def needs_token(agent: Agent) -> bool:
    """Whether anything in the document goes through the API server."""
    return bool(agent.runtimes("kubernetes"))


def rules(agent: Agent) -> list[dict[str, Any]]:
    """The least that the document needs: reading pods, and each verb that one of its containers uses."""
    wanted: dict[str, list[str]] = {"pods": ["get"]}
    if agent.runs_inside():
        wanted["pods/exec"] = ["get", "create"]  # a websocket begins with a GET; 1.35 asks for create as well
    for container in agent.config.containers:
        action = acts(container).get("kubernetes")
        if action is not None:
            resource, verbs = _OF_ACTION[action.method]
            wanted[resource] = verbs
    return [{"apiGroups": [""], "resources": [resource], "verbs": verbs} for resource, verbs in wanted.items()]


def objects(
    agent: Agent, name: str, account: str, metadata: Mapping[str, Any], pod: str | None
) -> list[dict[str, Any]]:
    """The Role ``name`` and its binding to ``account``, and that account where it is ours (of the same name).

    ``metadata`` holds the namespace, where there is one: a binding looks for its account in its own. A lone ``pod`` is
    known by name, and no right goes beyond it.
    """
    group = "rbac.authorization.k8s.io"
    meta = {"name": name, **metadata}
    named = [{**rule, "resourceNames": [pod]} for rule in rules(agent)] if pod else rules(agent)
    own = [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}] if account == name else []
    return [
        *own,
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": meta, "rules": named},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": account}],
        },
    ]
