"""The JSON Schema (2020-12) of the native document, made of the structs that decode it."""

from typing import Any, Final

import msgspec.json

from agent.config.choices import ACTION, CHECKS, HOOK, RUNTIME, Table, imported
from agent.config.shapes import CheckFields, Document
from agent.core.model import CheckType

_THIRD_PARTY: Final = r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_.]*$"
_REFERENCE: Final = "#/$defs/{name}"


def schema() -> dict[str, Any]:
    """What an editor needs to complete and check a native document; the rules between keys are not in it."""
    tables = (CHECKS, ACTION, HOOK, RUNTIME)
    kinds = {table.word: {name: imported(where) for name, where in table.names.items()} for table in tables}
    classes = list(dict.fromkeys(cls for table in kinds.values() for cls in table.values()))
    (root, check, *options), definitions = msgspec.json.schema_components(
        [Document, CheckFields, *classes], ref_template=_REFERENCE
    )
    references = dict(zip(classes, options, strict=True))
    strict: dict[str, Any] = {name: _strict(definition) for name, definition in definitions.items()}
    for cls in {table["exec"] for table in kinds.values() if "exec" in table}:
        properties = strict[_name(references[cls])]["properties"]
        text = {"type": "string", "description": "split as a shell splits words, with a warning"}
        properties["command"] = {"anyOf": [properties["command"], text]}
    base = strict.pop(_name(check))
    for table in tables[1:]:
        strict[table.word] = _one_of(table, {n: references[c] for n, c in kinds[table.word].items()})
    methods = {name: references[cls] for name, cls in kinds[CHECKS.word].items()}
    for kind in CheckType:
        strict[f"{kind}_check"] = _checks(f"one_{kind}_check")
        strict[f"one_{kind}_check"] = _check(kind, base, methods)
    document = strict.pop(_name(root))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **document,
        "$defs": dict(sorted(strict.items())),
    }


def _name(reference: dict[str, Any]) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _strict(definition: dict[str, Any]) -> dict[str, Any]:
    """Unknown keys are refused, defaults are JSON, and what no document writes is left out."""
    derived = {"action_name"} & definition.get("properties", {}).keys()
    properties = {key: value for key, value in definition["properties"].items() if key not in derived}
    plain: Any = msgspec.to_builtins({**definition, "properties": properties, "additionalProperties": False})
    return dict(plain)


def _nullable(definition: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [definition, {"type": "null"}]}


def _one_of(table: Table, options: dict[str, Any]) -> dict[str, Any]:
    one: dict[str, Any] = {
        "type": "object",
        "properties": options,
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
    }
    if table.third_party:
        one["patternProperties"] = {_THIRD_PARTY: {"type": ["object", "null"]}}
    return _nullable(one)


def _checks(one: str) -> dict[str, Any]:
    reference = {"$ref": f"#/$defs/{one}"}
    return {"anyOf": [reference, {"type": "array", "items": reference}, {"type": "null"}]}


def _check(kind: CheckType, base: dict[str, Any], methods: dict[str, Any]) -> dict[str, Any]:
    properties = {**base["properties"], **methods}
    if kind is CheckType.READINESS:
        properties["termination_grace_period_seconds"] = {"type": "null"}
    else:
        properties["success_threshold"] = {**properties["success_threshold"], "maximum": 1}
    third_party = {"not": {"propertyNames": {"not": {"pattern": _THIRD_PARTY}}}}
    return {
        **base,
        "title": f"{kind} check",
        "description": "exactly one method, and when it is asked",
        "properties": properties,
        "patternProperties": {_THIRD_PARTY: {"type": "object"}},
        "oneOf": [*({"required": [name]} for name in methods), third_party],
    }
