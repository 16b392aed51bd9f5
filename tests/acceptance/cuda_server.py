"""A tiny model server whose predictions run on the first GPU: `python -m tests.acceptance.cuda_server PORT`.

`/health` answers 200 whatever happens, as real servers do; `/predict` answers 500 once the GPU refuses; `/crash` makes
an illegal write, after which no prediction succeeds for as long as the process lives; `/hang` starts a kernel that
never ends, behind which every prediction waits.
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.runtimes.illegal_write import NOWHERE, Cuda


def serve(port: int) -> None:
    cuda = Cuda()
    routes = {"/predict": cuda.write, "/crash": lambda: cuda.write(where=NOWHERE), "/hang": cuda.spin}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code = routes.get(self.path, int)()
            body = f"CUDA says {code}\n".encode()
            self.send_response(500 if code else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
