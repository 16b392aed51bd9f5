"""What the command line's tests share: an agent's listener with answers at hand, and the command as a process."""

import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Listener(ThreadingHTTPServer):
    """Answers as it is told: path to (status, body); the last of a list repeats. Remembers what it was asked."""

    daemon_threads = True

    def __init__(self, answers: dict[str, list[tuple[int, str]]]) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.answers = answers
        self.asked: list[str] = []
        self.first_asked = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: Any = self.server
        server.asked.append(self.path)
        server.first_asked.set()
        queue = server.answers.get(self.path, [(404, "")])
        status, body = queue.pop(0) if len(queue) > 1 else queue[0]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Tests have their own output."""


def unused_port() -> int:
    """A port of loopback that nobody listens on, as far as one can know."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def health_agent(*words: str, stdin: str = "", **environ: str) -> "subprocess.CompletedProcess[str]":
    """The real command, as a process of its own, with nothing but ``environ`` around it."""
    return subprocess.run(
        [sys.executable, "-m", "agent", *words],
        input=stdin,
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
