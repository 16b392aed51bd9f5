"""The demo's model server: loads for a while, answers, and hangs when it is told to."""

import json
import os
import signal
import sys
import threading
import time
from argparse import ArgumentParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

MAX_BODY = 1 << 20


class Model:
    """What the server pretends to have: loaded after some seconds, and either well or hung for ever."""

    def __init__(self, load_seconds: float) -> None:
        self.loaded_at = time.monotonic() + load_seconds
        self.hung = threading.Event()
        self.never = threading.Event()

    @property
    def loaded(self) -> bool:
        return time.monotonic() >= self.loaded_at

    def wait_if_hung(self) -> None:
        """As a deadlocked engine: the connection is accepted, and that is all."""
        if self.hung.is_set():
            self.never.wait()


class Handler(BaseHTTPRequestHandler):
    """GET /health and /v1/models, POST /predict, /hang and /crash."""

    model: ClassVar[Model]

    def do_GET(self) -> None:
        self.model.wait_if_hung()
        if self.path not in {"/health", "/v1/models"}:
            self._answer(404, {"error": "GET /health or /v1/models; POST /predict, /hang or /crash"})
        elif not self.model.loaded:
            self._answer(503, {"error": "loading the model"})
        elif self.path == "/health":
            self._answer(200, {"status": "ok"})
        else:
            self._answer(200, {"object": "list", "data": [{"id": "demo", "object": "model"}]})

    def do_POST(self) -> None:
        self.model.wait_if_hung()
        length = self.headers.get("Content-Length", "0")
        body = self.rfile.read(min(int(length) if length.isdigit() else 0, MAX_BODY))
        if self.path == "/hang":
            self._answer(202, {"status": "from now on nothing is answered"})
            self.model.hung.set()
        elif self.path == "/crash":
            self._answer(202, {"status": "leaving with 1"})
            os._exit(1)
        elif self.path != "/predict":
            self._answer(404, {"error": "POST /predict, /hang or /crash"})
        elif not self.model.loaded:
            self._answer(503, {"error": "loading the model"})
        else:
            self._answer(200, {"prediction": len(body), "says": "the length of your input"})

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        """Probes are no news."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves early is no news either."""


def main() -> int:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pid-file", type=Path, required=True)
    parser.add_argument("--load-seconds", type=float, default=4.0)
    args = parser.parse_args()
    Handler.model = model = Model(args.load_seconds)
    server = Server(("127.0.0.1", args.port), Handler)
    # A deadlocked engine does not get round to leaving: then it takes the SIGKILL after the grace.
    signal.signal(signal.SIGTERM, lambda *_: None if model.hung.is_set() else os._exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    args.pid_file.write_text(f"{os.getpid()}\n")
    server.serve_forever()
    return 0


def _leave_with_parent() -> None:
    """The demo holds the other end of standard input: its end means that the demo is gone, however it went."""
    while os.read(0, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
