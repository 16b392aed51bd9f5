"""The watch for a new instance: the runtime, the counters, the connection edge."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from agent.engine.watch import Sign, Watch, liveness_address
from agent.runtimes import Instance
from tests.engine.scripted import ADDRESS, Letters, Server, at, check, container
from tests.virtual import run_virtual, virtual_loop


class Options(Letters):
    """A method with a port and a host of its own."""

    def __init__(self, port: int | str | None = None, host: str | None = None) -> None:
        super().__init__("s")
        self.port, self.host = port, host


@pytest.mark.parametrize(
    ("checks", "address"),
    [
        ([check("liveness", Options(81)), check("readiness", Options(82))], ("127.0.0.1", 81)),
        ([check("liveness", Options("grpc"))], ("127.0.0.1", 8001)),
        ([check("liveness", Options(None, "model.svc"))], ("model.svc", 80)),
        ([check("liveness", Letters("s")), check("readiness", Options(82))], ("127.0.0.1", 82)),  # an exec liveness
        ([check("liveness", Letters("s"))], ("127.0.0.1", 80)),
    ],
)
def test_the_edge_is_watched_at_the_first_liveness_checks_port(checks: list[Any], address: tuple[str, int]) -> None:
    spec = replace(container(*checks, port=80, ports={"grpc": 8001}), host="127.0.0.1")
    assert liveness_address(spec) == address


def test_without_any_port_there_is_no_edge() -> None:
    assert liveness_address(container(check("liveness", Letters("s")))) is None


def test_the_runtimes_word_is_a_sign_once() -> None:
    async def work() -> None:
        server = Server()
        watch = Watch("model", None, server)
        assert await watch.another() == Sign("runtime", "run 1", first=True), "by itself no sign of another one"
        assert await watch.another() is None
        server.start()
        assert await watch.another() == Sign("runtime", "run 2")
        assert await watch.another() is None
        server.up = False
        assert await watch.another() is None, "gone is no new instance"
        server.start()
        assert await watch.another() == Sign("runtime", "run 3")

    run_virtual(work)


def test_a_dead_runtime_is_told_once_and_is_no_sign(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        server = Server()
        watch = Watch("model", None, server)
        await watch.another()
        server.broken_runtime = True
        for _ in range(3):
            assert await watch.another() is None
        server.broken_runtime = False
        assert await watch.another() is None
        server.broken_runtime = True
        await watch.another()

    run_virtual(work)
    assert [record.getMessage() for record in caplog.records] == ["runtime.error"] * 2


def test_a_runtime_that_hangs_does_not_keep_the_edge_from_being_seen() -> None:
    class Hanging:
        async def instance(self) -> Instance | None:
            await asyncio.Event().wait()
            return None

    async def work() -> float:
        server = Server()
        virtual_loop().network.open.add(ADDRESS)
        looking = asyncio.create_task(Watch("model", ADDRESS, Hanging()).until_new(edge_counts=False))
        await at(1)
        server.restart_in(2)
        assert (await looking).kind == "edge"
        return virtual_loop().time()

    assert run_virtual(work) == pytest.approx(3, abs=0.21)


def test_the_edge_counts_only_where_the_port_was_open_before() -> None:
    """A server that is still loading refuses and then accepts: that is its start, not another one."""

    async def work() -> None:
        server = Server()
        server.stop()
        looking = asyncio.create_task(Watch("model", ADDRESS, None).until_new(edge_counts=False))
        await at(5)
        server.start()
        await at(10)
        assert not looking.done()
        server.restart_in(2)
        await at(13)
        assert looking.result() == Sign("edge")

    run_virtual(work)


def test_where_the_runtime_tells_instances_apart_the_edge_is_not_heeded() -> None:
    """A server that closes its port while it reloads is the same instance."""

    async def work() -> None:
        server = Server()
        virtual_loop().network.open.add(ADDRESS)
        watch = Watch("model", ADDRESS, server)
        await watch.another()
        looking = asyncio.create_task(watch.until_new(edge_counts=True))
        await at(2)
        virtual_loop().network.open.discard(ADDRESS)
        await at(4)
        virtual_loop().network.open.add(ADDRESS)
        await at(10)
        assert not looking.done()
        server.start()
        await at(12)
        assert looking.result().kind == "runtime"

    run_virtual(work)


def test_a_watch_that_is_no_longer_needed_leaves_nothing_running() -> None:
    async def work() -> None:
        looking = asyncio.create_task(Watch("model", ADDRESS, None).until_new(edge_counts=True))
        await at(5)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(work)


# -- over real sockets --------------------------------------------------------


class Exposition:
    """A server whose /metrics says when its process started."""

    def __init__(self) -> None:
        self.started = 1000.0
        self.scraped = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            self.scraped += 1
            body = f"process_start_time_seconds {self.started}\n".encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # it was only connected to
        finally:
            writer.close()


@asynccontextmanager
async def serving(exposition: Exposition) -> AsyncIterator[tuple[str, int]]:
    server = await asyncio.start_server(exposition.answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()


async def test_another_start_time_on_metrics_is_a_sign() -> None:
    """A restart so quick that no connection was refused."""
    exposition = Exposition()
    async with serving(exposition) as address, asyncio.timeout(10):
        looking = asyncio.create_task(Watch("model", address, None).until_new(edge_counts=True))
        while not exposition.scraped:  # noqa: ASYNC110 - the server's own count sends no event
            await asyncio.sleep(0.01)
        exposition.started = 2000.0
        assert await looking == Sign("counters")


async def test_a_port_accepts_refuses_or_can_not_be_told() -> None:
    async with serving(Exposition()) as address:
        assert await Watch("model", address, None).connects() is True
    assert await Watch("model", address, None).connects() is False
    assert await Watch("model", None, None).connects() is None
    assert await Watch("model", ("no-such-host.invalid", 80), None).connects() is None


@pytest.mark.parametrize(
    ("problem", "answer"),
    [
        (OSError(111, "Connect call failed"), False),
        (OSError(113, "No route to host"), False),
        (
            OSError(
                "Multiple exceptions: [Errno 111] Connect call failed ('::1', 80, 0, 0), "
                "[Errno 111] Connect call failed ('127.0.0.1', 80)"
            ),
            False,
        ),
        (OSError("Multiple exceptions: [Errno 101] Network is unreachable, [Errno 111] Connect call failed"), False),
        (OSError("Multiple exceptions: [Errno 110] Timed out, [Errno 111] Connect call failed"), None),
        (OSError(24, "Too many open files"), None),
        (OSError("something else"), None),
        (TimeoutError(), None),
        (UnicodeError("label empty or too long"), None),
    ],
)
def test_a_refusal_is_one_at_every_address_and_nothing_else(problem: Exception, answer: bool | None) -> None:
    """As localhost is refused, which is two addresses of two families."""

    async def work() -> bool | None:
        virtual_loop().network.problem = problem
        return await Watch("model", ADDRESS, None).connects()

    assert run_virtual(work) is answer


async def test_localhost_refused_in_both_families_is_a_refusal() -> None:
    async with serving(Exposition()) as (_, port):
        pass
    assert await Watch("model", ("localhost", port), None).connects() is False


async def test_a_host_that_is_no_name_does_not_end_the_watch() -> None:
    watch = Watch("model", ("a" * 70 + "..x", 80), None)
    assert await watch.connects() is None
    looking = asyncio.create_task(watch.until_new(edge_counts=True))
    await asyncio.wait([looking], timeout=0.3)
    assert not looking.done()
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)


def test_an_edge_that_one_look_out_began_the_next_one_ends() -> None:
    """A kill is decided between the refusals and the return: they are still two refusals, then accepted."""

    async def work() -> None:
        watch = Watch("model", ADDRESS, None)
        first = asyncio.create_task(watch.until_accepted())
        await at(1)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        virtual_loop().network.open.add(ADDRESS)
        assert await watch.until_new(edge_counts=True) == Sign("edge")
        assert virtual_loop().time() == 1.0, "the first connection already"

    run_virtual(work)


async def test_counters_are_no_sign_until_they_count_and_then_against_the_oldest_look() -> None:
    """Outside a hold several workers behind one port alternate; a restart during the action is seen in the hold."""
    exposition, count = Exposition(), False
    async with serving(exposition) as address, asyncio.timeout(10):
        looking = asyncio.create_task(
            Watch("model", address, None).until_new(edge_counts=True, counters_count=lambda: count)
        )
        while not exposition.scraped:  # noqa: ASYNC110 - the server's own count sends no event
            await asyncio.sleep(0.01)
        exposition.started = 2000.0
        while exposition.scraped < 2:  # noqa: ASYNC110 - the same
            await asyncio.sleep(0.01)
        assert not looking.done()
        count = True
        assert await looking == Sign("counters")


@pytest.mark.parametrize(("up_at_first", "sign"), [(True, False), (False, True)])
def test_the_first_that_a_runtime_names_is_another_only_where_nothing_ran_before(up_at_first: bool, sign: bool) -> None:
    async def work() -> None:
        server = Server()
        if not up_at_first:
            server.stop()
        watch = Watch("model", None, server)
        looking = asyncio.create_task(watch.until_new(edge_counts=False))
        await at(2.5)
        assert watch.absent is not up_at_first
        server.up = True
        await at(4.5)
        assert looking.done() is sign
        if not sign:
            server.start()
            await at(6)
            assert looking.result() == Sign("runtime", "run 2")
        looking.cancel()

    run_virtual(work)


def test_a_runtime_that_could_not_be_asked_has_not_said_that_nothing_runs() -> None:
    async def work() -> None:
        server = Server(broken_runtime=True)
        watch = Watch("model", None, server)
        looking = asyncio.create_task(watch.until_new(edge_counts=False))
        await at(2.5)
        server.broken_runtime = False
        await at(5)
        assert (watch.absent, looking.done(), watch.known) == (False, False, Instance("run 1", None, 41))
        looking.cancel()

    run_virtual(work)
