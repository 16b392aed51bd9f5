"""`simulate`: scripted outcomes through the rules of probing, on a virtual clock."""

import json
import sys
from argparse import ArgumentParser, Namespace
from typing import Any, Final

from agent.cli.arguments import add_documents

DESCRIPTION: Final = """\
Plays scripted probe outcomes through the very rules the agent runs on, on a virtual clock, and prints what would be
published, started, ready, killed and restarted when: one JSON object a line. Nothing is probed.

The input is JSON: {"until": 60, "restart_delay": null, "outcomes": {"model": {"liveness": "sssff"}}}. One letter is
one round: s success, f failure, u error; the last one repeats, and what has none always succeeds. A list of checks
has its letters by name: {"readiness": {"a": "fs", "b": "s"}}. With restart_delay null a container ends at its kill."""
EXAMPLES: Final = """\
  health-agent simulate config.yaml --input outcomes.json
  echo '{"until": 60, "outcomes": {"model": {"liveness": "sf"}}}' | health-agent simulate config.yaml"""


class InputError(Exception):
    """The input can't be had or is no JSON."""


def add_arguments(parser: ArgumentParser) -> None:
    add_documents(parser)
    parser.add_argument("--input", default="-", metavar="FILE", help="outcomes as JSON; - (default): standard input")
    parser.add_argument("--format", choices=("json",), default="json", help="one JSON object a line")


def main(args: Namespace) -> int:
    if args.input == "-" and "-" in args.config:
        return _refuse("configuration and input can't both be standard input: give one of them as a file")
    from agent.cli.loading import load_or_tell
    from agent.engine.simulate import SimulationInputError, simulate

    loaded = load_or_tell(args)
    if loaded is None:
        return 2
    try:
        for event in simulate(loaded.config, read(args.input)):
            print(json.dumps(event, separators=(",", ":")))
    except (InputError, SimulationInputError) as wrong:
        return _refuse(str(wrong))
    return 0


def read(name: str) -> Any:
    """The JSON of a file, or of standard input. Raises InputError."""
    shown = "<stdin>" if name == "-" else name
    if name == "-" and sys.stdin is None:
        raise InputError(f"{shown}: is closed; give --input FILE")
    try:
        if name == "-":
            text = sys.stdin.buffer.read()
        else:
            with open(name, "rb") as file:  # noqa: PTH123  (a name of the command line is shown as it was given)
                text = file.read()
        return json.loads(text)
    except OSError as trouble:
        raise InputError(f"{shown}: cannot be read: {trouble.strerror or trouble}") from None
    except RecursionError:
        raise InputError(f"{shown}: nested too deeply for outcomes") from None
    except json.JSONDecodeError as wrong:
        raise InputError(f"{shown}:{wrong.lineno}: not valid JSON: {wrong.msg}") from None
    except UnicodeDecodeError:
        raise InputError(f"{shown}: not UTF-8: save it as UTF-8") from None


def _refuse(message: str) -> int:
    print(f"health-agent simulate: {message}", file=sys.stderr)
    return 2
