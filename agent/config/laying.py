"""Lays a container's own words over its preset: what is left is a native container that names its checks itself."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from agent.config.choices import CHECKS as METHODS
from agent.config.decode import Decoder
from agent.config.preset import CHECKS, Preset, Template, items_of, laid, name_of, read
from agent.config.problems import Problem
from agent.config.tree import Node, below, moved

MODEL = "{model}"
"""What stands for the model's name in a preset."""


def over_presets(decoder: Decoder, tree: Node, files: list[str]) -> tuple[Node, list[Problem]]:
    """The native tree with every preset spelt out, and what the presets cannot see; ``files`` grows by those read."""
    containers = tree.value.get("containers")
    blind: list[Problem] = []
    if containers is None or not isinstance(containers.value, list):
        return tree, blind
    known = frozenset(files)
    spelt = [_spelt(decoder, one, known, files, blind) for one in containers.value]
    return tree.like({**tree.value, "containers": containers.like(spelt)}), blind


def _spelt(decoder: Decoder, container: Node, known: frozenset[str], files: list[str], blind: list[Problem]) -> Node:
    place = container.value.get("preset") if isinstance(container.value, dict) else None
    name = None if place is None else _text(decoder, place)
    if place is None or not name:
        return container
    folder = Path(place.file).parent if place.file in known else Path()
    preset = read(decoder, name, place, folder)
    if preset is None:
        return container
    if preset.file is not None:
        files.append(preset.file)
    blind += [
        Problem(place.file, place.line, place.path, f"{preset.about.title or preset.name}: {spot}", "W-PRESET-BLIND")
        for spot in preset.about.blind_spots
    ]
    checks = {key: _checks(decoder, key, container, place, preset) for key in CHECKS}
    return container.like(_defaults(place, preset) | container.value | _ports(container, place, preset) | checks)


def _defaults(place: Node, preset: Preset) -> dict[str, Node]:
    seconds = preset.about.load_seconds
    usual = int(seconds) if seconds is not None and seconds.is_integer() else seconds
    about = {"port": preset.about.port, "load_seconds": usual}
    return {key: place.like(value) for key, value in about.items() if value is not None}


def _ports(container: Node, place: Node, preset: Preset) -> dict[str, Node]:
    """The preset's port where the container writes null, and its other ports beside those of the container."""
    found = {}
    if preset.about.port is not None and "port" in container.value and container.value["port"].value is None:
        found["port"] = place.like(preset.about.port)
    written = container.value.get("ports")
    if preset.about.ports and (written is None or isinstance(written.value, dict | None)):
        own = {} if written is None or written.value is None else written.value
        found["ports"] = place.like({name: place.like(port) for name, port in preset.about.ports.items()} | own)
    return found


def _checks(decoder: Decoder, key: str, container: Node, place: Node, preset: Preset) -> Node:
    """The checks of one type, none where it is reported what is wrong with those that are written."""
    known = preset.checks[key]
    written = container.value.get(key)
    items = items_of(written)
    if items is not None and written is not None and written.value is not items and _is_nameless(items[0]):
        standing = [one.name for one in known if not one.on_request]
        if len(standing) != 1:
            told = f"names no method, and none of the preset's checks: {', '.join(one.name for one in known)}"
            decoder.report(written, told)
            return _listed(below(container.path, key), written, [])
        own = [Template(standing[0], items[0])]
    else:
        own = [] if items is None else [Template(name_of(item), item) for item in items]
    asked = {one.name for one in own}
    model = _text(decoder, container.value["model"]) if "model" in container.value else None
    used, without = [], []
    for one in laid(key, known, None if items is None else own):
        if one.on_request and one.name not in asked:
            _tell_lost(decoder, key, place, one)
        elif not model and _needs_model(one.node):
            without.append(one.name)
        elif not (model and one.without_model and one.name not in asked):
            used.append(one.node)
    if without:
        message = f"without the model's name {key} goes without {', '.join(without)}: add `model` (HEALTH_AGENT_MODEL)"
        decoder.warn(place, "W-PRESET-MODEL", message)
    return _listed(below(container.path, key), written or place, [_filled(one, model) for one in used])


def _is_nameless(item: Node) -> bool:
    """Whether it only changes numbers: neither a name nor a method."""
    return isinstance(item.value, dict) and "name" not in item.value and not any(map(METHODS.holds, item.value))


def _tell_lost(decoder: Decoder, key: str, place: Node, one: Template) -> None:
    if isinstance(one.on_request, str):
        decoder.warn(place, "W-PRESET-CANARY", f"{one.on_request}: {key}: [{{name: {one.name}, inference: {{...}}}}]")


def _listed(path: str, place: Node, checks: Sequence[Node]) -> Node:
    """One check as a map, several as a list, each with its path in the container."""
    if len(checks) == 1:
        return moved(checks[0], path)
    listed = place.like([moved(check, f"{path}[{at}]") for at, check in enumerate(checks)])
    listed.path = path
    return listed


def _text(decoder: Decoder, node: Node) -> str | None:
    """A string with its references expanded; None for anything else, and where the decoder will complain of it."""
    if not isinstance(node.value, str):
        return None
    try:
        return decoder.expansion.expand(node.value)
    except ValueError:
        return None


def _needs_model(node: Node) -> bool:
    """Whether a string in it cannot be written without the model's name."""
    if isinstance(node.value, str):
        return MODEL in node.value and node.value != MODEL
    return any(_needs_model(child) for _, child in node.children())


def _filled(node: Node, model: str | None, key: str = "") -> Node:
    """A copy with the model's name in its place; without one, a value that is nothing else is left out."""
    value: Any = node.value
    if isinstance(value, dict):
        value = {name: _filled(child, model, name) for name, child in value.items() if model or child.value != MODEL}
    elif isinstance(value, list):
        value = [_filled(child, model) for child in value]
    elif isinstance(value, str) and model and MODEL in value:
        value = value.replace(MODEL, quote(model, safe="") if key == "path" else model.replace("${", "$${"))
        return Node(value, node.file, node.line, node.path, value, node.style)
    return Node(value, node.file, node.line, node.path, node.raw, node.style)
