"""Sources and environment to one resolved configuration, or to everything that is wrong with them."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import msgspec

from agent.config import compose, compose_files, eas, environment, kubernetes
from agent.config.decode import Decoder
from agent.config.hint import listen_port
from agent.config.kinds import Kind, KindName, kind_of
from agent.config.laying import over_presets
from agent.config.merge import merged
from agent.config.native import build, new_decoder
from agent.config.parse import parse
from agent.config.problems import ConfigError, Options, Problem
from agent.config.sources import CONFIG_VARIABLE, DEFAULT_PATH, SourceRef, read_text
from agent.config.tree import Node, Over
from agent.core.settings import Config


class Loaded(msgspec.Struct, kw_only=True):
    """A usable configuration and what there is to say about it.

    ``exec_nowhere`` are commands that nothing here can run: `validate` warns of them, `run` and `check` refuse.
    ``blind_spots`` are what the presets cannot see, for `explain`. ``files`` are the paths that were read.
    ``unexpanded`` turns what came from the environment into references again.
    """

    config: Config
    kind: KindName
    warnings: list[Problem]
    exec_nowhere: list[Problem]
    blind_spots: list[Problem]
    files: tuple[str, ...]
    tree: Node
    unexpanded: Callable[[str], str]

    def where(self, path: str) -> tuple[str, int]:
        """File and line of a path such as `containers[0].liveness_check.timeout_seconds`, or of the nearest above."""
        node = self.tree.at(path)
        return node.file, node.line


class _Reading(msgspec.Struct, frozen=True):
    """What decides how documents are read: options, the environment, and the port that the agent listens on."""

    exec_in: str
    semantics: eas.Semantics
    environ: Mapping[str, str]
    listener: int


class WrittenDocument(msgspec.Struct, frozen=True):
    """What one kind says: a file with one or more roots, or the files of one Compose project."""

    kind: Kind
    roots: list[Node]
    sources: list[SourceRef]


def load(sources: Sequence[SourceRef], environ: Mapping[str, str], options: Options | None = None) -> Loaded:
    """Read everything and resolve it. Raises ConfigError with every problem of every source."""
    found = environment.settings(environ)
    decoder = new_decoder(environ, keep_unset=options is not None and options.keep_unset)
    problems = decoder.problems
    documents = [read_document(source, problems) for source in sources]
    problems += environment.problems_of(found, beside=", ".join(source.name for source in sources))
    read = _projects([document for document in documents if document is not None])
    listener = listen_port((root for document in read for root in document.roots), environ)
    reading = _reading(options or Options(), found, problems, environ, listener)
    if None in documents:
        raise ConfigError(_in_order(problems))
    files = [source.path for source in sources if source.path is not None]
    over = _laid_over(read)
    trees = [_native(decoder, document, reading, files, over) for document in read]
    if not sources:
        trees = [_from_environment(found, problems)]
    if None in trees:
        raise ConfigError(_in_order(problems))
    tree, wrong = environment.overlaid(functools.reduce(merged, filter(None, trees)), found)
    problems += wrong
    tree, blind_spots = over_presets(decoder, tree, files)
    config, nowhere = build(decoder, tree)
    if problems or config is None:
        raise ConfigError(_in_order(problems))
    return Loaded(
        config=config,
        kind=read[0].kind.name if read else "environment",
        warnings=_in_order(decoder.warnings),
        exec_nowhere=nowhere,
        blind_spots=blind_spots,
        files=tuple(files),
        tree=tree,
        unexpanded=decoder.expansion.unexpanded,
    )


def _reading(
    options: Options, found: Mapping[str, str], problems: list[Problem], environ: Mapping[str, str], listener: int
) -> _Reading:
    exec_in: Any = options.exec_in or found.get(environment.EXEC_IN) or "container"
    semantics: Any = options.threshold_semantics or found.get(environment.THRESHOLD_SEMANTICS) or "kubernetes"
    for name, value, allowed in (
        (environment.EXEC_IN, exec_in, ("agent", "container")),
        (environment.THRESHOLD_SEMANTICS, semantics, get_args(eas.Semantics)),
    ):
        if value not in allowed:
            problems.append(Problem(name, 1, "", f'"{value}" is none of {", ".join(allowed)}'))
    return _Reading(exec_in, semantics, environ, listener)


def read_document(source: SourceRef, problems: list[Problem]) -> WrittenDocument | None:
    """The top-level maps of a source, or None once it is reported why there are none."""
    roots = source.roots if source.roots is not None else _roots(source, problems)
    if roots is None:
        return None
    if not roots:
        problems.append(Problem(source.name, 1, "", "is empty: expected a configuration"))
        return None
    kind = kind_of(roots[0])
    wrong = next(((root, text) for root in roots if (text := _misfit(root, kind, len(roots)))), None)
    if wrong is not None:
        problems.append(Problem(source.name, wrong[0].line, "", wrong[1]))
        return None
    return WrittenDocument(kind, roots, [source])


def _roots(source: SourceRef, problems: list[Problem]) -> list[Node] | None:
    try:
        text = read_text(source)
    except ConfigError as error:
        problems += error.problems
        return None
    parsed = parse(text, source.name)
    problems += parsed.problems
    return None if parsed.fault is not None else [root for root in parsed.documents if root.value is not None]


def _misfit(root: Node, kind: Kind, count: int) -> str:
    """What is wrong with a document beside the others of its file."""
    if not isinstance(root.value, dict):
        return "expected a map at the top level, such as `containers: [...]`"
    if count > 1 and not kind.many:
        return f"holds {count} documents, expected one: put each in a file of its own"
    if kind_of(root) is not kind:
        return f"no Kubernetes manifest (apiVersion and kind) as the first document is, but {kind_of(root).title}"
    return ""


def _projects(documents: Sequence[WrittenDocument]) -> list[WrittenDocument]:
    """Compose files that follow each other are one project: their services are complete only together."""
    found: list[WrittenDocument] = []
    for document in documents:
        if found and document.kind.name == found[-1].kind.name == "compose":
            last = found.pop()
            found.append(WrittenDocument(last.kind, [*last.roots, *document.roots], [*last.sources, *document.sources]))
        else:
            found.append(document)
    return found


def _laid_over(documents: Sequence[WrittenDocument]) -> Over | None:
    """What native documents say of each container beside another's word; None for a document by itself."""
    found: dict[str, dict[str, Node]] = {}
    for document in documents:
        if document.kind.name == "native":
            for _, container in document.roots[0].at("containers").children():
                name = container.value.get("name") if isinstance(container.value, dict) else None
                if name is not None and isinstance(name.value, str):
                    found[name.value] = {**found.get(name.value, {}), **container.value}
    return found if len(documents) > 1 else None


def _native(
    decoder: Decoder, document: WrittenDocument, reading: _Reading, files: list[str], over: Over | None
) -> Node | None:
    """The native tree; ``files`` grows by what else was read for it."""
    root = document.roots[0]
    if document.kind.name == "eas":
        return eas.native_tree(decoder, root, reading.semantics, reading.exec_in, over)
    if document.kind.name == "kubernetes":
        return kubernetes.native_tree(decoder, document.roots, reading.exec_in, reading.listener, over)
    if document.kind.name == "compose":
        reader = compose_files.Reader(decoder, reading.environ)
        project = reader.project(document.roots, document.sources)
        files += reader.files
        return compose.native_tree(decoder, project, over)
    return root


def _from_environment(found: Mapping[str, str], problems: list[Problem]) -> Node | None:
    tree, wrong = environment.document(found)
    problems += wrong
    if tree is None:
        message = (
            f"no configuration: give --config FILE, or set {CONFIG_VARIABLE}, or write {DEFAULT_PATH}, "
            "or set HEALTH_AGENT_PRESET, _LIVENESS_CHECK, _READINESS_CHECK or _STARTUP_CHECK"
        )
        problems.append(Problem("environment", 0, "", message))
    return tree


def _in_order(problems: Sequence[Problem]) -> list[Problem]:
    """Each problem once; file by file as they were read, and by line within each."""
    files = {problem.file: at for at, problem in reversed(list(enumerate(problems)))}
    return sorted(dict.fromkeys(problems), key=lambda problem: (files[problem.file], problem.line))
