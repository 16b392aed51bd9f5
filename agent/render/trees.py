"""Parsed documents as plain maps and lists that are written again as they were: only odd words remember their style."""

import re
from collections.abc import Callable
from typing import Any, Final

from agent.config import Loaded
from agent.config.expand import is_reference
from agent.config.tree import Node
from agent.render.options import RenderError
from agent.render.yaml_text import Plain, is_odd


def values(node: Node) -> Any:
    """The tree as dicts, lists and scalars, references unexpanded."""
    return _converted(node, _word)


def native(loaded: Loaded) -> Any:
    """The same of what becomes a native document.

    What looks like a reference and is none stays none, and Compose's references become the agent's own.
    """
    if loaded.kind != "compose":
        return _converted(loaded.tree, _of_others)
    return _converted(loaded.tree, lambda node: _of_compose(node, loaded.unexpanded))


def _converted(node: Node, word: Callable[[Node], str]) -> Any:
    if isinstance(node.value, dict):
        return {key: _converted(child, word) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [_converted(child, word) for child in node.value]
    return word(node) if isinstance(node.value, str) else node.value


def _word(node: Node) -> str:
    text: str = node.value
    # `0400` is a number to Kubernetes, an unquoted `${PORT}` one to the agent.
    plain = node.style == "plain" and (is_odd(text) or is_reference(text))
    return Plain(text) if plain else text


def _of_others(node: Node) -> str:
    return node.value.replace("${", "$${") if node.style == "literal" else _word(node)


_COMPOSE: Final = re.compile(
    r"\$\$|\$([A-Za-z_][A-Za-z0-9_]*)|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::?-([^${}]*)|:?\?[^{}]*)?\}"
)
_SPLIT: Final = re.compile(r".*\.command\[[0-9]+\]")


def _of_compose(node: Node, unexpanded: Callable[[str], str]) -> str:
    if node.style not in {"literal", "settled"}:
        return _word(node)
    if "$" not in node.raw:  # the words of a command in one string have lost how they were written
        return unexpanded(_of_others(node)) if _SPLIT.fullmatch(node.path) else _of_others(node)
    text, at = "", 0
    for found in _COMPOSE.finditer(node.raw):
        text += node.raw[at : found.start()]
        at = found.end()
        name, default = found[1] or found[2], found[3]
        if name is None:
            text += "$$" if node.raw[at : at + 1] == "{" else "$"
        else:
            text += f"${{{name}}}" if default is None else f"${{{name}:-{default}}}"
    text += node.raw[at:]
    if "${" in _COMPOSE.sub("", node.raw):
        raise RenderError(
            f"{node.file}:{node.line}: {node.path}: the agent knows ${{NAME}} and ${{NAME:-default}} only"
        )
    return Plain(text) if node.style == "settled" and is_reference(text) else text
