"""CPU of one HTTP probe against a bare aiohttp GET with a fresh connection: python bench/probe_cost.py [PROBES]."""

import asyncio
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import aiohttp

from agent.core.model import Outcome, Target
from agent.probes.http import HttpGet
from agent.probes.tcp import TcpSocket

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
ROUNDS = 5


class Answering(asyncio.Protocol):
    """Answers every request at once and closes, so that only the client's own cost differs."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert isinstance(self.transport, asyncio.WriteTransport)
        if data.endswith(b"\r\n\r\n"):
            self.transport.write(ANSWER)
            self.transport.close()


async def serve() -> None:
    """Tells its port on standard output, then answers until its standard input ends."""
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


async def measure(probes: int, once: Callable[[], Awaitable[None]]) -> tuple[float, float]:
    """CPU and wall time of one, microseconds."""
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    for _ in range(probes):
        await once()
    after, end = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu / probes * 1e6, (end - start) / probes * 1e6


async def compare(port: int, probes: int) -> None:
    target = Target("model", "127.0.0.1", port)
    http, tcp = HttpGet(path="/health"), TcpSocket()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:

        async def by_probe() -> None:
            assert (await http.probe(target)).outcome is Outcome.SUCCESS

        async def by_tcp() -> None:
            assert (await tcp.probe(target)).outcome is Outcome.SUCCESS

        async def by_aiohttp() -> None:
            async with session.get(f"http://127.0.0.1:{port}/health", allow_redirects=False) as answer:
                await answer.read()

        ways = {"http_get": by_probe, "tcp_socket": by_tcp, "aiohttp": by_aiohttp}
        best = dict.fromkeys(ways, (float("inf"), float("inf")))
        for _ in range(ROUNDS):  # taking turns, so that a busy moment of the machine meets all of them
            for name, once in ways.items():
                best[name] = min(best[name], await measure(probes // ROUNDS, once))
    for name, (cpu, wall) in best.items():
        print(f"{name:<12}{cpu:8.1f} us CPU {wall:8.1f} us wall {cpu / best['aiohttp'][0]:6.2f} of aiohttp")


def main() -> None:
    if sys.argv[1:] == ["--serve"]:
        asyncio.run(serve())
        return
    probes = int(sys.argv[1]) if sys.argv[1:] else 10_000
    with subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        asyncio.run(compare(int(server.stdout.readline()), probes))


if __name__ == "__main__":
    main()
