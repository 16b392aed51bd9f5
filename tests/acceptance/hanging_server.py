"""A server in a container for tests: answers 200 on every path until it is told `/hang`; then it never answers again.

Standard library alone, and given to `python -c`: the base image has nothing else.
"""

import http.server
import sys
import threading

hung = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/hang":
            hung.set()
        elif hung.is_set():
            threading.Event().wait()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Handler).serve_forever()
