"""`run`: the agent itself."""

import os
import signal
from argparse import ArgumentParser, Namespace
from typing import Final

from agent.cli.arguments import add_config, add_reading

DESCRIPTION: Final = """\
Runs the agent: probes, judges, answers on its listener, and restarts what is dead. Without a command this is what
happens. SIGTERM and SIGINT end it in order, SIGHUP reads the configuration again."""
EXAMPLES: Final = """\
  health-agent run --config /etc/health-agent/config.yaml
  health-agent -c service.json -c overlay.yaml
  HEALTH_AGENT_LIVENESS_CHECK='{http_get: {path: /health, port: 8000}}' health-agent"""


def add_arguments(parser: ArgumentParser) -> None:
    add_config(parser)
    add_reading(parser)
    parser.add_argument("--watch-config", action="store_true", help="follow changes of the files, ConfigMaps too")
    parser.add_argument(
        "--serve-on-config-error",
        action="store_true",
        help="with a bad configuration, log it and answer alive but not ready, so that no platform kills the server",
    )


def _leave(*_: object) -> None:
    """Nothing has begun yet."""
    os._exit(0)


def main(args: Namespace) -> int:
    # From here on a signal is heeded, also by PID 1, which has no default for it; the event loop takes over later.
    signal.signal(signal.SIGTERM, _leave)
    from agent.app import run

    return run(
        config=args.config,
        environ=os.environ,
        exec_in=args.exec_in,
        threshold_semantics=args.threshold_semantics,
        watch_config=args.watch_config,
        serve_on_config_error=args.serve_on_config_error,
    )
