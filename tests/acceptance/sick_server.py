"""A server that answers 500 once its process id stands in a file: `sick_server.py PORT FILE`; its successor is well."""

import http.server
import os
import sys
from pathlib import Path


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        sick = Path(sys.argv[2])
        ours = sick.exists() and sick.read_text() == str(os.getpid())
        self.send_response(500 if ours else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
