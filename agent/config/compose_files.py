"""What a Compose project's files say of its services, together: included files, `extends` and `.env` too."""

import os.path
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from agent.config.decode import Decoder
from agent.config.interpolation import Interpolation, dotenv
from agent.config.merge import merged
from agent.config.parse import parse
from agent.config.problems import ConfigError
from agent.config.sources import SourceRef, read_text
from agent.config.tree import Node

BLOCK: Final = "x-health-agent"
_OURS: Final = (BLOCK, "healthcheck")
"""Keys of a service that bear on its checks: what is wrong in them is told."""
_LOOKED_AT: Final = (
    "image", "entrypoint", "command", "environment", "volumes", "configs", "network_mode", "profiles", "ports",
    "expose",
)  # fmt: skip
"""Keys that are read as far as there is sense in them."""
_MAX_FILES: Final = 32
_MAX_EXTENDS: Final = 16


class Project(msgspec.Struct):
    """The services by name, each a map of the keys that matter; the files' own block; `.env` under the environment."""

    root: Node
    variables: Mapping[str, str]
    services: dict[str, Node] = {}
    settings: Node | None = None
    name: str | None = None


class _File(msgspec.Struct, frozen=True):
    """One file of the project, where its relative paths begin, and how its references are replaced."""

    root: Node
    folder: Path
    interpolation: Interpolation

    def services(self) -> dict[str, Node]:
        services = self.root.value.get("services") if isinstance(self.root.value, dict) else None
        return services.value if services is not None and isinstance(services.value, dict) else {}


class Reader:
    """Reads one project. ``files`` are the paths that were read beside those that were given."""

    def __init__(self, decoder: Decoder, environ: Mapping[str, str]) -> None:
        self.files: list[str] = []
        self._decoder = decoder
        self._environ = environ
        self._included: set[Path] = set()
        self._roots: dict[Path, Node | None] = {}

    def project(self, roots: Sequence[Node], sources: Sequence[SourceRef]) -> Project:
        """The files laid over each other in their order, as `docker compose -f` does."""
        folders = [Path(source.path).parent if source.path else Path() for source in sources]
        project = Project(roots[0], self._variables(self._environ, [folders[0] / ".env"]))
        interpolation = Interpolation(project.variables, self._decoder.expansion)
        for root, folder in zip(roots, folders, strict=True):
            self._add(project, _File(root, folder, interpolation))
        return project

    def _variables(self, over: Mapping[str, str], paths: Sequence[Path]) -> Mapping[str, str]:
        """``over``, and below it what the `.env` files say, the later of them first; a missing one says nothing."""
        found: ChainMap[str, str] = ChainMap(dict(over))
        for path in reversed(paths):
            text = self._text(path) if _is_file(path) else None
            found.maps.append(dotenv(text or "", over))
        return found

    def _text(self, path: Path) -> str | None:
        """A file's text, or None once it is told why there is none."""
        try:
            text = read_text(SourceRef(str(path), str(path)))
        except ConfigError as wrong:
            self._decoder.problems += wrong.problems
            return None
        self.files.append(str(path))
        return text

    def _add(self, project: Project, file: _File) -> None:
        """Everything that a file says, laid over what is known; what it includes is below it."""
        for included in self._includes(file, project.variables):
            self._add(project, included)
        services = file.root.value.get("services")
        if services is not None and not isinstance(services.value, dict | None):
            self._decoder.report(services, "expected a map of services")
        for name, node in file.services().items():
            if not isinstance(node.value, dict):
                self._decoder.report(node, "expected a service (a map)")
                continue
            service = self._service(file, node, ())
            known = project.services.get(name)
            project.services[name] = service if known is None else merged(known, service)
        settings = self._replaced(file, file.root.value.get(BLOCK), strict=True)
        if settings is not None:
            project.settings = settings if project.settings is None else merged(project.settings, settings)
        project.name = self._word(file, file.root.value.get("name")) or project.name

    # -- services ----------------------------------------------------------------------------------------------------

    def _service(self, file: _File, node: Node, above: tuple[Node, ...]) -> Node:
        """The keys of a service that matter, laid over those of the one that it extends."""
        keys = {key: self._replaced(file, node.value.get(key), strict=key in _OURS) for key in (*_OURS, *_LOOKED_AT)}
        service = node.like({key: child for key, child in keys.items() if child is not None})
        extends = node.value.get("extends")
        base = None if extends is None or extends.value is None else self._base(file, extends, (*above, node))
        return service if base is None else merged(base, service)

    def _base(self, file: _File, extends: Node, above: tuple[Node, ...]) -> Node | None:
        """The service that ``extends`` names, in this file or in another."""
        told = extends.value if isinstance(extends.value, dict) else {"service": extends}
        name = self._word(file, told.get("service"))
        if not name:
            self._decoder.report(extends, "expected the name of a service, or a map with `service` and `file`")
            return None
        other: _File | None = file
        if "file" in told and told["file"].value is not None:
            path = _path(file.folder, self._word(file, told["file"]))
            other = self._file(path, told["file"], file.interpolation)
        if other is None:
            return None
        base = other.services().get(name)
        if base is None or not isinstance(base.value, dict):
            self._decoder.report(extends, f"there is no service '{name}' to extend")
            return None
        if any((base.file, base.line, base.path) == (one.file, one.line, one.path) for one in above):
            self._decoder.report(extends, f"the service '{name}' extends itself")
            return None
        if len(above) > _MAX_EXTENDS:
            self._decoder.report(extends, f"more than {_MAX_EXTENDS} services extend each other")
            return None
        return self._service(other, base, above)

    # -- other files -------------------------------------------------------------------------------------------------

    def _includes(self, file: _File, variables: Mapping[str, str]) -> Iterator[_File]:
        listed = file.root.value.get("include")
        for entry in listed.value if listed is not None and isinstance(listed.value, list) else []:
            told = entry.value if isinstance(entry.value, dict) else {"path": entry}
            paths = [_path(file.folder, word) for word in self._words(file, told.get("path"))]
            folder = self._word(file, told.get("project_directory"))
            base = file.folder / folder if folder else paths[0].parent if paths else file.folder
            given = [_path(file.folder, word) for word in self._words(file, told.get("env_file"))]
            for path in paths:
                if path not in self._included:
                    self._included.add(path)
                    below = self._variables(variables, given or [base / ".env"])
                    included = self._file(path, entry, Interpolation(below, self._decoder.expansion), base)
                    if included is not None:
                        yield included

    def _file(
        self, path: Path, named_at: Node, interpolation: Interpolation, folder: Path | None = None
    ) -> _File | None:
        """Another file of the project; what can't be had is left out, with a warning."""
        if path not in self._roots:
            self._roots[path] = self._root(path, named_at)
        root = self._roots[path]
        return None if root is None else _File(root, folder or path.parent, interpolation)

    def _root(self, path: Path, named_at: Node) -> Node | None:
        if not _is_file(path) or len(self._roots) >= _MAX_FILES:
            why = f"more than {_MAX_FILES} files" if _is_file(path) else "there is no such file here"
            self._decoder.warn(named_at, "W-COMPOSE-FILE", f"{path} is left out: {why}")
            return None
        parsed = parse(self._text(path) or "", str(path))
        self._decoder.problems += parsed.problems
        root = parsed.documents[0] if parsed.documents and parsed.fault is None else None
        return root if root is not None and isinstance(root.value, dict) else None

    # -- references --------------------------------------------------------------------------------------------------

    def _replaced(self, file: _File, node: Node | None, *, strict: bool) -> Node | None:
        """``node`` with its references replaced; ``strict``: what is wrong with them is told."""
        return None if node is None else file.interpolation.node(node, self._decoder if strict else None)

    def _word(self, file: _File, node: Node | None) -> str:
        found = self._replaced(file, node, strict=False)
        return found.value if found is not None and isinstance(found.value, str) else ""

    def _words(self, file: _File, node: Node | None) -> list[str]:
        listed = node.value if node is not None and isinstance(node.value, list) else [node]
        return [word for word in (self._word(file, one) for one in listed) if word]


def _path(folder: Path, word: str) -> Path:
    return Path(os.path.normpath(folder / word))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False
