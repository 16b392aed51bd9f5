"""Text to trees: duplicate keys are reported with both lines, and depth and size are bounded, aliases included."""

from collections.abc import Iterable

import msgspec

from agent.config.problems import Problem
from agent.config.syntax import Event, NotJson, SyntaxProblem, json_events, yaml_events
from agent.config.tree import MAX_DEPTH, MAX_NODES, Node, below, depth, moved, size


class Parsed(msgspec.Struct):
    """The documents of a text. After a ``fault`` the last one holds what came before it."""

    documents: list[Node]
    problems: list[Problem]
    fault: SyntaxProblem | None = None


def parse(text: str, file: str, path: str = "") -> Parsed:
    """Every document of ``text``, its root at ``path``. JSON is read as JSON, everything else as YAML."""
    looks_json = text.lstrip(" \t\r\n")[:1] in {"{", "["}
    if not looks_json:
        return _with_remedy(text, _read(yaml_events(text), _Builder(file, path)))
    as_json = _read(json_events(text), _Builder(file, path))
    if not isinstance(as_json.fault, NotJson) or file.endswith(".json"):
        return as_json
    return _read(yaml_events(text), _Builder(file, path))  # YAML's own braces: unquoted words, comments


def _read(events: Iterable[Event], builder: "_Builder") -> Parsed:
    fault = None
    try:
        for event in events:
            builder.take(event)
    except SyntaxProblem as problem:
        builder.problems.append(Problem(builder.file, problem.line, "", problem.message))
        fault = problem
    return Parsed(builder.documents, builder.problems, fault)


def _with_remedy(text: str, parsed: Parsed) -> Parsed:
    """Templates of Helm and its like are not YAML yet, and what YAML has against them tells little."""
    lines = text.split("\n") if parsed.fault is not None else []
    if parsed.fault is not None and "{{" in "".join(lines[parsed.fault.line - 1 : parsed.fault.line]):
        last = parsed.problems[-1]
        message = f"{last.message} (a template, is it? render it first: helm template ... | health-agent ... -)"
        parsed.problems[-1] = Problem(last.file, last.line, last.path, message)
    return parsed


class _Frame(msgspec.Struct):
    """A map or list that is being filled; ``lines`` are those of a map's keys."""

    node: Node
    anchor: str | None
    lines: dict[str, int]
    key: str | None = None
    key_line: int = 0
    merges: bool = False  # the key was an unquoted `<<`
    defaults: list[Node] = []


class _Builder:
    def __init__(self, file: str, path: str) -> None:
        self.file = file
        self.path = path
        self.documents: list[Node] = []
        self.problems: list[Problem] = []
        self._frames: list[_Frame] = []
        self._anchors: dict[str, Node] = {}
        self._open: set[str] = set()
        self._nodes = 0

    def take(self, event: Event) -> None:
        if event.kind == "document":
            self._anchors = {}
        elif event.kind == "end":
            self._close()
        elif self._wants_key():
            self._key(event)
        elif event.kind == "alias":
            self._alias(event)
        else:
            self._value(event)

    def _wants_key(self) -> bool:
        return bool(self._frames) and isinstance(self._frames[-1].node.value, dict) and self._frames[-1].key is None

    def _key(self, event: Event) -> None:
        frame = self._frames[-1]
        if event.kind != "scalar":
            raise SyntaxProblem(event.line, "a key must be a word, not a map, a list or an alias")
        if len(event.text) > 1000:
            raise SyntaxProblem(event.line, "a key is longer than 1000 characters")
        _checked_text(event)
        frame.key, frame.key_line = event.text, event.line
        frame.merges = event.text == "<<" and event.style == "plain"
        first = frame.lines.setdefault(event.text, event.line)
        if event.text in frame.node.value or (frame.merges and frame.defaults):
            path = below(frame.node.path, event.text)
            self.problems.append(Problem(self.file, event.line, path, f"duplicate key, first on line {first}"))

    def _value(self, event: Event) -> None:
        value = {"map": dict, "list": list}[event.kind]() if event.kind != "scalar" else event.value
        _checked_text(event)
        node = Node(value, self.file, event.line, "", event.text, event.style)
        self._attach(node, event.line, 1)
        if event.kind == "scalar":
            if event.anchor:
                self._anchors[event.anchor] = node
            return
        if len(self._frames) >= MAX_DEPTH:
            raise SyntaxProblem(event.line, f"more than {MAX_DEPTH} levels of nesting")
        self._frames.append(_Frame(node, event.anchor, {}))
        if event.anchor:
            self._open.add(event.anchor)

    def _alias(self, event: Event) -> None:
        if event.text in self._open:
            raise SyntaxProblem(event.line, f"the alias *{event.text} holds itself")
        if event.text not in self._anchors:
            raise SyntaxProblem(event.line, f"the alias *{event.text} has no anchor &{event.text} before it")
        node = self._anchors[event.text]
        if len(self._frames) + depth(node) > MAX_DEPTH:
            raise SyntaxProblem(event.line, f"more than {MAX_DEPTH} levels of nesting")
        self._attach(node, event.line, size(node), copy=True)

    def _attach(self, node: Node, line: int, count: int, *, copy: bool = False) -> None:
        self._nodes += count
        if self._nodes > MAX_NODES:
            raise SyntaxProblem(line, f"more than {MAX_NODES} values (aliases count as what they stand for)")
        if not self._frames:
            node.path = self.path
            self.documents.append(node)
            return
        frame = self._frames[-1]
        holder = frame.node
        if isinstance(holder.value, list):
            path = f"{holder.path}[{len(holder.value)}]"
        else:
            path = below(holder.path, frame.key or "")
            line = frame.key_line
        if copy:
            node = moved(node, path, line)
        node.path, node.line = path, line
        if isinstance(holder.value, list):
            holder.value.append(node)
        elif frame.merges:
            frame.defaults = [*frame.defaults, node]
        else:
            holder.value.setdefault(frame.key, node)
        frame.key = None

    def _close(self) -> None:
        frame = self._frames.pop()
        if frame.anchor:
            self._open.discard(frame.anchor)
            self._anchors[frame.anchor] = frame.node
        for node in frame.defaults:
            self._merge(frame.node, node)

    def _merge(self, target: Node, node: Node) -> None:
        """What `<<` brings where the map itself does not say it."""
        for source in node.value if isinstance(node.value, list) else [node]:
            if not isinstance(source.value, dict):
                raise SyntaxProblem(node.line, "`<<` takes a map, or a list of maps")
            self._nodes += size(source)
            if self._nodes > MAX_NODES:
                raise SyntaxProblem(node.line, f"more than {MAX_NODES} values (aliases count as what they stand for)")
            for key, child in source.value.items():
                target.value.setdefault(key, moved(child, below(target.path, key)))


def _checked_text(event: Event) -> None:
    if event.text.isascii():
        return
    try:
        event.text.encode()
    except UnicodeEncodeError:
        raise SyntaxProblem(event.line, "half of a surrogate pair in a string (\\ud800 to \\udfff)") from None
