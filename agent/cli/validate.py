"""`validate`: what is wrong with configuration files, all of it at once."""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from agent.cli.arguments import add_format, add_reading

DESCRIPTION: Final = """\
Reads each file as `run` would and prints everything that is wrong with it, one line each, on standard error:
FILE:LINE: PATH: MESSAGE. Warnings (FILE:LINE: PATH: W-NAME: MESSAGE) do not fail. Exit status 0 or 2."""
EXAMPLES: Final = """\
  health-agent validate config.yaml
  health-agent validate --together service.json overlay.yaml
  kubectl get deployment model -o yaml | health-agent validate -
  health-agent validate config.yaml --format json"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="documents, - for standard input; none: what `run` reads"
    )
    parser.add_argument("--together", action="store_true", help="as one configuration, each laid over the ones before")
    add_reading(parser)
    add_format(parser)


def main(args: Namespace) -> int:
    groups = [args.files] if args.together or not args.files else [[name] for name in args.files]
    verdicts = [judge(group, args) for group in groups]
    if args.format == "json":
        print(json.dumps({"files": [_plain(verdict) for verdict in verdicts]}, indent=2))
    else:
        for verdict in verdicts:
            _tell(verdict)
    return 0 if all(verdict.ok for verdict in verdicts) else 2


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one file, or of several together."""

    file: str
    ok: bool
    containers: int = 0
    checks: int = 0
    errors: list[Any] = []
    warnings: list[Any] = []


def judge(files: Sequence[str], args: Namespace) -> Verdict:
    from agent.cli.loading import load_files, located
    from agent.config import ConfigError
    from agent.config.lint import lint

    name = " + ".join(files) or "configuration"
    try:
        loaded = load_files(files, args)
    except ConfigError as wrong:
        errors = [problem for problem in wrong.problems if not problem.code]
        return Verdict(file=name, ok=False, errors=errors, warnings=[p for p in wrong.problems if p.code])
    containers = loaded.config.containers
    return Verdict(
        file=name,
        ok=True,
        containers=len(containers),
        checks=sum(len(container.checks()) for container in containers),
        warnings=[*loaded.warnings, *loaded.exec_nowhere, *located(loaded, lint(loaded.config))],
    )


def _plain(verdict: Verdict) -> dict[str, Any]:
    """For JSON; only warnings have a code."""
    plain: dict[str, Any] = msgspec.to_builtins(verdict)
    for error in plain["errors"]:
        del error["code"]
    return plain


def _tell(verdict: Verdict) -> None:
    for problem in [*verdict.errors, *verdict.warnings]:
        print(problem, file=sys.stderr)
    if verdict.ok:
        print(f"{verdict.file}: ok ({_count(verdict.containers, 'container')}, {_count(verdict.checks, 'check')})")


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
