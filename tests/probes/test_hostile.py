"""Hostile servers cost an HTTP probe one deadline at most, never a hang, never memory, never a wrong verdict."""

import asyncio
import socket
import ssl
import time

import pytest

from agent.core.model import Outcome, Target
from agent.probes.http import HttpGet
from agent.probes.parts.http1 import read_body, read_head
from agent.probes.parts.wire import Wire

from .support import Behaviour, Peer, answering, attempt, behaving, black_hole, descriptors, silent

OK = b"HTTP/1.1 200 OK\r\n"
SECONDS = 0.2


async def endless_headers(peer: Peer) -> None:
    await peer.request()
    await peer.send(OK)
    while True:
        await peer.send(b"X-Padding: " + b"x" * 1000 + b"\r\n")


async def one_endless_header(peer: Peer) -> None:
    await peer.request()
    await peer.send(OK + b"X-Padding: ")
    while True:
        await peer.send(b"x" * 65536)


async def endless_1xx(peer: Peer) -> None:
    await peer.request()
    while True:
        await peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 100)


async def reset_at_once(peer: Peer) -> None:
    peer.reset()


async def reset_in_the_headers(peer: Peer) -> None:
    await peer.request()
    await peer.send(OK + b"Content-Le")
    await asyncio.sleep(0.02)  # so that the bytes are read before the reset throws them away
    peer.reset()


async def closed_in_the_headers(peer: Peer) -> None:
    await peer.request()
    await peer.send(OK + b"Content-Le")


async def another_protocol(peer: Peer) -> None:
    await peer.send(b"SSH-2.0-OpenSSH_9.2\r\n")
    await peer.reader.read()


async def http_0_9(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"hello")
    await peer.reader.read()


async def tls_alert(peer: Peer) -> None:
    await peer.send(b"\x15\x03\x01\x00\x02\x02\x16")
    await peer.reader.read()


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (endless_headers, "protocol"),
        (one_endless_header, "protocol"),
        (endless_1xx, "protocol"),
        (reset_at_once, "reset"),
        (reset_in_the_headers, "reset"),
        (closed_in_the_headers, "reset"),
        (another_protocol, "protocol"),
        (http_0_9, "protocol"),
        (tls_alert, "protocol"),
    ],
)
async def test_a_server_that_never_gives_headers_is_a_failure_at_once(behaviour: Behaviour, reason: str) -> None:
    async with behaving(behaviour) as server:
        result = await attempt(HttpGet(), server.target())
        assert (result.outcome, result.reason) == (Outcome.FAILURE, reason)


async def dripping_headers(peer: Peer) -> None:
    await peer.request()
    await peer.send(OK)
    while True:
        await peer.drip(b"X-A: b\r\n")


async def dripping_body(peer: Peer) -> None:
    await peer.request()
    await peer.send(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    while True:
        await peer.send(b"1\r\nx\r\n")
        await asyncio.sleep(0.01)


async def never_reading(peer: Peer) -> None:
    peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # every socket transport can
    await asyncio.sleep(60)


@pytest.mark.parametrize(
    ("behaviour", "check", "reached_body"),
    [
        (silent, HttpGet(), False),
        (silent, HttpGet(scheme="https"), False),
        (dripping_body, HttpGet(), True),
        (never_reading, HttpGet(method="POST", body="x" * 65536), False),
    ],
)
async def test_a_stalling_server_costs_exactly_the_deadline(
    behaviour: Behaviour, check: HttpGet, reached_body: bool
) -> None:
    async with behaving(behaviour) as server:
        target, before = server.target(), descriptors()
        start = time.monotonic()
        with pytest.raises(TimeoutError):
            await attempt(check, target, SECONDS)
        assert time.monotonic() - start < SECONDS + 1
        assert target.reached_body is reached_body
        assert descriptors() <= before + 1  # the server's end of the connection


async def test_dripping_headers_end_with_the_deadline_or_with_too_many_of_them() -> None:
    async with behaving(dripping_headers) as server:
        try:
            result = await attempt(HttpGet(), server.target(), SECONDS)
            assert result.reason == "protocol"
        except TimeoutError:
            pass


async def test_a_black_hole_costs_exactly_the_deadline_and_its_socket_is_closed_with_it() -> None:
    async with black_hole() as port:
        before = descriptors()
        with pytest.raises(TimeoutError):
            await attempt(HttpGet(), Target("model", "127.0.0.1", port), SECONDS)
        assert descriptors() == before


@pytest.mark.parametrize("seconds", [0.0, 0.0001, 0.001, 0.01])
async def test_a_deadline_at_any_moment_closes_the_socket(served: ssl.SSLContext, seconds: float) -> None:
    async with behaving(silent) as plain, behaving(silent, tls=served) as secure:
        for check, server in (
            (HttpGet(), plain),
            (HttpGet(scheme="https"), secure),
            (HttpGet(host="localhost"), plain),
        ):
            for _ in range(5):
                with pytest.raises(TimeoutError):
                    await attempt(check, server.target(), seconds)


@pytest.mark.parametrize(
    ("answer", "outcome", "reason"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n", "success", "ok"),
        (b"HTTP/1.1 103 Hints\r\nA: b\r\n\r\n" * 3 + b"HTTP/1.1 500 X\r\n\r\n", "failure", "status"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "failure", "status"),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n", "success", "ok"),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", "warning", "redirect"),
        (b"HTTP/1.0 200 OK\r\n\r\nold but fine", "success", "ok"),
        (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot chunked", "success", "ok"),
        (b"HTTP/1.1 200 OK\n\nbare line feeds", "success", "ok"),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\nX: y\r\n\nok", "success", "ok"),
        (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", "success", "ok"),
        (OK + b"Content-Length: 2\r\n\r\nokHTTP/1.1 500 Pipelined junk\r\n\r\n", "success", "ok"),
        (OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", "success", "ok"),
        (OK + b"X-Folded: a\r\n\tb\r\nContent-Length: 2\r\n\r\nok", "success", "ok"),
        (OK + b": nameless\r\nContent-Length: 2\r\n\r\nok", "success", "ok"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nTrailer: x\r\n\r\n", "success", "ok"),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00", "success", "ok"),
        (OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok", "failure", "protocol"),
        (OK + b"Content-Length: -2\r\n\r\nok", "failure", "protocol"),
        (OK + b"Content-Length: 0x2\r\n\r\nok", "failure", "protocol"),
        (OK + b"Content-Length:\r\n\r\nok", "failure", "protocol"),
        (OK + b"Content-Length: " + b"9" * 40 + b"\r\n\r\nok", "failure", "protocol"),
        (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\nok", "failure", "protocol"),
        (OK + b"no colon\r\n\r\n", "failure", "protocol"),
        (OK + b" folded first\r\n\r\n", "failure", "protocol"),
        (OK + b"X: a\x00b\r\n\r\n", "failure", "protocol"),
        (OK + b"X(y): b\r\n\r\n", "failure", "protocol"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "failure", "protocol"),
        (b"HTTP/1.1  20 OK\r\n\r\n", "failure", "protocol"),
        (b"HTTP/one 200 OK\r\n\r\n", "failure", "protocol"),
        (b"HTTP/1.1 999 Odd\r\n\r\n", "failure", "status"),
        (b"", "failure", "reset"),
        (OK + b"Content-Length: 1000000000000\r\n\r\nlies", "error", "body"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "error", "body"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nx", "error", "body"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nokXX0\r\n\r\n", "error", "body"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\nx", "error", "body"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 5000, "error", "body"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nTrailer: x", "error", "body"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n" + (b"1;" + b"x" * 3000 + b"\r\nx\r\n") * 20, "error", "body"),
    ],
)
async def test_odd_answers_are_judged_as_go_judges_them(answer: bytes, outcome: str, reason: str) -> None:
    async with answering(answer) as server:
        result = await attempt(HttpGet(), server.target())
        assert (result.outcome, result.reason) == (outcome, reason)


async def test_a_server_that_answers_before_it_reads_and_then_resets_has_answered() -> None:
    async def behaviour(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 500 Too much\r\nContent-Length: 0\r\n\r\n")

    async with behaving(behaviour) as server:
        result = await attempt(HttpGet(method="POST", body="x" * 60000), server.target())
        assert result.reason in {"status", "reset"}  # a reset may overtake the answer, in Go's client too
        assert result.outcome is Outcome.FAILURE


async def test_an_https_probe_of_a_plain_server_is_a_tls_failure() -> None:
    async def behaviour(peer: Peer) -> None:
        await peer.reader.read(1)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.reader.read()

    async with behaving(behaviour) as server:
        result = await attempt(HttpGet(scheme="https"), server.target())
        assert (result.outcome, result.reason) == (Outcome.FAILURE, "tls")


async def test_a_tls_server_that_resets_at_any_moment_is_a_failure() -> None:
    async with behaving(reset_at_once) as server:
        results = await asyncio.gather(*(attempt(HttpGet(scheme="https"), server.target()) for _ in range(50)))
    assert {result.outcome for result in results} == {Outcome.FAILURE}
    assert {result.reason for result in results} <= {"tls", "reset"}


async def test_a_tls_server_that_hangs_up_in_the_handshake_is_a_failure() -> None:
    async def behaviour(peer: Peer) -> None:
        await peer.reader.read(1)

    async with behaving(behaviour) as server:
        result = await attempt(HttpGet(scheme="https"), server.target())
        assert (result.outcome, result.reason in {"tls", "reset"}) == (Outcome.FAILURE, True)


async def test_a_tls_body_without_a_closing_alert_is_whole_where_its_length_says_so(served: ssl.SSLContext) -> None:
    async def behaviour(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + b"Content-Length: 2\r\n\r\nok")
        peer.writer.transport.abort()

    async with behaving(behaviour, tls=served) as server:
        assert (await attempt(HttpGet(scheme="https"), server.target())).outcome is Outcome.SUCCESS


async def test_what_is_held_of_an_endless_answer_is_bounded() -> None:
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        far.setblocking(False)
        loop = asyncio.get_running_loop()
        flood = asyncio.ensure_future(loop.sock_sendall(far, OK + b"\r\n" + b"x" * 5_000_000))
        wire = Wire(near)
        body = await read_body(wire, await read_head(wire))
        assert len(body) == 10240
        assert len(wire.held) <= 10240 + 2 * 16384
        flood.cancel()
        await asyncio.wait([flood])
