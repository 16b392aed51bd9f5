"""`demo`: a small model server and the agent beside it, on loopback; this process is the platform that respawns it."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any, Final

from agent.cli.arguments import port, seconds

DESCRIPTION: Final = """\
Starts a small model server and the agent beside it, both on loopback. The server can be told to hang: the agent
sees it, stops it, and the demo starts a new one, as a platform would. Ctrl-C ends it all and leaves nothing behind."""
EXAMPLES: Final = """\
  health-agent demo
  health-agent demo --port 9900 --model-port 9901"""

STOP_SECONDS: Final = 5.0  # until what was asked to leave is killed
RESPAWN_SECONDS: Final = 1.0  # a platform takes a moment too


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--port", type=port, default=9809, help="the agent's (9809)")
    parser.add_argument("--model-port", type=port, default=9808, help="the model server's (9808)")
    parser.add_argument(
        "--load-seconds", type=seconds, default=4.0, metavar="SECONDS", help="how long the server loads (4)"
    )


def main(args: Namespace) -> int:
    for number, option in ((args.port, "--port"), (args.model_port, "--model-port")):
        if trouble := _occupied(number):
            print(
                f"health-agent demo: 127.0.0.1:{number} {trouble}; end what uses it, or choose another with {option}",
                file=sys.stderr,
            )
            return 1
    if args.port == args.model_port:
        print("health-agent demo: --port and --model-port must differ", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="health-agent-demo-") as home:
        return Demo(Path(home), args).run()


def document(home: Path, args: Namespace) -> dict[str, Any]:
    """The agent's configuration for the demo: quick, so that there is something to see."""
    return {
        "server": {"host": "127.0.0.1", "port": args.port, "details": "full"},
        "log": {"format": "text"},
        "containers": [
            {
                "name": "model",
                "port": args.model_port,
                "runtime": {"process": {"pid_file": str(home / "model.pid")}},
                "startup_check": {
                    "http_get": {"path": "/health"}, "period_seconds": 1,
                    "failure_threshold": 60 + round(args.load_seconds),
                },
                "readiness_check": {"http_get": {"path": "/v1/models"}, "period_seconds": 2, "failure_threshold": 1},
                "liveness_check": {"http_get": {"path": "/health"}, "period_seconds": 2, "timeout_seconds": 2},
                "restart": {
                    "action": {"signal": {"signal": "TERM"}},
                    "grace_period_seconds": 3,
                    "backoff": {"initial_seconds": 5, "max_seconds": 30, "reset_after_seconds": 60},
                    "budget": {"restarts": 10, "window_seconds": 600},
                },
            }
        ],
    }  # fmt: skip


class Demo:
    """The two processes, and the order in which they come and go."""

    def __init__(self, home: Path, args: Namespace) -> None:
        self.home = home
        self.args = args
        self.stopping = False
        self.children: dict[str, subprocess.Popen[bytes]] = {}

    def run(self) -> int:
        """Until Ctrl-C or SIGTERM (0), or until the agent ends by itself (1)."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stop)
        config = self.home / "config.json"
        config.write_text(json.dumps(document(self.home, self.args), indent=2))
        try:
            self._start_model()
            self.children["agent"] = agent = _child("agent", "run", "--config", str(config))
            print(guide(self.args, config), flush=True)
            while not self.stopping:
                if agent.poll() is not None:
                    print(f"demo: the agent ended ({_ending(agent.returncode)})", file=sys.stderr)
                    return 1
                self._respawn()
                self._pause(0.1)
        finally:
            _end(self.children.values())
        print("demo: both are gone", flush=True)
        return 0

    def _respawn(self) -> None:
        status = self.children["model"].poll()
        if status is not None:
            print(f"demo: the model server ended ({_ending(status)}); starting it again", flush=True)
            self._pause(RESPAWN_SECONDS)
            self._start_model()

    def _start_model(self) -> None:
        self.children["model"] = _child(
            "agent.cli.demo_server",
            f"--port={self.args.model_port}",
            f"--pid-file={self.home / 'model.pid'}",
            f"--load-seconds={self.args.load_seconds}",
        )

    def _stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  (as signal calls it)
        self.stopping = True

    def _pause(self, duration: float) -> None:
        """Sleeps on where a signal does not stop it: at most a tenth of a second after Ctrl-C it is over."""
        until = time.monotonic() + duration
        while not self.stopping and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))


def guide(args: Namespace, config: Path) -> str:
    """What there is to try."""
    agent, model = f"http://127.0.0.1:{args.port}", f"http://127.0.0.1:{args.model_port}"
    return f"""\
The agent:         {agent}/            (a page; also /ready /healthz /status /metrics)
The model server:  {model}            (loads for {args.load_seconds:g} s)
Configuration:     {config}

Try, from another terminal:
  curl -i {agent}/ready?verbose             is it ready?
  curl {model}/predict -d 'some input'      a prediction
  curl -X POST {model}/hang                 a hang: seen within 8 s, stopped, started again
  curl -X POST {model}/crash                a crash of its own
  curl -N {agent}/events                    what happens, as it happens
Ctrl-C ends both.
"""


def _child(module: str, *arguments: str) -> "subprocess.Popen[bytes]":
    """In a session of its own, so that a Ctrl-C in the terminal comes to the demo alone, which ends both in order."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        start_new_session=True,
        env={key: value for key, value in os.environ.items() if not key.startswith("HEALTH_AGENT_")},
    )


def _end(children: Iterable["subprocess.Popen[bytes]"]) -> None:
    """Ask all to leave, then wait for at most STOP_SECONDS together, then kill."""
    children = list(children)
    for child in children:
        child.terminate()
        if child.stdin is not None:
            child.stdin.close()  # which even a hung model server follows
    deadline = time.monotonic() + STOP_SECONDS
    for child in children:
        try:
            child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _occupied(number: int) -> str:
    """Why nothing can listen on this port of loopback, or "" where it can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError as trouble:
            return "is in use" if trouble.errno == errno.EADDRINUSE else f"can't be used: {trouble.strerror}"
    return ""


def _ending(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
