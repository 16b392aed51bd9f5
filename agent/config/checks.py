"""A check's map to its method and numbers, and later, beside its siblings, to the engine's Check."""

from collections.abc import Sequence
from typing import Any

import msgspec

from agent.config.choices import CHECKS, Choice, choose
from agent.config.decode import Decoder, struct_fields
from agent.config.scalars import INVALID
from agent.config.shapes import CheckFields
from agent.config.tree import Node
from agent.config.words import suggestion
from agent.core.model import Check, CheckType

TYPES = {f"{kind}_check": kind for kind in CheckType}


class Draft(msgspec.Struct, frozen=True):
    """A decoded check that has not met the rules yet; ``choice`` is None where the method was wrong."""

    node: Node
    fields: CheckFields
    choice: Choice | None


def decode_checks(decoder: Decoder, node: Node) -> tuple[Draft, ...]:
    """The checks of one type: a map, a list of maps, or nothing."""
    if node.value is None:
        return ()
    nodes = node.value if isinstance(node.value, list) else [node]
    drafts = [_draft(decoder, child) for child in nodes]
    return tuple(draft for draft in drafts if draft is not None)


def _draft(decoder: Decoder, node: Node) -> Draft | None:
    if not isinstance(node.value, dict):
        decoder.report(node, "expected a check (a map), or a list of checks")
        return None
    methods = [key for key in node.value if CHECKS.holds(key)]
    own = [field.encode_name for field in struct_fields(CheckFields)]
    strangers = [key for key in node.value if key not in own and key not in methods]
    fields = decoder.struct(node, CheckFields, {**dict.fromkeys(CHECKS.names), **dict.fromkeys(methods)})
    if not methods and any(_meant_method(key, node.value[key]) for key in strangers):
        choice = None  # the unknown key has been reported: it is the method
    else:
        choice = choose(decoder, node, CHECKS, methods)
    return Draft(node, CheckFields() if fields is INVALID else fields, choice)


def _meant_method(key: str, node: Node) -> bool:
    return isinstance(node.value, dict) or suggestion(key, CHECKS.names) is not None


def build_checks(decoder: Decoder, kind: CheckType, drafts: Sequence[Draft], word: str = "") -> tuple[Check, ...]:
    """The engine's checks of one type, named and defaulted; what no rule allows is reported, as of a ``word`` check."""
    taken: dict[str, int] = {}
    for draft in drafts:
        name = draft.fields.name
        if name in taken:
            place = draft.node.at("name")
            decoder.report(place, f"a second {word or kind} check named '{name}', the first is on line {taken[name]}")
        elif name is not None:
            taken[name] = draft.node.line
    checks = []
    for draft in drafts:
        _type_rules(decoder, kind, draft, word or kind)
        if draft.choice is not None:
            name = draft.fields.name or _free_name(draft.choice.name, taken)
            taken.setdefault(name, draft.node.line)
            if draft.choice.options is not None:
                checks.append(_check(kind, name, draft, draft.choice))
    return tuple(checks)


def _free_name(method: str, taken: dict[str, int]) -> str:
    name, number = method, 1
    while name in taken:
        number += 1
        name = f"{method}-{number}"
    return name


def _type_rules(decoder: Decoder, kind: CheckType, draft: Draft, word: str) -> None:
    """Kubernetes' validateProbe: what depends on the type (probe-semantics 3.2)."""
    if kind is not CheckType.READINESS and draft.fields.success_threshold != 1:
        decoder.report(draft.node.at("success_threshold"), f"must be 1 for a {kind} check")
    if kind is CheckType.READINESS and draft.fields.termination_grace_period_seconds is not None:
        place = draft.node.at("termination_grace_period_seconds")
        decoder.report(place, f"not allowed on a {word} check: it never ends a container")


def _check(kind: CheckType, name: str, draft: Draft, choice: Choice) -> Check:
    fields, options = draft.fields, choice.options
    return Check(
        name=name,
        type=kind,
        method=choice.name,
        options=options,
        initial_delay_seconds=fields.initial_delay_seconds,
        period_seconds=fields.period_seconds,
        timeout_seconds=_given(fields.timeout_seconds, options, "default_timeout_seconds", 1.0),
        success_threshold=fields.success_threshold,
        failure_threshold=int(_given(fields.failure_threshold, options, "default_failure_threshold", 3)),
        termination_grace_period_seconds=fields.termination_grace_period_seconds,
        errors_are_failures=fields.errors_are_failures,
    )


def _given(value: float | None, options: Any, attribute: str, default: float) -> float:
    return float(getattr(options, attribute, default)) if value is None else value
