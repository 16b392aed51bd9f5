"""`drain`: takes a container out of service and returns once nothing is in flight; for a preStop hook."""

import time
from argparse import ArgumentParser, Namespace
from typing import Any, Final

from agent.cli.arguments import container_name, seconds
from agent.cli.operator import Door, add_door, exit_status, find, only
from agent.cli.wait import Progress
from agent.core.draining import IDLE_LOOKS

DESCRIPTION: Final = """\
Has a running agent answer that a container is not ready, and returns when nothing is in flight there, by the gauges of
its progress check, or when the time is over. Without such gauges it returns when the time is over. The container stays
out of service for a minute more: what comes after a preStop hook is the end. Exit status 0: drained, or the time is
over; 1: no answer, or refused; 2: usage, or nobody knows where the admin listener is."""
EXAMPLES: Final = """\
  health-agent drain --timeout 60
  lifecycle: {preStop: {exec: {command: [health-agent, drain, --timeout, "60", --admin, /run/health-agent/admin.sock]}}}
  health-agent drain --container model --at-least 10 --timeout 120"""

INTERVAL: Final = 0.5  # seconds between two looks
LONGER: Final = 60.0  # seconds that the container stays out of service afterwards


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--container", type=container_name, metavar="NAME", help="this one alone; else every container")
    parser.add_argument("--timeout", type=seconds, default=300.0, metavar="SECONDS", help="at most so long (300)")
    parser.add_argument(
        "--at-least", type=seconds, default=0.0, metavar="SECONDS",
        help="so long in any case: load balancers take a moment to notice (0)",
    )  # fmt: skip
    add_door(parser)


def main(args: Namespace) -> int:
    return exit_status("drain", lambda: _drain(find(args), args))


def _drain(door: Door, args: Namespace) -> int:
    containers = door.containers()
    names = [only(containers, args.container)] if args.container else [one["name"] for one in containers]
    began = time.monotonic()
    for name in names:
        door.order(f"/containers/{name}/drain", seconds=f"{args.timeout + LONGER:g}")
    progress = Progress(f"draining {', '.join(names)}", began)
    try:
        left = _until_idle(door, names, began, args, progress)
    finally:
        progress.clear()
    took = time.monotonic() - began
    print(f"drained after {took:.1f} s" if not left else f"the time is over after {took:.1f} s: {left}")
    return 0


def _until_idle(door: Door, names: list[str], began: float, args: Namespace, progress: Progress) -> str:
    """ "" once nothing is in flight, looked at as often as the engine's own drain does, else what is at the end."""
    zeros = 0
    while True:
        told = _in_flight([one for one in door.containers() if one["name"] in names])
        zeros = 0 if told else zeros + 1
        passed = time.monotonic() - began
        if zeros >= IDLE_LOOKS and passed >= args.at_least:
            return ""
        if passed >= args.timeout:
            return told
        progress.show(told or "idle")
        time.sleep(min(INTERVAL, max(0.01, args.timeout - passed)))


def _in_flight(containers: list[dict[str, Any]]) -> str:
    """What is in flight, "" for nothing; a container whose gauges say nothing counts as busy."""
    said = []
    for one in containers:
        number = one.get("in_flight")
        if number is None:
            said.append(f"{one['name']} does not tell what is in flight (a progress check would)")
        elif number > 0:
            said.append(f"{number:g} in flight at {one['name']}")
    return "; ".join(said)
