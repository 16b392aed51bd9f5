"""HEALTH_AGENT_* variables: a whole configuration without a document, or single scalars laid over one."""

import re
from collections.abc import Mapping
from typing import Final

from agent.config.decode import struct_fields
from agent.config.parse import parse
from agent.config.problems import Problem
from agent.config.shapes import Document
from agent.config.sources import CONFIG_VARIABLE
from agent.config.tree import Node, below
from agent.config.words import suggestion
from agent.core.settings import Log, Server

PREFIX: Final = "HEALTH_AGENT_"
EXEC_IN: Final = "HEALTH_AGENT_EXEC_IN"
THRESHOLD_SEMANTICS: Final = "HEALTH_AGENT_THRESHOLD_SEMANTICS"
READERS: Final = frozenset({CONFIG_VARIABLE, EXEC_IN, THRESHOLD_SEMANTICS})
_CHECKS: Final = {f"{PREFIX}{kind}_CHECK": f"{kind.lower()}_check" for kind in ("STARTUP", "LIVENESS", "READINESS")}
_BLOCKS: Final = {**_CHECKS, "HEALTH_AGENT_RESTART": "restart", "HEALTH_AGENT_RUNTIME": "runtime"}
_SCALARS: Final = {
    "HEALTH_AGENT_CONTAINER": "name",
    "HEALTH_AGENT_TARGET_HOST": "host",
    "HEALTH_AGENT_TARGET_PORT": "port",
    "HEALTH_AGENT_PRESET": "preset",
    "HEALTH_AGENT_MODEL": "model",
}
_INJECTED: Final = re.compile(
    r".*_SERVICE_HOST|.*_SERVICE_PORT|.*_SERVICE_PORT_.*|.*_PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?"
)


def settings(environ: Mapping[str, str]) -> dict[str, str]:
    """The agent's own variables; not the empty ones, nor what is injected for a service of that name."""
    return {
        name: value
        for name, value in environ.items()
        if name.startswith(PREFIX) and value and not _is_injected(name, value)
    }


def _is_injected(name: str, value: str) -> bool:
    link = name.endswith("_PORT") and value.startswith(("tcp://", "udp://", "sctp://"))
    return link or _INJECTED.fullmatch(name) is not None


def is_path(name: str) -> bool:
    """Whether the variable names a place of the native document, as HEALTH_AGENT_SERVER__PORT does."""
    return _steps(name)[0] in _top_level()


def _top_level() -> set[str]:
    return {field.encode_name for field in struct_fields(Document)}


def _steps(name: str) -> list[str]:
    return name.removeprefix(PREFIX).lower().split("__")


def problems_of(found: Mapping[str, str], *, beside: str) -> list[Problem]:
    """Unknown variables, and those that make a document of their own where ``beside`` already is one."""
    problems = []
    for name in sorted(found):
        if name in READERS or is_path(name):
            continue
        if name in _BLOCKS or name in _SCALARS:
            if beside:
                message = f"set beside the document {beside}: the document speaks, write it there or unset this"
                problems.append(Problem(name, 1, "", message))
            continue
        problems.append(Problem(name, 1, "", f"unknown variable{_hint(name)}"))
    return problems


def _hint(name: str) -> str:
    known = [*_BLOCKS, *_SCALARS, *READERS, *(f"{PREFIX}{key.upper()}" for key in _top_level())]
    for block, cls in (("SERVER", Server), ("LOG", Log)):
        known += [f"{PREFIX}{block}__{field.encode_name.upper()}" for field in struct_fields(cls)]
    same_end = [one for one in known if one.endswith("__" + name.removeprefix(PREFIX))]
    guess = same_end[0] if same_end else suggestion(name.lower(), [one.lower() for one in known])
    return f", did you mean '{guess.upper()}'?" if guess else "; docs/configuration.md lists them"


def document(found: Mapping[str, str]) -> tuple[Node | None, list[Problem]]:
    """The native tree of one container that the variables describe; None where they describe none."""
    if not any(name in found for name in (*_CHECKS, "HEALTH_AGENT_PRESET")):
        return None, []
    problems: list[Problem] = []
    container = {"name": Node("model", "HEALTH_AGENT_CONTAINER", 1, "containers[0].name", "model", "quoted")}
    for name, key in _SCALARS.items():
        if name in found:
            container[key] = _scalar(name, found[name], f"containers[0].{key}")
    for name, key in _BLOCKS.items():
        if name not in found:
            continue
        parsed = parse(found[name], name, f"containers[0].{key}")
        problems += parsed.problems
        if parsed.fault is None and len(parsed.documents) == 1:
            container[key] = parsed.documents[0]
        elif not parsed.problems:
            problems.append(Problem(name, 1, "", "must hold one YAML or JSON document"))
    first = next(name for name in (*_CHECKS, "HEALTH_AGENT_PRESET") if name in found)
    containers = Node([Node(container, first, 1, "containers[0]")], first, 1, "containers")
    return Node({"containers": containers}, first, 1), problems


def overlaid(root: Node, found: Mapping[str, str]) -> tuple[Node, list[Problem]]:
    """``root`` with every variable that names a path laid over it."""
    problems = []
    for name in sorted(found):
        if name not in READERS and is_path(name):
            laid, wrong = _lay(root, _steps(name), name, found[name], "")
            root = laid
            problems += [Problem(name, 1, ".".join(_steps(name)), wrong)] if wrong else []
    return root, problems


def _lay(node: Node, steps: list[str], name: str, value: str, path: str) -> tuple[Node, str]:
    """A copy of ``node`` with ``value`` at ``steps`` below it, and what is wrong with the path."""
    if not steps:
        return _scalar(name, value, path), ""
    step, rest = steps[0], steps[1:]
    if isinstance(node.value, list):
        at = int(step) if step.isdecimal() and len(step) < 6 else -1
        if not 0 <= at < len(node.value):
            return node, f"there is no item {step} here: it has items 0 to {len(node.value) - 1}"
        child, wrong = _lay(node.value[at], rest, name, value, f"{path}[{at}]")
        return Node([*node.value[:at], child, *node.value[at + 1 :]], node.file, node.line, node.path), wrong
    here = node.value if isinstance(node.value, dict) else {}
    below_it = below(path, step)
    child, wrong = _lay(here.get(step) or Node({}, name, 1, below_it), rest, name, value, below_it)
    return Node({**here, step: child}, node.file, node.line, node.path), wrong


def _scalar(name: str, value: str, path: str) -> Node:
    return Node(value, name, 1, path, value, "loose")
