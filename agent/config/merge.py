"""Several documents to one: field by field, later over earlier, containers by name."""

from typing import Any, Final

from agent.config.choices import CHECKS
from agent.config.tree import Node

_ONE_OF: Final = frozenset({"action", "runtime", "pre_restart", "post_restart", "on_transition", "on_give_up"})


def merged(base: Node, over: Node, key: str = "") -> Node:
    """``over`` laid over ``base``; every value keeps the place it came from. Neither is changed."""
    if key == "containers" and isinstance(base.value, list) and isinstance(over.value, list):
        return _copy(base, _containers(base.value, over.value))
    if not isinstance(base.value, dict) or not isinstance(over.value, dict):
        return over
    value = _without_rivals(base.value, over.value, key)
    for name, child in over.value.items():
        value[name] = merged(value[name], child, name) if name in value else child
    return _copy(base, value)


def _without_rivals(base: dict[str, Node], over: dict[str, Node], key: str) -> dict[str, Node]:
    """What stays of a map that holds one kind of several, where ``over`` names another kind."""
    if key in _ONE_OF and over:
        return {name: child for name, child in base.items() if name in over}
    if key.endswith("_check") and any(CHECKS.holds(name) for name in over):
        return {name: child for name, child in base.items() if name in over or not CHECKS.holds(name)}
    return dict(base)


def _containers(base: list[Node], over: list[Node]) -> list[Node]:
    found = list(base)
    for container in over:
        name = _name(container)
        at = next((at for at, one in enumerate(base) if name is not None and _name(one) == name), None)
        if at is None:
            found.append(container)
        else:
            found[at] = merged(base[at], container)
    return found


def _name(container: Node) -> Any:
    name = container.value.get("name") if isinstance(container.value, dict) else None
    return name.value if name is not None and isinstance(name.value, str) else None


def _copy(node: Node, value: Any) -> Node:
    return Node(value, node.file, node.line, node.path)
