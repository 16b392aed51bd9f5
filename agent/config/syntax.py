"""YAML and JSON text to a stream of events with line numbers; types, tags and YAML 1.1's surprises are decided here."""

import json.decoder
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal

import msgspec

from agent.config.tree import MAX_DEPTH, Style


class SyntaxProblem(Exception):  # noqa: N818  (a problem is what this package calls it)
    """The text can't be read any further."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


class NotJson(SyntaxProblem):
    """The text may still be YAML with braces."""


class Event(msgspec.Struct, gc=False):
    """One step through a document. ``value`` is the scalar's; ``text`` how it was written; or the alias's name."""

    kind: Literal["document", "map", "list", "end", "scalar", "alias"]
    line: int
    text: str = ""
    value: Any = None
    style: Style = "plain"
    anchor: str | None = None


def _cases(*words: str) -> list[str]:
    return [form for word in words for form in (word.lower(), word.upper(), word.title())]


_WORDS_OF_YAML: Final[Mapping[str, Any]] = {
    **dict.fromkeys(["", "~", *_cases("null")]),
    **dict.fromkeys(_cases("true", "yes", "on"), True),
    **dict.fromkeys(_cases("false", "no", "off"), False),
}
_NUMBERS: Final[tuple[tuple[re.Pattern[str], Callable[[str], Any]], ...]] = (
    (re.compile(r"[-+]?(0|[1-9][0-9]*(_[0-9]+)*)"), int),
    (re.compile(r"[-+]?0x[0-9a-fA-F]{1,16}"), lambda text: int(text, 16)),
    (re.compile(r"[-+]?([0-9]{1,30}\.[0-9]{0,30}|\.[0-9]{1,30})([eE][-+]?[0-9]{1,4})?"), float),
    (re.compile(r"[-+]?[0-9]{1,30}[eE][-+]?[0-9]{1,4}"), float),
)


def resolved(text: str) -> Any:
    """What an unquoted word of YAML means.

    As PyYAML reads YAML 1.1, but `010` and `1:30` stay strings (there they are 8 and 90), and so do dates.
    """
    if text in _WORDS_OF_YAML:
        return _WORDS_OF_YAML[text]
    if len(text) > 70:  # no number is so long, and a regex need not look
        return text
    for pattern, convert in _NUMBERS:
        if pattern.fullmatch(text):
            return convert(text)
    return text


_TAG: Final = "tag:yaml.org,2002:"
_SCALAR_TAGS: Final = {f"{_TAG}{name}" for name in ("int", "float", "bool", "null")}


def yaml_events(text: str) -> Iterator[Event]:
    """The events of a YAML stream. Raises SyntaxProblem where it stops being one."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for event in yaml.parse(text, Loader=loader):
            found = _yaml_event(yaml, event)
            if found is not None:
                yield found
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        said = " ".join(part for part in (problem.context, problem.problem) if part)
        lines = text.rstrip("\n").split("\n")
        line = min(mark.line if mark else 0, len(lines) - 1)  # the end of the text may lie beyond its last line
        if "nesting depth" in said:  # newer libyaml gives up while it still looks ahead, before our own bound is met
            raise SyntaxProblem(line + 1, f"more than {MAX_DEPTH} levels of nesting") from problem
        raise SyntaxProblem(line + 1, f"not valid YAML: {said}{_remedy(lines[line])}") from problem
    except yaml.reader.ReaderError as problem:
        line = text.count("\n", 0, problem.position) + 1
        raise SyntaxProblem(line, f"not valid YAML: {problem.reason}") from problem


def _remedy(line: str) -> str:
    if "\t" in line:
        return " (indent with spaces, not tabs)"
    return " (within braces, quote what holds ${...})" if "{" in line.replace("${", "") and "${" in line else ""


def _yaml_event(yaml: Any, event: Any) -> Event | None:
    line = event.start_mark.line + 1
    if isinstance(event, yaml.ScalarEvent):
        return _yaml_scalar(event, line)
    if isinstance(event, yaml.MappingStartEvent):
        return Event("map", line, anchor=_container_anchor(event, line, "map"))
    if isinstance(event, yaml.SequenceStartEvent):
        return Event("list", line, anchor=_container_anchor(event, line, "seq"))
    if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
        return Event("end", line)
    if isinstance(event, yaml.AliasEvent):
        return Event("alias", line, event.anchor)
    return Event("document", line) if isinstance(event, yaml.DocumentStartEvent) else None


def _container_anchor(event: Any, line: int, kind: str) -> str | None:
    if event.tag not in {None, "!", _TAG + kind}:
        raise SyntaxProblem(line, f"the tag {_tag_name(event.tag)} is not read here, remove it")
    anchor: str | None = event.anchor
    return anchor


def _yaml_scalar(event: Any, line: int) -> Event:
    text = event.value
    if (event.tag is None and event.implicit[0]) or event.tag in _SCALAR_TAGS:
        return Event("scalar", line, text, resolved(text), "plain", event.anchor)
    if event.tag in {None, "!", f"{_TAG}str"}:
        return Event("scalar", line, text, text, "quoted", event.anchor)
    raise SyntaxProblem(line, f"the tag {_tag_name(event.tag)} is not read here, remove it")


def _tag_name(tag: str) -> str:
    return "!!" + tag.removeprefix(_TAG)[:60] if tag.startswith(_TAG) else tag[:60]


_SPACE: Final = re.compile(r"[ \t\r\n]*")
_NUMBER: Final = re.compile(r"(-?(?:0|[1-9][0-9]*))(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORDS: Final[dict[str, Any]] = {"true": True, "false": False, "null": None}
_WORD: Final = re.compile("true|false|null")


class _JsonReader:
    """A position in JSON text, and the line it is on. Strict, without recursion, and duplicate keys stay visible."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1
        self.skip()

    def move(self, end: int) -> None:
        self.line += self.text.count("\n", self.at, end)
        self.at = end

    def skip(self) -> None:
        found = _SPACE.match(self.text, self.at)
        self.move(found.end() if found else self.at)

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def take(self, wanted: str) -> None:
        if not self.peek() or self.peek() not in wanted:
            raise self.wrong(f"expected {' or '.join(wanted)}")
        self.move(self.at + 1)
        self.skip()

    def wrong(self, message: str) -> NotJson:
        found = repr(self.peek()) if self.peek() else "the end"
        return NotJson(self.line, f"not valid JSON: {message}, found {found}")

    def string(self) -> Event:
        line = self.line
        if self.peek() != '"':
            raise self.wrong('expected a key in "double quotes"')
        try:
            value, end = json.decoder.scanstring(self.text, self.at + 1, True)  # type: ignore[attr-defined]
        except ValueError as problem:
            raise NotJson(line, f"not valid JSON: {problem.args[0].partition(':')[0]}") from problem
        self.move(end)
        self.skip()
        return Event("scalar", line, value, value, "quoted")

    def scalar(self) -> Event:
        if self.peek() == '"':
            return self.string()
        line = self.line
        found = _WORD.match(self.text, self.at) or _NUMBER.match(self.text, self.at)
        if not found:
            raise self.wrong("expected a value")
        if len(found[0]) > 70:
            raise self.wrong("a number is too long")
        self.move(found.end())
        self.skip()
        return Event("scalar", line, found[0], _json_value(found), "plain")


def _json_value(found: re.Match[str]) -> Any:
    text = found[0]
    if text in _WORDS:
        return _WORDS[text]
    return int(text) if found[2] is None and found[3] is None else float(text)


def json_events(text: str) -> Iterator[Event]:
    """The events of one JSON document. Raises SyntaxProblem where it stops being one."""
    reader = _JsonReader(text)
    yield Event("document", reader.line)
    open_with: list[str] = []
    while True:
        char = reader.peek()
        if char in {"{", "["}:
            yield Event("map" if char == "{" else "list", reader.line)
            reader.take("{[")
            open_with.append(char)
            first = True
        else:
            yield reader.scalar()
            first = False
        while open_with and (reader.peek() == ("}" if open_with[-1] == "{" else "]")):
            reader.take("}]")
            open_with.pop()
            yield Event("end", reader.line)
            first = False
        if not open_with:
            break
        if not first:
            reader.take("," + ("}" if open_with[-1] == "{" else "]"))
        if open_with[-1] == "{":
            yield reader.string()
            reader.take(":")
    if reader.peek():
        raise reader.wrong("expected nothing more")
