"""A parsed document as a tree of values that each know the file, line and path they came from."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import msgspec

MAX_DEPTH: Final = 64
MAX_NODES: Final = 20_000  # read, checked and complained of within a second

Style = Literal["plain", "quoted", "loose", "literal", "settled"]


class Node(msgspec.Struct):
    """One value: a dict of nodes, a list of nodes, or a scalar.

    ``raw`` is a scalar's text as it was written. ``style`` tells how: ``plain`` (YAML decides the type), ``quoted`` (a
    string), ``loose`` (an environment variable's text, which becomes whatever type is wanted), ``literal`` (a
    string in which nothing is expanded, or nothing any more) or ``settled`` (both of the last two).
    """

    value: Any
    file: str
    line: int
    path: str = ""
    raw: str = ""
    style: Style = "plain"

    def children(self) -> "Iterator[tuple[str, Node]]":
        """Each child with the step that leads to it: `.key` or `[3]`."""
        if isinstance(self.value, dict):
            yield from ((f".{key}", child) for key, child in self.value.items())
        elif isinstance(self.value, list):
            yield from ((f"[{at}]", child) for at, child in enumerate(self.value))

    def at(self, path: str) -> "Node":
        """The node at a dotted path below this one, or the nearest one on the way to it."""
        return self.reached(path)[0]

    def written(self, path: str) -> str:
        """The path, as the document spells it, of what is or would be at ``path`` below this node."""
        here, rest = self.reached(path)
        return here.path + rest if here.path else rest.removeprefix(".")

    def reached(self, path: str) -> "tuple[Node, str]":
        """As `at`, beside what is left of the path."""
        here, rest = self, path if path.startswith("[") else f".{path}"
        while rest:
            for step, child in here.children():
                if rest.startswith(step) and rest[len(step) : len(step) + 1] in {"", ".", "["}:
                    here, rest = child, rest[len(step) :]
                    break
            else:
                break
        return here, rest

    def like(self, value: Any) -> "Node":
        """Another value in this one's place."""
        return Node(value, self.file, self.line, self.path, "" if isinstance(value, dict | list) else str(value))


Over = Mapping[str, Mapping[str, "Node"]]
"""What is laid over a document: keys of containers, by name. Who says nothing of his own checks may have them there."""


def below(path: str, key: str) -> str:
    """The path of ``key`` in the map at ``path``."""
    return f"{path}.{key}" if path else key


def moved(node: Node, path: str, line: int | None = None) -> Node:
    """A copy of ``node`` for another place of the document."""
    value = node.value
    if isinstance(value, dict):
        value = {key: moved(child, below(path, key)) for key, child in value.items()}
    elif isinstance(value, list):
        value = [moved(child, f"{path}[{at}]") for at, child in enumerate(value)]
    return Node(value, node.file, node.line if line is None else line, path, node.raw, node.style)


def size(node: Node) -> int:
    """How many nodes ``node`` is, itself included."""
    return 1 + sum(size(child) for _, child in node.children())


def depth(node: Node) -> int:
    """How many levels of maps and lists ``node`` has."""
    return max(
        (1 + depth(child) for _, child in node.children()), default=1 if isinstance(node.value, dict | list) else 0
    )


def plain(node: Node) -> Any:
    """The bare value, as json.loads would give it."""
    if isinstance(node.value, dict):
        return {key: plain(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [plain(child) for child in node.value]
    return node.value


def items(node: Node | None) -> list[Node]:
    """The nodes of a list, where there is one."""
    return node.value if node is not None and isinstance(node.value, list) else []


def texts(node: Node | None) -> list[str]:
    """A string, or the strings of a list: of what may be anything."""
    listed = [] if node is None else node.value if isinstance(node.value, list) else [node]
    return [one.value for one in listed if isinstance(one.value, str)]
