"""A tiny model server for the kubelet's test: slow to load, hangs on SIGUSR1, and can take over a listening socket.

`toy_server.py --port N`: refuses connections while it loads, as vLLM does.
`toy_server.py --fd N`: listens from its first moment on the socket it was given and answers 503 while it loads.
"""

import argparse
import signal
import socket
import time
from types import FrameType

HUNG_SECONDS = 600.0


def hang(_number: int, _frame: FrameType | None) -> None:
    time.sleep(HUNG_SECONDS)


def answer(connection: socket.socket, *, loaded: bool) -> None:
    with connection:
        connection.settimeout(1)
        try:
            connection.recv(4096)
            status = b"200 OK" if loaded else b"503 Loading model"
            connection.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        except OSError:
            return  # the client left


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int)
    parser.add_argument("--fd", type=int)
    parser.add_argument("--load-seconds", type=float, default=0.0)
    options = parser.parse_args()
    signal.signal(signal.SIGUSR1, hang)
    loaded_at = time.monotonic() + options.load_seconds
    if options.fd is None:
        time.sleep(options.load_seconds)
        listener = socket.create_server((options.host, options.port))
    else:
        listener = socket.socket(fileno=options.fd)
    while True:
        connection, _ = listener.accept()
        answer(connection, loaded=time.monotonic() >= loaded_at)


if __name__ == "__main__":
    main()
