"""`admin`: gives a running agent an operator's orders."""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Any, Final

from agent.cli.arguments import add_format, container_name, seconds
from agent.cli.operator import Door, add_door, exit_status, find, only
from agent.cli.tables import aligned

DESCRIPTION: Final = """\
Gives a running agent an operator's orders, through its admin listener. Exit status 0: it does so; 1: it refuses, and
why, or it does not answer; 2: usage, or nobody knows where the listener is.

  status       every container, with the details that /status withholds
  restart      restart the container now, whatever its checks say; also the way back from given up
  maintenance  for --for SECONDS nothing is done; probing goes on and the verdict is shown (0 ends it)
  drain        not ready for --for SECONDS, or until a new instance (0 ends it)
  probe        every check looks at once
  reload       read the configuration again, as SIGHUP does"""
EXAMPLES: Final = """\
  health-agent admin restart
  health-agent admin maintenance --container model --for 1800 --ready false
  health-agent admin drain --for 60 --admin /run/health-agent/admin.sock
  health-agent admin status --admin http://127.0.0.1:9810 --token-file /run/secrets/token --format json"""

ORDERS: Final = ("status", "restart", "maintenance", "drain", "probe", "reload")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("order", choices=ORDERS, help="what to do")
    parser.add_argument("--container", type=container_name, metavar="NAME", help="which; needless where there is one")
    parser.add_argument("--for", dest="seconds", type=seconds, metavar="SECONDS", help="of maintenance and drain")
    parser.add_argument("--ready", choices=("keep", "false"), default="keep", help="readiness in maintenance (keep)")
    add_door(parser)
    add_format(parser)


def main(args: Namespace) -> int:
    if args.order == "maintenance" and args.seconds is None:
        print("health-agent admin: maintenance needs an end: --for SECONDS (0 ends it now)", file=sys.stderr)
        return 2
    return exit_status("admin", lambda: _show(obey(find(args), args), args))


def _show(said: dict[str, Any], args: Namespace) -> int:
    if args.format == "json":
        print(json.dumps(said, indent=2, ensure_ascii=False))
    else:
        print(_text(args.order, said))
    return 0


def obey(door: Door, args: Namespace) -> dict[str, Any]:
    """Give the order; what the agent said."""
    if args.order == "reload":
        return door.order("/-/reload")
    if args.order == "status" and args.container is None:
        return door.order("/status")
    name = only(door.containers(), args.container)
    if args.order == "status":
        return door.order("/status", container=name)
    query: dict[str, str] = {} if args.seconds is None else {"seconds": f"{args.seconds:g}"}
    if args.order == "maintenance":
        query["ready"] = args.ready
    return door.order(f"/containers/{name}/{args.order}", **query)


def _text(order: str, said: Mapping[str, Any]) -> str:
    if "containers" in said:
        return table(said["containers"])
    if "container" in said:
        return f"{order}: {said['container']['name']} is {said['container']['state']}"
    return f"{order}: done"


def table(containers: list[dict[str, Any]]) -> str:
    """Each container and its checks as aligned columns."""
    rows = [("CONTAINER", "STATE", "CHECK", "PUBLISHED", "LAST", "REASON", "DETAIL")]
    for one in containers:
        rows.append((one["name"], one["state"], "", "", "", one.get("suppressed") or "", one.get("cause") or ""))
        rows += [
            ("", "", f"{check['type']}/{check['name']}", check["published"], check["last_result"] or "-",
             check["reason"] or "-", check.get("detail") or "")
            for check in one["checks"]
        ]  # fmt: skip
    return aligned(rows)
