"""A gRPC server with the standard health service, by the reference implementation.

    python health_server.py [--tls KEY_AND_CERT.pem] [--slow SECONDS] [--bare] [--port PORT]

The whole server and the service `good` are SERVING, `bad` NOT_SERVING, `odd` UNKNOWN; others it does not know. Metadata
of each call goes to standard error, the port to standard output; it ends with its standard input.
"""

import argparse
import sys
import time
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

Says = health_pb2.HealthCheckResponse


class Slow(health.HealthServicer):  # type: ignore[misc]
    """Tells who asked, and takes its time."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        told = {**dict(context.invocation_metadata()), "left": context.time_remaining(), "peer": context.peer()}
        print(told, file=sys.stderr, flush=True)  # noqa: T201
        time.sleep(self.seconds)
        return super().Check(request, context)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tls", type=Path)
    parser.add_argument("--slow", type=float, default=0.0)
    parser.add_argument("--bare", action="store_true")
    parser.add_argument("--port", type=int, default=0)
    args = parser.parse_args()
    server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    if not args.bare:
        servicer = Slow(args.slow)
        for name, says in {
            "": Says.SERVING,
            "good": Says.SERVING,
            "bad": Says.NOT_SERVING,
            "odd": Says.UNKNOWN,
        }.items():
            servicer.set(name, says)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    place = f"127.0.0.1:{args.port}"
    if args.tls:
        pem = args.tls.read_bytes()
        port = server.add_secure_port(place, grpc.ssl_server_credentials([(pem, pem)]))
    else:
        port = server.add_insecure_port(place)
    server.start()
    print(port, flush=True)  # noqa: T201
    sys.stdin.read()
    server.stop(0).wait(5)


if __name__ == "__main__":
    main()
