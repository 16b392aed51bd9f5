"""Compose's `$NAME` and `${NAME:-default}`, nested ones too, and the `.env` file that they are read from."""

import re
from collections import ChainMap
from collections.abc import Mapping
from typing import Final

from agent.config.decode import Decoder
from agent.config.expand import Expansion
from agent.config.tree import Node, Style

_NAME: Final = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR: Final = re.compile(":?[-?+]")
_DEEPEST: Final = 16
_LONGEST: Final = 1 << 20  # characters of one value


class Interpolation:
    """Replaces references as Compose does."""

    def __init__(self, variables: Mapping[str, str], expansion: Expansion) -> None:
        self._unset: list[str] = []  # what nothing stood for
        self._variables = variables
        self._expansion = expansion

    def text(self, text: str, depth: int = 0) -> str:
        """``text`` with its references replaced. Raises ValueError that names what is wrong."""
        if depth > _DEEPEST:
            raise ValueError("references are nested too deeply")
        parts: list[str] = []
        at = 0
        while (found := text.find("$", at)) >= 0:
            parts.append(text[at:found])
            part, at = self._one(text, found, depth)
            parts.append(part)
        parts.append(text[at:])
        if sum(map(len, parts)) > _LONGEST:
            raise ValueError(f"longer than {_LONGEST} characters once its variables are replaced")
        return "".join(parts)

    def node(self, node: Node, decoder: Decoder | None = None) -> Node:
        """A copy with every string replaced, in which nothing is left to expand.

        What can't be replaced stays as it is; ``decoder`` is told of it, and of variables that are not set.
        """
        value = node.value
        if isinstance(value, dict):
            return node.like({key: self.node(child, decoder) for key, child in value.items()})
        if isinstance(value, list):
            return node.like([self.node(child, decoder) for child in value])
        if not isinstance(value, str):
            return node
        style: Style = "settled" if "$" in value else "literal"  # as in Compose, "${PORT}" may stand for a number
        self._unset.clear()
        try:
            value = self.text(value)
        except ValueError as wrong:
            if decoder is not None:
                decoder.spoil(node, str(wrong))
        if decoder is not None:
            for name in self._unset:
                decoder.warn(node, "W-COMPOSE-VARIABLE", f"the variable {name} is not set: nothing stands in its place")
        return Node(value, node.file, node.line, node.path, node.raw, style)

    def _one(self, text: str, at: int, depth: int) -> tuple[str, int]:
        """What the `$` at ``at`` stands for, and where the text goes on."""
        if text.startswith("$$", at):
            return "$", at + 2
        if text.startswith("${", at):
            end = _closing(text, at)
            if end < 0:
                raise ValueError("`${` without its `}`; write `$$` for a literal `$`")
            return self._braced(text[at + 2 : end], depth), end + 1
        name = _NAME.match(text, at + 1)
        return (self._value(name[0]) or "", name.end()) if name else ("$", at + 1)

    def _braced(self, inner: str, depth: int) -> str:
        name = _NAME.match(inner)
        operator = _OPERATOR.match(inner, name.end()) if name else None
        if name is None or (operator is None and name.end() < len(inner)):
            raise ValueError("`${` must be followed by NAME and }, :-, -, :?, ?, :+ or +; write `$$` for a literal `$`")
        if operator is None:
            return self._value(name[0]) or ""
        value, operand = self._variables.get(name[0]), inner[operator.end() :]
        given = bool(value) if operator[0].startswith(":") else value is not None
        kind = operator[0][-1]
        if kind == "+":
            return self.text(operand, depth + 1) if given else ""
        if given:
            return self._value(name[0]) or ""
        if kind == "?" and self._expansion.keep_unset:
            return f"${{{name[0]}}}"  # whoever uses the document will be asked for it
        if kind == "?":
            raise ValueError(f"the variable {name[0]} is required" + (f": {operand[:200]}" if operand else ""))
        return self.text(operand, depth + 1)

    def _value(self, name: str) -> str | None:
        value = self._variables.get(name)
        if value is None:
            self._unset.append(name)
        else:
            self._expansion.took(value, f"${{{name}}}")
        return value


def _closing(text: str, at: int) -> int:
    """Where the `${` at ``at`` ends, those within it counted; -1 where it does not."""
    depth = 0
    while at < len(text):
        if text.startswith("${", at):
            depth += 1
            at += 1
        elif text[at] == "}":
            depth -= 1
            if depth == 0:
                return at
        at += 1
    return -1


_LINE: Final = re.compile(
    r"""[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_.]*)[ \t]*(?:
        [=:][ \t]*(?:'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)"|(?P<bare>[^\n]*))
    )?[^\n]*(?:\n|\Z)""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT: Final = re.compile(r"(^|[ \t])#.*")
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "'": "'", "$": "$$"}


def dotenv(text: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of a `.env` file; what ``environ`` has wins, also within the values."""
    found: dict[str, str] = {}
    variables = ChainMap(dict(environ), found)
    text = text.replace("\r\n", "\n")
    at = 0
    while at < len(text):
        line = _LINE.match(text, at)
        if line is None:
            at = text.find("\n", at) + 1 or len(text)
            continue
        at = line.end()
        name, bare = line["name"], line["bare"]
        if line["single"] is not None:
            found[name] = line["single"]
        elif bare is not None or line["double"] is not None:
            double = line["double"] or ""
            value = _COMMENT.sub("", bare).strip() if bare is not None else _ESCAPE.sub(_unescaped, double)
            found[name] = _expanded(value, variables)
    return found


def _unescaped(found: re.Match[str]) -> str:
    return _ESCAPED.get(found[1], found[0])


def _expanded(value: str, variables: Mapping[str, str]) -> str:
    try:
        return Interpolation(variables, Expansion({})).text(value)
    except ValueError:
        return value
