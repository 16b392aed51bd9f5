"""Sources and environment to one resolved configuration, or to everything that is wrong with them."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import msgspec

from agent.config import eas, environment
from agent.config.decode import Decoder
from agent.config.kinds import KindName, kind_of
from agent.config.merge import merged
from agent.config.native import build, new_decoder
from agent.config.parse import parse
from agent.config.problems import ConfigError, Options, Problem
from agent.config.sources import CONFIG_VARIABLE, DEFAULT_PATH, SourceRef, read_text
from agent.config.tree import Node
from agent.core.settings import Config


class Loaded(msgspec.Struct, kw_only=True):
    """A usable configuration and what there is to say about it.

    ``exec_nowhere`` are commands that nothing here can run: `validate` warns of them, `run` and `check` refuse.
    ``files`` are the paths that were read.
    """

    config: Config
    kind: KindName
    warnings: list[Problem]
    exec_nowhere: list[Problem]
    files: tuple[str, ...]
    tree: Node

    def where(self, path: str) -> tuple[str, int]:
        """File and line of a path such as `containers[0].liveness_check.timeout_seconds`, or of the nearest above."""
        node = self.tree.at(path)
        return node.file, node.line


class _Reading(msgspec.Struct, frozen=True):
    """The options that decide how documents are read, from the command line or the environment."""

    exec_in: str
    semantics: eas.Semantics


def load(sources: Sequence[SourceRef], environ: Mapping[str, str], options: Options | None = None) -> Loaded:
    """Read everything and resolve it. Raises ConfigError with every problem of every source."""
    found = environment.settings(environ)
    decoder = new_decoder(environ)
    problems = decoder.problems
    reading = _reading(options or Options(), found, problems)
    roots = [_root(source, problems) for source in sources]
    problems += environment.problems_of(found, beside=", ".join(source.name for source in sources))
    if not sources:
        roots = [_from_environment(found, problems)]
    alone = len(roots) == 1
    trees = [_native(decoder, root, reading, alone=alone) if root is not None else None for root in roots]
    if None in trees:
        raise ConfigError(_in_order(problems))
    tree, wrong = environment.overlaid(functools.reduce(merged, filter(None, trees)), found)
    problems += wrong
    config, nowhere = build(decoder, tree)
    if problems or config is None:
        raise ConfigError(_in_order(problems))
    return Loaded(
        config=config,
        kind=kind_of(roots[0]).name if sources and roots[0] is not None else "environment",
        warnings=_in_order(decoder.warnings),
        exec_nowhere=nowhere,
        files=tuple(source.path for source in sources if source.path is not None),
        tree=tree,
    )


def _reading(options: Options, found: Mapping[str, str], problems: list[Problem]) -> _Reading:
    exec_in: Any = options.exec_in or found.get(environment.EXEC_IN) or "container"
    semantics: Any = options.threshold_semantics or found.get(environment.THRESHOLD_SEMANTICS) or "kubernetes"
    for name, value, allowed in (
        (environment.EXEC_IN, exec_in, ("agent", "container")),
        (environment.THRESHOLD_SEMANTICS, semantics, get_args(eas.Semantics)),
    ):
        if value not in allowed:
            problems.append(Problem(name, 1, "", f'"{value}" is none of {", ".join(allowed)}'))
    return _Reading(exec_in, semantics)


def _root(source: SourceRef, problems: list[Problem]) -> Node | None:
    """The top-level map of a source, or None once it is reported why there is none."""
    try:
        text = read_text(source)
    except ConfigError as error:
        problems += error.problems
        return None
    parsed = parse(text, source.name)
    problems += parsed.problems
    if parsed.fault is not None:
        return None
    roots = [root for root in parsed.documents if root.value is not None]
    wrong = _unreadable(roots)
    if wrong:
        problems.append(Problem(source.name, roots[0].line if roots else 0, "", wrong))
        return None
    return roots[0]


def _unreadable(roots: Sequence[Node]) -> str:
    if not roots:
        return "is empty: expected a configuration"
    unread = next((kind for kind in map(kind_of, roots) if not kind.read), None)
    if unread is not None:
        return f"{unread.title}: this version of the agent does not read it yet; write a native document for it"
    if len(roots) > 1:
        return f"holds {len(roots)} documents, expected one: put each in a file of its own"
    return "" if isinstance(roots[0].value, dict) else "expected a map at the top level, such as `containers: [...]`"


def _native(decoder: Decoder, root: Node, reading: _Reading, *, alone: bool) -> Node | None:
    if kind_of(root).name == "eas":
        return eas.native_tree(decoder, root, reading.semantics, reading.exec_in, alone=alone)
    return root


def _from_environment(found: Mapping[str, str], problems: list[Problem]) -> Node | None:
    tree, wrong = environment.document(found)
    problems += wrong
    if tree is None:
        message = (
            f"no configuration: give --config FILE, or set {CONFIG_VARIABLE}, or write {DEFAULT_PATH}, "
            "or set HEALTH_AGENT_LIVENESS_CHECK, _READINESS_CHECK or _STARTUP_CHECK"
        )
        problems.append(Problem("environment", 0, "", message))
    return tree


def _in_order(problems: Sequence[Problem]) -> list[Problem]:
    """Each problem once; file by file as they were read, and by line within each."""
    files = {problem.file: at for at, problem in reversed(list(enumerate(problems)))}
    return sorted(dict.fromkeys(problems), key=lambda problem: (files[problem.file], problem.line))
