"""Loads configuration for a command: errors and warnings go to standard error, one a line."""

import os
import sys
from argparse import Namespace
from collections.abc import Iterable, Sequence

from agent.config import ConfigError, Loaded, Options, Problem, find_sources, load
from agent.config.kubernetes_probe import PROBES, camel
from agent.config.lint import Finding


def load_files(files: Sequence[str], args: Namespace) -> Loaded:
    """What `run` would make of these files. Raises ConfigError."""
    options = Options(exec_in=args.exec_in, threshold_semantics=args.threshold_semantics)
    return load(find_sources(files, os.environ), os.environ, options)


def load_or_tell(args: Namespace) -> Loaded | None:
    """The configuration, its warnings told; None once its errors are: exit status 2."""
    try:
        loaded = load_files(args.config, args)
    except ConfigError as wrong:
        tell(wrong.problems)
        return None
    tell(loaded.warnings)
    return loaded


def located(loaded: Loaded, findings: Iterable[Finding]) -> list[Problem]:
    """What lint found, with the place in the document as it was written: a manifest's `livenessProbe`, say."""
    return [_located(loaded, finding) for finding in findings]


def _located(loaded: Loaded, finding: Finding) -> Problem:
    node, rest = loaded.tree.reached(finding.path)
    spelt = camel(rest) if node.path.endswith(tuple(PROBES)) else rest
    path = f"{node.path}{spelt}" if node.path else finding.path
    return Problem(node.file, node.line, path, finding.message, finding.code)


def tell(problems: Iterable[Problem]) -> None:
    for problem in problems:
        print(problem, file=sys.stderr)
