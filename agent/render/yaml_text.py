"""Values to YAML that people read: block style, keys in their order, comments above what they are about."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

Path = tuple[str | int, ...]
Comments = Mapping[Path, Sequence[str]]

_WORDS: Final = frozenset({
    "y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", "=", "<<", ".inf", "+.inf", "-.inf", ".nan",
})  # fmt: skip
_NUMBER: Final = re.compile(r"[-+]?\.?[0-9][0-9A-Fa-fxXoO_,:TtZz +-]*(\.[0-9A-Fa-f_,:TtZz +-]*)?")
"""Whatever some reader of YAML takes for a number, a date or a time; some words more do no harm."""
_FIRST: Final = re.compile(r"[A-Za-z0-9_/.$^+=(;<\\~]|-(?=[^\s-])|--(?=[^\s-])")
_FLOW_MARKS: Final = frozenset(",[]{}?")


class Plain(str):
    """A word that was written without quotes and means what it says only so: `0400`, or `${PORT}` for a number."""

    __slots__ = ()


def to_yaml(value: Any, comments: Comments | None = None) -> str:
    """One document, a map or a list; ``comments`` by the path of what they stand above."""
    return "\n".join(_block(value, (), comments or {})) + "\n"


def to_flow(value: Any) -> str:
    """The same in one line, with single quotes: for a string within JSON. Not for what holds a Plain reference."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_word(key, flow=True)}: {to_flow(child)}" for key, child in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(to_flow, value)) + "]"
    return _scalar(value, flow=True) or "null"


def is_odd(text: str) -> bool:
    """Whether a word without quotes is, to some reader, no string."""
    return text.lower() in _WORDS or _NUMBER.fullmatch(text) is not None


def _block(value: Any, path: Path, comments: Comments) -> Iterator[str]:
    """The lines of a map or list that is not empty, unindented."""
    if isinstance(value, dict):
        for key, child in value.items():
            at = (*path, key)
            yield from (f"# {line}".rstrip() for line in comments.get(at, ()))
            yield from _entry(_word(str(key)) + ":", child, at, comments)
    else:
        for index, child in enumerate(value):
            at = (*path, index)
            yield from (f"# {line}".rstrip() for line in comments.get(at, ()))
            yield from _item(child, at, comments)


def _entry(head: str, value: Any, path: Path, comments: Comments) -> Iterator[str]:
    if _is_block(value):
        yield head
        yield from _indented(_block(value, path, comments))
    elif _is_literal(value):
        yield head + (" |" if value.endswith("\n") else " |-")
        yield from _indented(value.removesuffix("\n").split("\n"))
    else:
        yield f"{head} {_scalar(value)}".rstrip()


def _item(value: Any, path: Path, comments: Comments) -> Iterator[str]:
    if not _is_block(value):
        yield from _entry("-", Plain("null") if value is None else value, path, comments)
        return
    lines = _block(value, path, comments)
    yield f"- {next(lines)}"
    yield from _indented(lines)


def _indented(lines: Iterator[str] | Sequence[str]) -> Iterator[str]:
    return (f"  {line}" if line else "" for line in lines)


def _is_block(value: Any) -> bool:
    return isinstance(value, dict | list) and bool(value)


def _is_literal(value: Any) -> bool:
    """Several lines that a block can show as they are."""
    if not isinstance(value, str) or "\n" not in value or value[0].isspace() or value.endswith("\n\n"):
        return False
    lines = value.removesuffix("\n").split("\n")
    return all(not line or (line.strip() and line.replace("\t", " ").isprintable()) for line in lines)


def _scalar(value: Any, *, flow: bool = False) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _word(value, flow=flow)
    return repr(value) if value not in ({}, []) else "{}" if value == {} else "[]"


def _word(text: str, *, flow: bool = False) -> str:
    if isinstance(text, Plain) or _is_plain(text, flow=flow):
        return str(text)
    if flow and text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    return "".join(_escaped(char) for char in json.dumps(text, ensure_ascii=False))


def _is_plain(text: str, *, flow: bool) -> bool:
    if not _FIRST.match(text) or not text.isprintable() or text.endswith((" ", ":")) or is_odd(text):
        return False
    return ": " not in text and " #" not in text and not (flow and _FLOW_MARKS & set(text))


def _escaped(char: str) -> str:
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
