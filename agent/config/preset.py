"""Presets: what is known of a model server, as data; one YAML file each, built in or a user's own."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import yaml
from msgspec import Meta

from agent.config.decode import Decoder
from agent.config.merge import merged
from agent.config.parse import parse
from agent.config.problems import ConfigError, Problem
from agent.config.scalars import INVALID
from agent.config.sources import SourceRef, read_text
from agent.config.tree import Node
from agent.config.words import suggestion
from agent.core.settings import Port, PositiveSeconds

FOLDER: Final = Path(__file__).with_name("presets")
CHECKS: Final = ("startup_check", "liveness_check", "readiness_check")
_FILES: Final = (".yaml", ".yml", ".json")


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What a preset's file says beside its checks."""

    extends: Annotated[str | None, Meta(description="the built-in one that this is laid over")] = None
    title: Annotated[str | None, Meta(description="the server's name as people write it")] = None
    versions: Annotated[str | None, Meta(description="of the server, that it was made for")] = None
    sources: Annotated[tuple[str, ...], Meta(description="where its facts are from")] = ()
    blind_spots: Annotated[tuple[str, ...], Meta(description="what it cannot see; explain warns of them")] = ()
    load_seconds: Annotated[PositiveSeconds | None, Meta(description="how long a load usually takes")] = None
    port: Annotated[Port | None, Meta(description="where the server listens by default")] = None
    ports: Annotated[dict[str, Port], Meta(description="other ports of it, by name")] = {}


class Template(msgspec.Struct, frozen=True):
    """One check of a preset; ``{model}`` in it stands for the container's model.

    ``on_request``: used only where the container writes a check of this name; a text says what is lost without it.
    ``without_model``: the stand-in where the container names no model. None: not said.
    """

    name: str
    node: Node
    on_request: str | bool | None = None
    without_model: bool | None = None


class Preset(msgspec.Struct, frozen=True):
    """One preset, read and whole; ``file`` is None for a built-in one."""

    name: str
    file: str | None
    about: About
    checks: Mapping[str, tuple[Template, ...]]


def names() -> list[str]:
    """The built-in presets, in the order of their names."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def is_file(name: str) -> bool:
    """Whether a document means a file of its own rather than a name."""
    return "/" in name or name.endswith(_FILES)


def read(decoder: Decoder, name: str, place: Node, folder: Path) -> Preset | None:
    """The preset, or None once it is reported why there is none; ``folder`` is where relative paths begin."""
    if is_file(name):
        file = str(folder / name)
        return _whole(decoder, name, file, _tree(decoder, SourceRef(name, file)))
    found = {_folded(known): known for known in names()}.get(_folded(name))
    if found is None:
        guess = suggestion(name, names())
        hint = f"did you mean '{guess}'?" if guess else f"there are {', '.join(names())}"
        decoder.report(place, f"no such preset, {hint} (a file of your own is given by its path, as in ./my.yaml)")
        return None
    return _whole(decoder, found, None, _tree(decoder, SourceRef(f"preset {found}", str(FOLDER / f"{found}.yaml"))))


def as_yaml(value: Any) -> str:
    """A plain value as YAML, keys in their order."""
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
    return text


def laid(key: str, known: Sequence[Template], written: Sequence[Template] | None) -> tuple[Template, ...]:
    """The checks of one type where these are ``written`` over those that are ``known`` (docs/presets.md).

    Nothing written: the known ones. Only checks with names of known ones: those, changed, beside the others. Anything
    else: exactly what is written, where a known name still stands for its check.
    """
    if written is None:
        return tuple(known)
    by_name = {one.name: one for one in known if one.name}
    changes = {one.name: one for one in written if one.name in by_name}
    if written and len(changes) == len(written):
        return tuple(_over(one, changes.get(one.name), key) for one in known)
    return tuple(_over(by_name[one.name], one, key) if one.name in by_name else one for one in written)


def _over(base: Template, own: Template | None, key: str) -> Template:
    if own is None:
        return base
    return Template(
        base.name,
        own.node.like(merged(base.node, own.node, key).value),
        base.on_request if own.on_request is None else own.on_request,
        base.without_model if own.without_model is None else own.without_model,
    )


def items_of(written: Node | None) -> list[Node] | None:
    """The checks that a document writes of one type; None where it writes nothing."""
    if written is None or written.value is None:
        return None
    return written.value if isinstance(written.value, list) else [written]


def name_of(check: Node) -> str:
    """The name that a check gives itself, or ""."""
    name = check.value.get("name") if isinstance(check.value, dict) else None
    return name.value if name is not None and isinstance(name.value, str) else ""


def _folded(name: str) -> str:
    """TF-Serving, tf_serving and tfserving are one."""
    return re.sub(r"[-_. ]", "", name.lower())


def _tree(decoder: Decoder, source: SourceRef) -> Node | None:
    try:
        parsed = parse(read_text(source), source.name)
    except ConfigError as error:
        decoder.problems += error.problems
        return None
    decoder.problems += parsed.problems
    if parsed.fault is not None:
        return None
    roots = parsed.documents
    if len(roots) != 1 or not isinstance(roots[0].value, dict):
        message = "expected one map, with keys such as port, startup_check and liveness_check"
        decoder.problems.append(Problem(source.name, roots[0].line if roots else 0, "", message))
        return None
    return roots[0]


def _whole(decoder: Decoder, name: str, file: str | None, root: Node | None) -> Preset | None:
    about = INVALID if root is None else decoder.struct(root, About, CHECKS)
    if root is None or about is INVALID:
        return None
    base = None
    if about.extends is not None:
        place = root.at("extends")
        if is_file(about.extends) or file is None:
            decoder.report(place, "must be the name of a built-in preset")
            return None
        base = read(decoder, about.extends, place, Path())
        if base is None:
            return None
        about = _extended(base.about, about, root)
    checks = {}
    for key in CHECKS:
        items = items_of(root.value.get(key))
        written = None if items is None else [_template(decoder, item) for item in items]
        checks[key] = laid(key, () if base is None else base.checks[key], written)
    return Preset(name, file, about, checks)


def _extended(base: About, own: About, root: Node) -> About:
    """The own words, where there are some; sources and blind spots of both."""
    given = {key: getattr(own, key) for key in root.value if key in own.__struct_fields__}
    both = {key: (*getattr(base, key), *getattr(own, key)) for key in ("sources", "blind_spots")}
    return msgspec.structs.replace(base, **given | both | {"ports": base.ports | own.ports})


def _template(decoder: Decoder, node: Node) -> Template:
    """A check without the marks that only presets know."""
    if not isinstance(node.value, dict):
        return Template("", node)
    marks: dict[str, Any] = {}
    for key, kinds in (("on_request", (bool, str)), ("without_model", (bool,))):
        child = node.value.get(key)
        if child is None:
            continue
        if isinstance(child.value, kinds):
            marks[key] = child.value
        else:
            more = ", or what is lost without it" if str in kinds else ""
            decoder.report(child, f"expected true or false{more}")
    rest = {key: child for key, child in node.value.items() if key not in ("on_request", "without_model")}
    return Template(name_of(node), node.like(rest), **marks)
