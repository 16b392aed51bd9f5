"""A preset spelt out: as plain values for programs, and as a document with its sources for people."""

import json
import textwrap
from pathlib import Path
from typing import Any, Final

import msgspec

from agent.config.load import load
from agent.config.native import new_decoder
from agent.config.preset import Preset, as_yaml, names, read
from agent.config.problems import ConfigError
from agent.config.sources import SourceRef
from agent.config.tree import Node, plain

_ANY_PORT: Final = 8000  # stands in where the preset leaves the port to the container
_ASKED: Final = "health-agent presets"


def presets_shown(name: str | None = None, model: str | None = None) -> list[dict[str, Any]]:
    """One preset, or every built-in one, as plain values. Raises ConfigError."""
    return [_shown(one, model) for one in (names() if name is None else [name])]


def document(shown: dict[str, Any]) -> str:
    """A container that spells the preset out, below what is known of it; a document that can be changed."""
    told = [f"{shown['title'] or shown['name']}, {shown['versions'] or 'any version'}"]
    for title, lines in (("cannot see:", shown["blind_spots"]), ("sources:", shown["sources"])):
        told += ["", title, *(one for line in lines for one in _wrapped(f"- {line}"))] if lines else []
    for one in shown["on_request"]:
        told += ["", *_wrapped(f"on request, {one['type']}_check {one['name']}: {one['why']}")]
        told += [f"  {line}" for line in as_yaml(one["check"]).splitlines()]
    comments = "\n".join(f"# {line}".rstrip() for line in told)
    return f"{comments}\n{as_yaml({'containers': [shown['container']]})}".rstrip()


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 100, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _shown(name: str, model: str | None) -> dict[str, Any]:
    decoder = new_decoder({})
    preset = read(decoder, name, Node(name, _ASKED, 0), Path())
    if preset is None or decoder.problems:
        raise ConfigError(decoder.problems)
    port = preset.about.port or _ANY_PORT
    asked = {"name": "model", "preset": name, "port": port} | ({"model": model} if model else {})
    loaded = load([SourceRef(_ASKED, content=json.dumps({"containers": [asked]}).encode())], {})
    unwritten = {"preset"} if preset.about.port else {"preset", "port"}
    written = plain(loaded.tree.at("containers[0]"))
    container = {"name": "model"} | {key: value for key, value in written.items() if key not in unwritten}
    return {
        "name": preset.name,
        **msgspec.to_builtins(preset.about),
        "checks": [msgspec.to_builtins(check) for check in loaded.config.containers[0].checks()],
        "on_request": _on_request(preset),
        "container": container,
    }


def _on_request(preset: Preset) -> list[dict[str, Any]]:
    return [
        {
            "type": key.removesuffix("_check"),
            "name": one.name,
            "why": one.on_request if isinstance(one.on_request, str) else "beside the one of liveness",
            "check": plain(one.node),
        }
        for key, templates in preset.checks.items()
        for one in templates
        if one.on_request
    ]
