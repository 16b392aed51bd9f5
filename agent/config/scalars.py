"""Scalars to the values that msgspec's types describe: expanded, converted where loose, and within their limits."""

import math
import re
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec.inspect as mi

from agent.config.expand import Expansion, is_reference
from agent.config.syntax import resolved
from agent.config.tree import Node
from agent.config.words import got, shown, suggestion

INVALID: Final[Any] = object()
"""What stands for a value that was reported; its field keeps its default."""


class Reporter(Protocol):
    """What reads scalars: it knows the environment and takes the complaints."""

    expansion: Expansion

    def report(self, node: Node, message: str, key: str = "") -> None: ...


def expected(to: Reporter, node: Node, what: str) -> Any:
    to.report(node, f"expected {what}, got {got(node, what)}")
    return INVALID


def expanded(to: Reporter, node: Node) -> Any:
    """The string of a node that holds one, with its references replaced where it is ours."""
    try:
        if node.style in {"literal", "settled"}:
            text = node.value
        else:
            text = to.expansion.expand(node.raw if node.style == "loose" else node.value)
    except ValueError as problem:
        to.report(node, str(problem))
        return INVALID
    if "\0" in text:
        to.report(node, "holds a NUL character")
        return INVALID
    return text


def value_of(to: Reporter, node: Node) -> Any:
    """The scalar as numbers and truth values are read: a lone unquoted `${NAME}` may stand for one."""
    if not isinstance(node.value, str):
        return node.value
    if node.style in {"loose", "settled"} or (node.style == "plain" and is_reference(node.value)):
        text = expanded(to, node)
        return text if text is INVALID else resolved(text)
    return node.value


def scalar(to: Reporter, node: Node, kind: mi.Type) -> Any:
    """The value of a type that is no map, list or union."""
    if isinstance(kind, mi.StrType):
        return _string(to, node, kind)
    value = value_of(to, node)
    if value is INVALID:
        return INVALID
    reader = _READERS.get(type(kind))
    if reader is None:
        to.report(node, f"an option of a type that no document can write ({type(kind).__name__})")
        return INVALID
    return reader(to, node, value, kind)


def _string(to: Reporter, node: Node, kind: mi.StrType) -> Any:
    if not isinstance(node.value, str):
        return expected(to, node, "a string")
    text = expanded(to, node)
    if text is INVALID:
        return INVALID
    if kind.min_length and len(text) < kind.min_length:
        to.report(node, "must not be empty")
    elif kind.max_length is not None and len(text) > kind.max_length:
        to.report(node, f"longer than {kind.max_length} characters")
    elif kind.pattern is not None and not re.fullmatch(kind.pattern, text):
        to.report(node, f"{shown(node)} is not allowed here, it must match {kind.pattern}")
    else:
        return text
    return INVALID


def _null(to: Reporter, node: Node, value: Any, _: mi.Type) -> Any:
    return None if value is None else expected(to, node, "null")


def _truth(to: Reporter, node: Node, value: Any, _: mi.Type) -> Any:
    return value if isinstance(value, bool) else expected(to, node, "true or false")


def _integer(to: Reporter, node: Node, value: Any, kind: Any) -> Any:
    if not isinstance(value, int) or isinstance(value, bool):
        return expected(to, node, "an integer")
    return _within(to, node, value, kind)


def _number(to: Reporter, node: Node, value: Any, kind: Any) -> Any:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return expected(to, node, "a number")
    return _within(to, node, float(value), kind)


def _within(to: Reporter, node: Node, value: float, kind: mi.IntType | mi.FloatType) -> Any:
    for limit, bad, words in (
        (kind.ge, kind.ge is not None and value < kind.ge, "below the minimum of"),
        (kind.gt, kind.gt is not None and value <= kind.gt, "too small, it must be above"),
        (kind.le, kind.le is not None and value > kind.le, "above the maximum of"),
        (kind.lt, kind.lt is not None and value >= kind.lt, "too large, it must be below"),
    ):
        if bad:
            to.report(node, f"{shown(node)} is {words} {limit}")
            return INVALID
    return value


def _word(to: Reporter, node: Node, value: Any, kind: Any) -> Any:
    """One of a few values: a Literal's, or an Enum's."""
    allowed = kind.values if isinstance(kind, mi.LiteralType) else [member.value for member in kind.cls]
    if isinstance(node.value, str):
        value = expanded(to, node)
    if value is INVALID:
        return INVALID
    for one in allowed:
        if value == one and type(value) is type(one):
            return value if isinstance(kind, mi.LiteralType) else kind.cls(value)
    if not isinstance(value, str):
        return expected(to, node, f"a string, one of {', '.join(map(str, allowed))}")
    guess = suggestion(value, [one for one in allowed if isinstance(one, str)])
    hint = f", did you mean '{guess}'?" if guess else ""
    to.report(node, f"{shown(node)} is none of {', '.join(map(str, allowed))}{hint}")
    return INVALID


_READERS: Final[dict[type, Callable[[Reporter, Node, Any, Any], Any]]] = {
    mi.NoneType: _null,
    mi.BoolType: _truth,
    mi.IntType: _integer,
    mi.FloatType: _number,
    mi.LiteralType: _word,
    mi.EnumType: _word,
}
