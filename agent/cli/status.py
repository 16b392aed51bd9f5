"""`status`: what a running agent thinks of its containers, as a table; once, or again and again."""

import json
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from typing import Any, Final

from agent.cli.arguments import add_format, add_url, container_name, seconds
from agent.cli.client import Address, CannotAskError, agent_url, parse
from agent.cli.tables import aligned
from agent.cli.told import told
from agent.core.verdict import no_such

DESCRIPTION: Final = """\
Shows what a running agent thinks of its containers: state, checks, restarts. Exit status 0: every container is
ready; 1: one is not, or there is no answer; 2: usage."""
EXAMPLES: Final = """\
  health-agent status
  health-agent status --watch
  health-agent status --url http://10.0.0.7:9809 --container model --format json"""

ASK_TIMEOUT: Final = 3.0
CLEAR: Final = "\x1b[H\x1b[2J"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--watch", action="store_true", help="again every --interval seconds, until Ctrl-C")
    parser.add_argument("--interval", type=seconds, default=1.0, metavar="SECONDS", help="of --watch (1)")
    parser.add_argument("--container", type=container_name, metavar="NAME", help="this one alone")
    add_url(parser)
    add_format(parser)


def main(args: Namespace) -> int:
    try:
        address = parse(agent_url(args.url))
    except CannotAskError as trouble:
        print(f"health-agent status: {trouble}", file=sys.stderr)
        return 2
    while True:
        status = _show(address, args)
        if not args.watch:
            return status
        time.sleep(max(args.interval, 0.1))


def _show(address: Address, args: Namespace) -> int:
    try:
        said = told(address, ASK_TIMEOUT)
    except CannotAskError as trouble:
        _print(f"health-agent status: {trouble}", args, file=sys.stderr)
        return 1
    containers = [one for one in said["containers"] if args.container in {None, one["name"]}]
    if not containers and args.container:
        names = (one["name"] for one in said["containers"])
        _print(f"health-agent status: {no_such(args.container, names)}", args, file=sys.stderr)
        return 1
    if args.format == "json":
        _print(json.dumps({**said, "containers": containers}, indent=2, ensure_ascii=False), args)
    else:
        _print("\n\n".join(text(one) for one in containers) or "no containers", args)
    return 0 if all(one["ready"] for one in containers) else 1


def _print(said: str, args: Namespace, file: Any = None) -> None:
    """On a terminal, each look of --watch takes the place of the one before."""
    screen = args.watch and sys.stdout.isatty()
    print(f"{CLEAR}{said}" if screen else said, file=sys.stdout if screen else file, flush=True)


def text(container: Mapping[str, Any]) -> str:
    """One container: its state, its checks, and what was done about it."""
    flags = [name for name in ("live", "started", "ready") if container[name]]
    head = f"{container['name']}: {container['state']} ({', '.join(flags) or 'neither live, started nor ready'})"
    notes = [
        f"suppressed: {container['suppressed']}" if container.get("suppressed") else "",
        f"a restart is asked for because of {container['cause']}" if container.get("restart_requested") else "",
        f"budget {container['budget_remaining']} left, backoff {container['backoff_seconds']:.0f} s",
    ]
    rows = [
        ("TYPE", "CHECK", "PUBLISHED", "LAST", "REASON", "RUN", "TOOK"),
        *(_row(one) for one in container["checks"]),
    ]
    parts = [f"{head}; {'; '.join(note for note in notes if note)}", aligned(rows, "  ")]
    if container["restarts"]:
        parts.append(
            aligned([("TIME", "ACTION", "CHECK", "REASON", "OUTCOME"), *_restarts(container["restarts"])], "  ")
        )
    return "\n".join(parts)


def _row(check: Mapping[str, Any]) -> tuple[str, ...]:
    took = check["duration_seconds"]
    return (
        check["type"],
        check["name"],
        check["published"],
        check["last_result"] or "-",
        check["reason"] or "-",
        str(check["run"]),
        "-" if took is None else f"{took * 1000:.0f} ms",
    )


def _restarts(records: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one["time"])),
            one["action"],
            one["check"],
            one["reason"],
            one["outcome"] or "under way",
        )
        for one in records[-5:]
    ]
