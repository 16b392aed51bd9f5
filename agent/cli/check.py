"""`check`: every configured check once, now, as the agent would do it."""

import asyncio
import json
import sys
from argparse import ArgumentParser, Namespace
from typing import Any, Final

from agent.cli.arguments import add_documents, add_format, container_name
from agent.cli.tables import aligned

DESCRIPTION: Final = """\
Runs every configured check once, now: with its time-out, and tried again after errors, as the agent does. Initial
delays, thresholds and restarts play no part. Exit status 0: all succeeded; 1: something failed; 2: configuration."""
EXAMPLES: Final = """\
  health-agent check config.yaml
  health-agent check service.json --exec-in agent --type readiness
  health-agent check config.yaml --container model --format json"""

GOOD: Final = frozenset({"success", "warning"})


def add_arguments(parser: ArgumentParser) -> None:
    add_documents(parser)
    parser.add_argument("--container", type=container_name, metavar="NAME", help="this container's checks alone")
    parser.add_argument("--type", choices=("startup", "readiness", "liveness"), help="checks of this type alone")
    add_format(parser)


def main(args: Namespace) -> int:
    from agent.cli.loading import load_or_tell, tell

    loaded = load_or_tell(args)
    if loaded is None:
        return 2
    if loaded.exec_nowhere:
        tell(loaded.exec_nowhere)
        return 2
    names = [container.name for container in loaded.config.containers]
    if args.container and args.container not in names:
        print(f"health-agent check: no container {args.container!r}; there are {', '.join(names)}", file=sys.stderr)
        return 2
    results = asyncio.run(check_all(loaded.config, args.container, args.type))
    if args.format == "json":
        print(json.dumps({"results": results}, indent=2, ensure_ascii=False))
    else:
        print(table(results))
    return 0 if all(result["result"] in GOOD for result in results) else 1


async def check_all(config: Any, container: str | None, kind: str | None) -> list[dict[str, Any]]:
    """One round of each check, side by side; what they found, in document order, redacted."""
    from agent.core.redact import redactor

    redact = redactor(config.secrets)
    memories: dict[str, dict[str, Any]] = {spec.name: {} for spec in config.containers}
    rounds = [
        _round(spec, check, memories[spec.name], redact)
        for spec in config.containers
        if container in {None, spec.name}
        for check in spec.checks()
        if kind in {None, str(check.type)}
    ]
    return list(await asyncio.gather(*rounds))


async def _round(spec: Any, check: Any, seen: dict[str, Any], redact: Any) -> dict[str, Any]:
    from agent.core.model import Target
    from agent.engine.worker import look

    target = Target(
        spec.name, spec.host, spec.port, spec.ports,
        timeout=check.timeout_seconds, runtime=spec.runtime, seen=seen, check=f"{check.type}/{check.name}",
    )  # fmt: skip
    result = await look(check, target)
    return {
        "container": spec.name,
        "type": str(check.type),
        "check": check.name,
        "method": check.method,
        "result": str(result.outcome),
        "reason": result.reason,
        "detail": redact(result.detail),
        "duration_seconds": round(result.duration, 6),
    }


def table(results: list[dict[str, Any]]) -> str:
    """Results as aligned columns."""
    if not results:
        return "no check to run"
    rows = [
        (
            *(found[key] for key in ("container", "type", "check", "result", "reason")),
            f"{found['duration_seconds'] * 1000:.0f} ms",
            found["detail"],
        )
        for found in results
    ]
    return aligned([("CONTAINER", "TYPE", "CHECK", "RESULT", "REASON", "TOOK", "DETAIL"), *rows])
