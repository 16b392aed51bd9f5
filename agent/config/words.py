"""How values and types are called in messages, and what a misspelt word probably meant."""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec.inspect as mi

from agent.config.syntax import resolved
from agent.config.tree import Node

_CAMEL: Final = re.compile(r"(?<=[a-z0-9])([A-Z])")
_WORDS: Final[Mapping[type, str]] = {
    mi.IntType: "an integer", mi.FloatType: "a number", mi.StrType: "a string", mi.BoolType: "true or false",
    mi.NoneType: "null", mi.StructType: "a map", mi.DictType: "a map", mi.ListType: "a list", mi.VarTupleType: "a list",
}  # fmt: skip


def suggestion(word: str, known: Iterable[str]) -> str | None:
    """The known word that ``word`` is a misspelling or the beginning of, probably; Kubernetes' spellings count too."""
    if not 1 < len(word) <= 64:  # nobody mistypes at greater length, and comparing is quadratic
        return None
    snake = _CAMEL.sub(r"_\1", word).lower().replace("-", "_").replace("_probe", "_check")
    names = list(known)
    found = difflib.get_close_matches(snake, names, n=1, cutoff=0.7)
    return next(iter(found or [name for name in names if name.startswith(snake)]), None)


def shown(node: Node) -> str:
    """A scalar as it was written, unexpanded and short."""
    text = node.raw if node.style == "loose" or not isinstance(node.value, dict | list) else "this"
    text = text if len(text) <= 60 else text[:57] + "..."
    value = resolved(text) if node.style == "loose" else node.value
    return f'"{text}"' if isinstance(value, str) else text or "null"


def got(node: Node, wanted: str) -> str:
    """What ``node`` holds instead of ``wanted``; numbers that should be strings are not shown, they may be secret."""
    string = "string" in wanted and "integer" not in wanted
    if isinstance(node.value, bool):
        odd = node.raw.lower() not in {"true", "false"}
        reads = f", which YAML reads as {str(node.value).lower()}" if odd else ""
        return f"the truth value {node.raw}{reads}" + (f': quote it, "{node.raw}"' if string else "")
    if isinstance(node.value, str):
        return _got_string(node, wanted)
    if isinstance(node.value, int | float):
        return "a number: quote it" if string else f"the number {node.raw}"
    if node.value is None:
        return "nothing (null)"
    return "a map" if isinstance(node.value, dict) else "a list"


def _got_string(node: Node, wanted: str) -> str:
    if "map" in wanted or "list" in wanted:
        return "a string"
    unquoted = node.style in {"quoted", "literal"} and resolved(node.value) != node.value
    return f"the string {shown(node)}" + (" (remove the quotes)" if unquoted else "")


def bare(kind: mi.Type) -> mi.Type:
    """A type without its description."""
    return kind.type if isinstance(kind, mi.Metadata) else kind


def called(kind: mi.Type) -> str:
    """`an integer`, `a string`: what a document may write for ``kind``."""
    return _WORDS.get(type(bare(kind)), "another value")


_COMPOSITE: Final = (mi.StructType, mi.DictType, mi.ListType, mi.VarTupleType, mi.SetType, mi.FrozenSetType)
_TAKES: Final[Mapping[type, type | tuple[type, ...]]] = {
    mi.BoolType: bool, mi.IntType: int, mi.FloatType: (int, float), mi.StrType: str, mi.EnumType: (int, str),
    mi.StructType: dict, mi.DictType: dict, mi.AnyType: object,
    mi.ListType: list, mi.VarTupleType: list, mi.SetType: list, mi.FrozenSetType: list,
}  # fmt: skip


def is_composite(kind: mi.Type) -> bool:
    """Whether a map or a list is written for ``kind``."""
    return isinstance(bare(kind), _COMPOSITE)


def takes(kind: mi.Type, value: object) -> bool:
    """Whether ``value`` is of the sort that is written for ``kind``; its limits are another question."""
    member = bare(kind)
    if isinstance(member, mi.LiteralType):
        return any(type(one) is type(value) for one in member.values)
    python = _TAKES.get(type(member), ())
    return python in {bool, object} if isinstance(value, bool) else isinstance(value, python)
