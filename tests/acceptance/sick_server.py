"""A server that answers 500 once its process id stands in a file: `sick_server.py PORT FILE`; its successor is well.

/metrics says as vLLM does how many requests are running: the number in FILE.running, or none.
"""

import http.server
import os
import sys
from pathlib import Path


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/metrics":
            running = Path(f"{sys.argv[2]}.running")
            number = running.read_text().strip() if running.exists() else "0"
            self.answer(200, f'vllm:num_requests_running{{engine="0"}} {number}\nvllm:num_requests_waiting 0\n')
            return
        sick = Path(sys.argv[2])
        self.answer(500 if sick.exists() and sick.read_text() == str(os.getpid()) else 200, "")

    def answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Quiet."""


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
