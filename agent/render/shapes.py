"""As much of foreign documents' shapes as is relied on here: where there must be a map or a list, if anything."""

from typing import Any, Final

from agent.config import ConfigError, Problem
from agent.config.tree import Node
from agent.render.manifest import PLACES

ANY_MAP: Final[dict[str, Any]] = {}
_METADATA: Final = {"annotations": ANY_MAP, "labels": ANY_MAP, "ownerReferences": [ANY_MAP]}
_PROBE: Final = {"httpGet": ANY_MAP}
_CONTAINER: Final = {
    "env": [{"valueFrom": {"secretKeyRef": ANY_MAP}}],
    "ports": [ANY_MAP],
    "volumeMounts": [ANY_MAP],
    "securityContext": ANY_MAP,
    "startupProbe": _PROBE,
    "readinessProbe": _PROBE,
    "livenessProbe": _PROBE,
}
_POD: Final = {
    "containers": [_CONTAINER],
    "initContainers": [_CONTAINER],
    "volumes": [{"configMap": ANY_MAP, "secret": ANY_MAP}],
    "tolerations": [ANY_MAP],
    "securityContext": ANY_MAP,
}
_OBJECT: Final = {"metadata": _METADATA}
_EAS: Final = {"metadata": ANY_MAP, "containers": [{"env": [ANY_MAP]}]}
_SERVICE: Final = {"environment": (ANY_MAP, [...]), "networks": (ANY_MAP, [...]), "ports": [...], "expose": [...]}
_COMPOSE: Final = {"services": {"*": _SERVICE}, "volumes": ANY_MAP}


def check_object(node: Node) -> None:
    """A Kubernetes object. Raises ConfigError."""
    kind = str(node.value["kind"].value) if isinstance(node.value, dict) and "kind" in node.value else ""
    _check(node, {**_OBJECT, "spec": _spec(PLACES[kind][1:])} if kind in PLACES else _OBJECT)


def check_eas(node: Node) -> None:
    _check(node, _EAS)


def check_compose(node: Node) -> None:
    _check(node, _COMPOSE)


def _spec(path: tuple[str, ...]) -> dict[str, Any]:
    """The shape of a workload's spec, in which its pod's spec is at ``path``."""
    if not path:
        return _POD
    claims = {"volumeClaimTemplates": [_OBJECT], "selector": {"matchLabels": ANY_MAP}}
    return {**claims, "metadata": _METADATA, path[0]: _spec(path[1:])}


def _check(node: Node, shape: Any) -> None:
    problems: list[Problem] = []
    _look(node, shape, problems)
    if problems:
        raise ConfigError(problems)


def _look(node: Node, shape: Any, problems: list[Problem], *, item: bool = False) -> None:
    """A dict is a map of these keys' shapes (`*`: all keys'), a list a list of one, a tuple either, `...` anything."""
    if shape is ... or (node.value is None and not item):
        return
    if isinstance(shape, tuple):
        shape = next((one for one in shape if isinstance(node.value, type(one))), shape[0])
    if not isinstance(node.value, type(shape)):
        what = "a list" if isinstance(shape, list) else "a map"
        problems.append(Problem(node.file, node.line, node.path, f"expected {what}"))
    elif isinstance(node.value, list):
        for child in node.value:
            _look(child, shape[0], problems, item=True)
    else:
        for key, child in node.value.items():
            _look(child, shape.get(key, shape.get("*", ...)), problems)
