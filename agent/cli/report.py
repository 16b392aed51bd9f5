"""`report`: what a dry run would have restarted, why, and which thresholds would have changed it."""

import json
import sys
import time
from argparse import ArgumentParser, Namespace
from typing import Any, Final

import msgspec

from agent.cli.arguments import add_format, add_url, container_name
from agent.cli.client import CannotAskError, agent_url, parse
from agent.cli.tables import aligned
from agent.cli.told import told
from agent.core.spared import Spared, advice
from agent.core.verdict import no_such

DESCRIPTION: Final = """\
After a week of `dry_run`, or of any other brake: which restarts were wanted and not done, when, why, and which
thresholds would have changed that. It asks a running agent; with a `state_file` the history survives the agent's own
restarts. Exit status 0: told; 1: no answer; 2: usage."""
EXAMPLES: Final = """\
  health-agent report
  health-agent report --container model --url http://10.0.0.7:9809
  health-agent report --format json"""

ASK_TIMEOUT: Final = 5.0


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--container", type=container_name, metavar="NAME", help="this one alone")
    add_url(parser)
    add_format(parser)


def main(args: Namespace) -> int:
    try:
        address = parse(agent_url(args.url))
    except CannotAskError as trouble:
        print(f"health-agent report: {trouble}", file=sys.stderr)
        return 2
    try:
        names = [one["name"] for one in told(address, ASK_TIMEOUT)["containers"]]
        wanted = [name for name in names if args.container in {None, name}]
        each = [one for name in wanted for one in told(address, ASK_TIMEOUT, f"?container={name}")["containers"]]
    except CannotAskError as trouble:
        print(f"health-agent report: {trouble}", file=sys.stderr)
        return 1
    if args.container and not wanted:
        print(f"health-agent report: {no_such(args.container, names)}", file=sys.stderr)
        return 1
    found = [(one, [msgspec.convert(failing, _Told) for failing in one.get("spared", [])]) for one in each]
    if args.format == "json":
        print(json.dumps({"containers": [_plain(one, spared) for one, spared in found]}, indent=2, ensure_ascii=False))
    else:
        print("\n\n".join(text(one, spared) for one, spared in found) or "no containers")
    return 0


class _Told(Spared, frozen=True, kw_only=True):
    """A failing as the listener tells it: details may be withheld."""

    detail: str | None = None  # type: ignore[assignment]


def _plain(container: dict[str, Any], spared: list[_Told]) -> dict[str, Any]:
    told = [{**msgspec.to_builtins(one), "advice": advice(one)} for one in spared]
    return {"name": container["name"], "spared": told, "restarts": container["restarts"]}


def text(container: dict[str, Any], spared: list[_Told]) -> str:
    """One container: each failing a row, and below it what would have changed it."""
    name = container["name"]
    done = f"{len(container['restarts'])} restarts on record"
    if not spared:
        return f"{name}: nothing was wanted and not done; {done}"
    lines = [f"{name}: {len(spared)} times a restart was wanted and not done; {done}"]
    rows = [
        (
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.time)),
            one.check,
            one.reason,
            f"held back by {one.why}",
            f"{one.times} x {one.action}",
            f"{one.failures} failures in a row",
            one.ended or "goes on",
        )
        for one in spared
    ]
    for row, one in zip(aligned(rows, "  ").splitlines(), spared, strict=True):
        lines += [row, *([f"      {one.detail}"] if one.detail else []), f"      {advice(one)}"]
    return "\n".join(lines)
