"""Maps whose one key names a kind: check methods, actions, hooks and runtimes, built in or by import string."""

import importlib
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from agent.actions import ACTIONS
from agent.config.decode import Decoder, fields_of
from agent.config.scalars import INVALID
from agent.config.tree import Node, Style
from agent.probes import METHODS
from agent.runtimes import RUNTIMES


class Table(msgspec.Struct, frozen=True):
    """A literal table of kinds; ``does`` is the method each must have."""

    word: str
    names: Mapping[str, str]
    does: str
    third_party: bool = True

    def holds(self, key: str) -> bool:
        return key in self.names or (self.third_party and ":" in key)


CHECKS: Final = Table("method", METHODS, "probe")
ACTION: Final = Table("action", ACTIONS, "act")
HOOK: Final = Table("hook", {name: ACTIONS[name] for name in ("exec", "webhook")}, "act", False)
RUNTIME: Final = Table("runtime", RUNTIMES, "instance", False)


class Choice(msgspec.Struct, frozen=True):
    """What was chosen: the kind's name, its options as a struct (None where they were wrong), and where they stand."""

    name: str
    options: Any
    node: Node


def imported(where: str) -> Any:
    """What an import string names. Raises ImportError that says what is missing."""
    module, _, name = where.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ImportError(f"{module} has no {name}") from None
    return found


def choose(decoder: Decoder, node: Node, table: Table, keys: Sequence[str] | None = None) -> Choice | None:
    """The one kind that ``node`` names, decoded; ``keys`` are the candidates where the map holds other keys too.

    None where there is none, or more than one, or an unknown one; that is reported.
    """
    if not isinstance(node.value, dict):
        decoder.report(node, f"expected a map with one {table.word}: {', '.join(table.names)}")
        return None
    if keys is None:
        strangers = [key for key in node.value if not table.holds(key)]
        for key in strangers:
            decoder.unknown_key(node, key, table.names)
        keys = [key for key in node.value if key not in strangers]
        if strangers and not keys:
            return None
    chosen = [Choice(key, decode_kind(decoder, key, node.value[key], table), node.value[key]) for key in keys]
    if not chosen:
        decoder.report(node, f"no {table.word}: exactly one is needed, of {', '.join(table.names)}")
        return None
    if len(chosen) > 1:
        decoder.report(node, f"{len(keys)} {table.word}s, {' and '.join(keys)}: exactly one is needed")
    return chosen[0]


def decode_kind(decoder: Decoder, name: str, node: Node, table: Table) -> Any:
    """The options struct of the kind ``name``, or None once what is wrong is reported."""
    cls = struct_of(decoder, name, node, table)
    if cls is None:
        return None
    if name == "exec":
        _split_command(decoder, node)
    options = decoder.struct(node, cls)
    if options is INVALID:
        return None
    _own_checks(decoder, node, options)
    return options


def struct_of(decoder: Decoder, name: str, node: Node, table: Table) -> type | None:
    """The class that holds the options of the kind ``name``."""
    where = table.names.get(name, name)
    try:
        cls: type = imported(where)
        _checked(cls, table)
    except Exception as problem:  # noqa: BLE001  (importing a third party's module may raise anything)
        decoder.report(node, f"the {table.word} {name} can't be used: {type(problem).__name__}: {problem}")
        return None
    return cls


def _checked(cls: Any, table: Table) -> None:
    if not isinstance(cls, type) or not issubclass(cls, msgspec.Struct) or not hasattr(cls, table.does):
        raise TypeError(f"it must be a msgspec.Struct with `async def {table.does}`")
    fields_of(cls)  # raises for types that msgspec can't describe


def _own_checks(decoder: Decoder, node: Node, options: Any) -> None:
    """What the struct itself has to say of its options: `check_options() -> list[(path below it, message)]`."""
    ask = getattr(options, "check_options", None)
    if ask is None:
        return
    known = [problem.path for problem in decoder.problems]
    try:
        for path, message in ask():
            at = node.at(path)
            place = Node(None, node.file, at.line, node.written(path) if path else node.path, at.raw)
            # A value that was refused has become its default, and what the struct says of that is no news.
            if not any(one == place.path or one.startswith((f"{place.path}.", f"{place.path}[")) for one in known):
                decoder.report(place, decoder.expansion.unexpanded(message))
    except Exception as problem:  # noqa: BLE001  (third parties' code)
        text = decoder.expansion.unexpanded(f"{type(problem).__name__}: {problem}")
        decoder.report(node, f"the options could not be checked: {text}")


def _split_command(decoder: Decoder, node: Node) -> None:
    """A command in one string becomes words, as a shell splits them, before references in it are expanded."""
    command = node.value.get("command") if isinstance(node.value, dict) else None
    if command is None or not isinstance(command.value, str):
        return
    try:
        words = shlex.split(command.value)
    except ValueError as problem:
        decoder.report(command, f"can't be split into words ({problem}): write a list of words")
        words = ["?"]  # one complaint is enough
    else:
        decoder.warn(
            command, "W-EXEC-STRING", f"split into {len(words)} words, no shell runs it: write a list of words"
        )
    style: Style = "literal" if command.style in {"literal", "settled"} else "quoted"
    children = [
        Node(word, command.file, command.line, f"{command.path}[{at}]", word, style) for at, word in enumerate(words)
    ]
    node.value["command"] = Node(children, command.file, command.line, command.path)
