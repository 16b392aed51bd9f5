"""`presets`: what is known of each model server, spelt out: its checks, their sources, and what they cannot see."""

import json
import sys
from argparse import ArgumentParser, Namespace
from typing import Any, Final

from agent.cli.arguments import add_format
from agent.cli.tables import aligned

DESCRIPTION: Final = """\
Lists the presets, or spells one out: the checks that `preset: NAME` stands for, where its facts are from, and what it
cannot see. NAME is a built-in one, or the path of a file of your own. What is printed is a document to go on from."""
EXAMPLES: Final = """\
  health-agent presets
  health-agent presets triton --model resnet50
  health-agent presets vllm --format json
  health-agent presets ./my-server.yaml"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="a preset, or the path of one; none: list them")
    parser.add_argument("--model", metavar="NAME", help="the served model's name, as `model` of a container")
    add_format(parser)


def main(args: Namespace) -> int:
    from agent.config import ConfigError
    from agent.config.preset_shown import document, presets_shown

    try:
        shown = presets_shown(args.name, args.model)
    except ConfigError as wrong:
        print(*wrong.problems, sep="\n", file=sys.stderr)
        return 2
    if args.format == "json":
        print(json.dumps({"presets": shown}, indent=2, ensure_ascii=False))
    else:
        print(document(shown[0]) if args.name else listing(shown))
    return 0


def listing(shown: list[dict[str, Any]]) -> str:
    """One line a preset: what server, where, and by what it sees a hang."""
    rows = [(one["name"], one["title"] or "", str(one["port"] or ""), hangs(one)) for one in shown]
    return aligned([("PRESET", "SERVER", "PORT", "SEES A HANG BY"), *rows])


def hangs(shown: dict[str, Any]) -> str:
    """By what a hang is seen: metrics tell it where they know of work in flight, a canary in any case."""
    seen = ["metrics" for check in shown["checks"] if check["method"] == "progress" and _gauged(check["options"])]
    seen += ["a canary" for check in shown["checks"] if check["method"] == "inference"]
    if "a canary" not in seen and any("inference" in one["check"] for one in shown["on_request"]):
        seen.append("a canary, on request")
    return ", ".join(dict.fromkeys(seen)) or "nothing"


def _gauged(options: dict[str, Any]) -> bool:
    from agent.core.series import SERIES

    known = SERIES.get(options["server"] or "")
    return any(options[role] or getattr(known, role, ()) for role in ("busy", "waiting"))
