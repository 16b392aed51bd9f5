"""`wait`: returns once a running agent says ready, live or started."""

import sys
import time
from argparse import ArgumentParser, Namespace
from typing import Final

from agent.cli.arguments import add_url, container_name, seconds
from agent.cli.client import Address, CannotAskError, agent_url, get, parse, path_of

DESCRIPTION: Final = """\
Waits until a running agent says ready, live or started; for scripts, init containers and pipelines.
An agent that does not answer yet is waited for too. Exit status 0: it is so; 1: the time is over, and what is
missing is told on standard error."""
EXAMPLES: Final = """\
  health-agent wait --for ready --timeout 600
  health-agent wait --for started --container model --url http://10.0.0.7:9809"""

ENDPOINTS: Final = {"ready": "/ready", "live": "/healthz", "started": "/startupz"}
INTERVAL: Final = 0.5  # seconds between two questions
ASK_TIMEOUT: Final = 3.0  # seconds for one question


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--for", dest="state", choices=tuple(ENDPOINTS), required=True, help="what to wait for")
    parser.add_argument("--timeout", type=seconds, default=600.0, metavar="SECONDS", help="at most so long (600)")
    parser.add_argument("--container", type=container_name, metavar="NAME", help="of this one alone")
    add_url(parser)


def main(args: Namespace) -> int:
    try:
        address = parse(agent_url(args.url))
        path = path_of(address.path, ENDPOINTS[args.state], args.container or "") + "?verbose"
    except CannotAskError as trouble:
        print(f"health-agent wait: {trouble}", file=sys.stderr)
        return 2
    began = time.monotonic()
    progress = Progress(f"waiting for {args.container or str(address)} to be {args.state}", began)
    try:
        said = wait(address, path, began + args.timeout, progress)
    finally:
        progress.clear()
    took = time.monotonic() - began
    if not said:
        print(f"{args.state} after {took:.1f} s")
        return 0
    print(f"health-agent wait: not {args.state} after {took:.1f} s: {said}", file=sys.stderr)
    return 1


def wait(address: Address, path: str, deadline: float, progress: "Progress") -> str:
    """Ask until the answer is yes or the deadline is over; "" for yes, else what was said last."""
    while True:
        left = deadline - time.monotonic()
        said = _ask(address, path, min(max(left, 0.05), ASK_TIMEOUT))
        left = deadline - time.monotonic()
        if not said or left <= 0:
            return said
        progress.show(said)
        time.sleep(min(INTERVAL, left))


def _ask(address: Address, path: str, timeout: float) -> str:
    try:
        status, body = get(address, path, timeout)
    except CannotAskError as trouble:
        return str(trouble)
    if 200 <= status < 300:
        return ""
    if status == 404:
        return "the agent does not know this container (404)"
    failing = [line for line in body.splitlines() if line.startswith("[-]")]
    said = "; ".join(failing) or f"it answers {status}"
    return "".join(char if char.isprintable() else "?" for char in said)


class Progress:
    """One line on a terminal, rewritten in place; nothing at all where standard error is no terminal."""

    def __init__(self, title: str, began: float) -> None:
        self.title = title
        self.began = began
        self.wanted = sys.stderr is not None and sys.stderr.isatty()

    def show(self, said: str) -> None:
        if self.wanted:
            line = f"{self.title} ({time.monotonic() - self.began:.0f} s): {said}"
            print(f"\r\x1b[2K{line[: _columns() - 1]}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self.wanted:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns
