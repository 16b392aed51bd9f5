"""A server that fails and recovers on a timetable, told in $TIMETABLE, and traces every probe that it sees.

Each probe type has its own path (http), port (tcp) or file (exec), whose state is good, bad or, for http, hang. The
times of a timetable are seconds since the instance began to serve; until then its first states hold. The trace outlives
a restart in a volume, and every instance prints all of it: `kubectl logs` of the last one tells the whole story.
"""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

HTTP_PORT = 8000
SHARED = Path(os.environ.get("SHARED", "/shared"))
TRACE = SHARED / "trace"
AGENT_WITHIN_SECONDS = 120.0

Changes = list[tuple[float, str]]  # since when, which state; in order, the first at 0


class Trace:
    """One JSON object a line, appended by this server and by the commands of its exec checks, printed as it grows."""

    def __init__(self) -> None:
        self.fd = os.open(TRACE, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o666)
        with suppress(PermissionError):
            os.fchmod(self.fd, 0o666)  # the agent's commands append as another user
        self.printed = 0
        self.instance = TRACE.read_text().count('"zero"') + 1

    def tell(self, event: str, **more: object) -> None:
        os.write(self.fd, (json.dumps({"event": event, "unix": time.time(), **more}) + "\n").encode())

    def show(self) -> None:
        """Print what is new, whole lines only."""
        with TRACE.open("rb") as file:
            file.seek(self.printed)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        sys.stdout.write(whole.decode())
        sys.stdout.flush()
        self.printed += len(whole)


class Server:
    """One instance; ``script`` says what becomes of each probe type in it, and of the whole server."""

    def __init__(self, script: dict[str, Any], trace: Trace) -> None:
        self.probes: dict[str, dict[str, Any]] = script.get("probes", {})
        self.loads_seconds: float = script.get("loads_seconds", 0)  # refuses connections so long, as vLLM does
        self.exits_at: float | None = script.get("exits_at")
        self.trace = trace
        self.zero: float | None = None
        self.begun = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    async def serve(self, agent_port: int | None) -> None:
        if self.loads_seconds:
            self.begin()
            await asyncio.sleep(self.loads_seconds)
        await asyncio.start_server(self.http, port=HTTP_PORT, reuse_address=True)
        for name, probe in self.probes.items():
            if probe["method"] == "tcp":
                self.employ(self.keep_port(name, probe["port"], probe["changes"]))
            elif probe["method"] == "exec":
                self.employ(self.keep_file(SHARED / name, probe["changes"]))
        if agent_port is not None:
            await asyncio.to_thread(until_ready, agent_port)
        if not self.begun.is_set():
            self.begin()
        if self.exits_at is not None:
            self.employ(self.exit(self.exits_at))
        while all(not task.done() for task in self.tasks):
            self.trace.show()
            await asyncio.sleep(0.2)
        await asyncio.gather(*self.tasks)  # one of them has failed, and says how

    def begin(self) -> None:
        self.zero = time.monotonic()
        self.trace.tell("zero", instance=self.trace.instance, process=process_started())
        self.begun.set()

    def employ(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work))

    def state(self, changes: Changes) -> str:
        at = 0.0 if self.zero is None else time.monotonic() - self.zero
        return [state for since, state in changes if since <= at][-1]

    async def states(self, changes: Changes) -> AsyncIterator[str]:
        """The first state at once, each other one when its time has come; then wait for ever."""
        yield changes[0][1]
        await self.begun.wait()
        for since, state in changes[1:]:
            await asyncio.sleep(max(0.0, (self.zero or 0.0) + since - time.monotonic()))
            yield state
        await asyncio.Event().wait()

    async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            name = head.split()[1].decode().strip("/")
            state = self.state(self.probes[name]["changes"]) if name in self.probes else "good"
            self.trace.tell("round", probe=name, answer=state)
            if state == "hang":
                await reader.read()  # until the client has had enough
            else:
                status = "200 OK" if state == "good" else "500 Internal Server Error"
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                await writer.drain()
        writer.close()

    async def keep_port(self, name: str, port: int, changes: Changes) -> None:
        def accepted(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.trace.tell("round", probe=name, answer="good")
            writer.close()

        listener = None
        async for state in self.states(changes):
            if state == "good" and listener is None:
                listener = await asyncio.start_server(accepted, port=port, reuse_address=True)
            elif state == "bad" and listener is not None:
                listener.close()
                listener = None

    async def keep_file(self, path: Path, changes: Changes) -> None:
        async for state in self.states(changes):
            if state == "good":
                path.touch()  # noqa: ASYNC240  a file in memory
            else:
                path.unlink(missing_ok=True)  # noqa: ASYNC240

    async def exit(self, after: float) -> None:
        await asyncio.sleep(max(0.0, (self.zero or 0.0) + after - time.monotonic()))
        self.leave("exit", 1)

    def leave(self, event: str, status: int) -> None:
        for name in self.probes:  # the next instance must not be judged by what this one has left
            (SHARED / name).unlink(missing_ok=True)
        self.trace.tell(event)
        self.trace.show()
        os._exit(status)


def process_started() -> float:
    """When this process, and so its container, was started: Unix time, to the hundredth of a second."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - age


def until_ready(port: int) -> None:
    """Until an agent beside this server says that it probes."""
    deadline = time.monotonic() + AGENT_WITHIN_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(b"GET /-/ready HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n")
            if connection.recv(64).startswith(b"HTTP/1.1 200"):
                return
        time.sleep(0.02)
    raise SystemExit(f"no agent is ready on port {port}")


async def main() -> None:
    timetable = json.loads(os.environ["TIMETABLE"])
    trace = Trace()
    scripts = timetable["instances"]
    server = Server(scripts[min(trace.instance, len(scripts)) - 1], trace)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.leave, "term", 0)
    await server.serve(timetable.get("agent_port"))


if __name__ == "__main__":
    asyncio.run(main())
