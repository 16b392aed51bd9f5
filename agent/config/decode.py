"""Trees to typed values: one walker over msgspec's type information that reports every error with its place."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from typing import Any, Final

import msgspec.inspect as mi

from agent.config.expand import Expansion
from agent.config.problems import Problem
from agent.config.scalars import INVALID, expanded, expected, scalar, value_of
from agent.config.tree import Node, below
from agent.config.words import bare, called, is_composite, suggestion, takes

_SUGGESTIONS: Final = 100  # a document of nothing but unknown keys must not cost seconds

Special = Callable[["Decoder", Node], Any]
fields_of = cache(mi.type_info)


class Decoder:
    """One reading of one merged document: what was wrong, what was odd, and what `${NAME}` stood for.

    ``specials`` decode the fields marked `Meta(extra={"kind": ...})`. ``stand_ins`` are values for required
    keys that were wrong, so that the rest of the struct is still looked at.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        specials: Mapping[str, Special] | None = None,
        stand_ins: Mapping[type, Mapping[str, Any]] | None = None,
        *,
        keep_unset: bool = False,
    ) -> None:
        self.environ = environ
        self.expansion = Expansion(environ, keep_unset=keep_unset)
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self._specials = specials or {}
        self._stand_ins = stand_ins or {}
        self._suggested = 0
        self._spoilt: set[tuple[str, str]] = set()

    def report(self, node: Node, message: str, key: str = "") -> None:
        path = below(node.path, key) if key else node.path
        if (node.file, path) not in self._spoilt and not self.expansion.keeps(node.raw):
            self.problems.append(Problem(node.file, node.line, path, message))

    def spoil(self, node: Node, message: str) -> None:
        """Report of a value that it can't be had; what else is wrong with what stands there is no news."""
        self.report(node, message)
        self._spoilt.add((node.file, node.path))

    def warn(self, node: Node, code: str, message: str) -> None:
        self.warnings.append(Problem(node.file, node.line, node.path, message, code))

    def unknown_key(self, node: Node, key: str, known: Collection[str]) -> str | None:
        """Report the key and return what was probably meant."""
        self._suggested += 1
        guess = suggestion(key, known) if self._suggested <= _SUGGESTIONS else None
        hint = f", did you mean '{guess}'?" if guess else f"; known here: {', '.join(known)}" if known else ""
        child = node.value[key]
        self.report(child, f"unknown key{hint}")
        return guess

    def decode(self, node: Node, kind: mi.Type) -> Any:
        """The value of type ``kind`` that ``node`` holds, or INVALID once everything wrong with it is reported."""
        if isinstance(kind, mi.Metadata):
            special = self._specials.get((kind.extra or {}).get("kind", ""))
            return special(self, node) if special else self.decode(node, kind.type)
        if isinstance(kind, mi.StructType):
            return self.struct(node, kind.cls)
        reader = _COMPOSITES.get(type(kind))
        return reader(self, node, kind) if reader else scalar(self, node, kind)

    def struct(self, node: Node, cls: type, extra: Collection[str] = ()) -> Any:
        """A struct from a map; ``extra`` are keys that somebody else decodes."""
        if not isinstance(node.value, dict):
            return expected(self, node, "a map" + (" (write {} for the defaults)" if node.value is None else ""))
        fields = list(struct_fields(cls))
        known = [*(field.encode_name for field in fields), *extra]
        for key in node.value:
            if key not in known:
                self.unknown_key(node, key, known)
        values = dict(self._stand_ins.get(cls, {}))
        for field in fields:
            value = self._field(node, field)
            if value is not INVALID:
                values[field.name] = value
        if any(field.required and field.name not in values for field in fields):
            return INVALID
        return self._built(node, cls, values)

    def _field(self, node: Node, field: mi.Field) -> Any:
        """A field's value; INVALID where it is wrong, or absent: then its default stands."""
        child = node.value.get(field.encode_name)
        if child is None:
            if field.required:
                self.report(node, "is missing", field.encode_name)
            return INVALID
        if child.value is None and not field.required and is_composite(field.type):
            return INVALID
        return self.decode(child, field.type)

    def _built(self, node: Node, cls: type, values: dict[str, Any]) -> Any:
        try:
            return cls(**values)
        except Exception as problem:  # noqa: BLE001  (a third party's __post_init__ may raise anything)
            self.report(node, self.expansion.unexpanded(f"refused by {cls.__name__}: {problem}"))
            return INVALID

    def _union(self, node: Node, kind: mi.UnionType) -> Any:
        """The one member that takes this sort of value; msgspec refuses unions where two could."""
        value = value_of(self, node)
        if value is INVALID:
            return INVALID
        if value is None and kind.includes_none:
            return None
        for member in kind.types:
            if takes(member, value):
                return self.decode(node, member)
        if node.style in {"loose", "settled"} and any(isinstance(member, mi.StrType) for member in kind.types):
            return scalar(self, node, next(member for member in kind.types if isinstance(member, mi.StrType)))
        words = dict.fromkeys(called(member) for member in kind.types if not isinstance(member, mi.NoneType))
        return expected(self, node, " or ".join(words))

    def _items(self, node: Node, kind: Any) -> Any:
        if not isinstance(node.value, list):
            return expected(self, node, "a list")
        if kind.min_length and len(node.value) < kind.min_length:
            self.report(node, f"must hold at least {kind.min_length}" if node.value else "must not be empty")
            return INVALID
        values = [self.decode(child, kind.item_type) for child in node.value]
        if any(value is INVALID for value in values):
            return INVALID
        return _BUILT.get(type(kind), list)(values)

    def _map(self, node: Node, kind: mi.DictType) -> Any:
        if not isinstance(node.value, dict):
            return expected(self, node, "a map")
        pattern = getattr(bare(kind.key_type), "pattern", None)
        values = {}
        for key, child in node.value.items():
            if pattern and not re.fullmatch(pattern, key):
                self.report(child, f"the key is not allowed here, it must match {pattern}")
            value = self.decode(child, kind.value_type)
            if value is not INVALID:
                values[key] = value
        return values

    def _anything(self, node: Node, kind: mi.Type) -> Any:
        if isinstance(node.value, dict):
            return {key: self._anything(child, kind) for key, child in node.value.items()}
        if isinstance(node.value, list):
            return [self._anything(child, kind) for child in node.value]
        return expanded(self, node) if isinstance(node.value, str) else node.value


_COMPOSITES: Final[Mapping[type, Callable[[Decoder, Node, Any], Any]]] = {
    mi.UnionType: Decoder._union,  # noqa: SLF001  (the class's own table of readers)
    mi.ListType: Decoder._items,  # noqa: SLF001
    mi.VarTupleType: Decoder._items,  # noqa: SLF001
    mi.SetType: Decoder._items,  # noqa: SLF001
    mi.FrozenSetType: Decoder._items,  # noqa: SLF001
    mi.DictType: Decoder._map,  # noqa: SLF001
    mi.AnyType: Decoder._anything,  # noqa: SLF001
}
_BUILT: Final[Mapping[type, Callable[[list[Any]], Any]]] = {
    mi.VarTupleType: tuple,
    mi.SetType: set,
    mi.FrozenSetType: frozenset,
}


def struct_fields(cls: type) -> Iterable[mi.Field]:
    """The fields of a struct that a document may spell out."""
    for field in fields_of(cls).fields:  # type: ignore[attr-defined]
        extra = field.type.extra if isinstance(field.type, mi.Metadata) else None
        if (extra or {}).get("kind") != "derived":
            yield field
