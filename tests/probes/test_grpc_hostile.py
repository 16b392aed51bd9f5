"""Servers that break HTTP/2, gRPC or the health protocol: one failure each, soon, in little memory."""

import asyncio
from collections.abc import Awaitable, Callable

import h2.config
import h2.connection
import h2.events
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.model import Outcome
from agent.probes.grpc import Grpc
from agent.probes.parts.protobuf import enum_field, string_field

from .support import Behaviour, Peer, attempt, behaving

Answer = Callable[[h2.connection.H2Connection, int, Peer], Awaitable[None]]
GRPC = [(":status", "200"), ("content-type", "application/grpc")]
SERVING = b"\0\0\0\0\x02\x08\x01"


def speaking(answer: Answer) -> Behaviour:
    """A server that speaks HTTP/2 until the call is there, and then does as it is told."""

    async def behaviour(peer: Peer) -> None:
        connection = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=False, validate_outbound_headers=False, normalize_outbound_headers=False
            )
        )
        connection.initiate_connection()
        await peer.send(connection.data_to_send())
        while data := await peer.reader.read(65536):
            events = connection.receive_data(data)
            await peer.send(connection.data_to_send())
            for event in events:
                if isinstance(event, h2.events.StreamEnded):
                    await answer(connection, event.stream_id or 1, peer)
                    await peer.send(connection.data_to_send())

    return behaviour


def whole(body: bytes, headers: list[tuple[str, str]] | None = None, **trailers: str) -> Answer:
    """Headers, a body, trailers."""

    async def answer(connection: h2.connection.H2Connection, stream: int, _: Peer) -> None:
        connection.send_headers(stream, GRPC if headers is None else headers)
        connection.send_data(stream, body, end_stream=not trailers)
        if trailers:
            said = [(name.replace("_", "-"), value) for name, value in trailers.items()]
            connection.send_headers(stream, said, end_stream=True)

    return answer


def only(*headers: tuple[str, str]) -> Answer:
    async def answer(connection: h2.connection.H2Connection, stream: int, _: Peer) -> None:
        connection.send_headers(stream, headers, end_stream=True)

    return answer


def raw(*pieces: bytes, times: int = 1) -> Answer:
    async def answer(_: h2.connection.H2Connection, __: int, peer: Peer) -> None:
        for _unused in range(times):
            await peer.send(b"".join(pieces))
        await peer.reader.read()

    return answer


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


async def goodbye(connection: h2.connection.H2Connection, stream: int, peer: Peer) -> None:
    connection.close_connection()


async def reset(connection: h2.connection.H2Connection, stream: int, peer: Peer) -> None:
    connection.reset_stream(stream, 7)


async def gone(connection: h2.connection.H2Connection, stream: int, peer: Peer) -> None:
    peer.reset()


PING = frame(6, 0, 0, b"12345678")
SETTINGS = frame(4, 0, 0, b"")
UNKNOWN = frame(200, 0, 0, b"x" * 1000)
CONTINUATION = frame(9, 0, 1, b"")
HEADERS = frame(1, 0, 1, b"\x88")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (whole(b"\0\0\0\0\x02\x08\x02", grpc_status="0"), "serving"),
        (whole(b"\0\0\0\0\0", grpc_status="0"), "serving"),
        (whole(b"\0\0\0\0\x02\x08\x63", grpc_status="0"), "serving"),
        (whole(b"", grpc_status="12"), "unimplemented"),
        (whole(b"", grpc_status="4"), "timeout"),
        (whole(b"", grpc_status="5"), "serving"),
        (whole(b"", grpc_status="14", grpc_message="secret"), "status"),
        (whole(SERVING, grpc_status="16"), "status"),
        (whole(SERVING, grpc_status="999"), "status"),
        (whole(SERVING, grpc_status="-0"), "status"),
        (whole(SERVING, grpc_status="zero"), "status"),
        (whole(SERVING), "protocol"),
        (whole(SERVING, other="0"), "protocol"),
        (whole(b"", grpc_status="0"), "protocol"),
        (whole(SERVING[:-1], grpc_status="0"), "protocol"),
        (whole(SERVING * 2, grpc_status="0"), "protocol"),
        (whole(b"\1" + SERVING[1:], grpc_status="0"), "protocol"),
        (whole(b"\0\0\0\0\x01\x08", grpc_status="0"), "protocol"),
        (whole(b"\0\0\0\0\x02\x0b\x01", grpc_status="0"), "protocol"),
        (whole(SERVING, [(":status", "200"), ("content-type", "text/html")], grpc_status="0"), "protocol"),
        (whole(SERVING, [(":status", "503"), ("content-type", "application/grpc")], grpc_status="0"), "status"),
        (only((":status", "404")), "unimplemented"),
        (only((":status", "503")), "status"),
        (only((":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "12")), "unimplemented"),
        (only((":status", "x")), "status"),
        (only(("content-type", "application/grpc"), ("grpc-status", "0")), "protocol"),
        (goodbye, "reset"),
        (reset, "reset"),
        (gone, "reset"),
        (raw(frame(0, 0, 1, b"x" * 16385)), "protocol"),
        (raw(frame(0, 0, 1, b"x" * 16000), times=100), "protocol"),
        (raw(HEADERS, CONTINUATION * 1000), "protocol"),
        (raw(frame(1, 4, 1, b"\x88" + b"\x00\x01a\x01b" * 3000), times=100), "protocol"),
        (raw(frame(1, 4, 1, b"\xff" * 16)), "protocol"),
        (raw(frame(5, 4, 1, b"\0\0\0\2\x88")), "protocol"),
        (raw(PING, times=50_000), "protocol"),
        (raw(SETTINGS, times=50_000), "protocol"),
        (raw(UNKNOWN, times=2_000), "protocol"),
    ],
)
async def test_an_answer_that_is_not_serving_is_a_failure_and_tells_nothing_of_the_servers_words(
    answer: Answer, reason: str
) -> None:
    async with behaving(speaking(answer)) as server:
        found = await attempt(Grpc(), server.target(timeout=5))
    assert (found.outcome, found.reason) == (Outcome.FAILURE, reason), found.detail
    assert "secret" not in found.detail


@pytest.mark.parametrize(
    "answer",
    [
        whole(SERVING, grpc_status="0"),
        whole(b"\0\0\0\0\x0e\x08\x02\x12\x01x\x1d1234\x08\x01\x18\x00", grpc_status="0"),
        whole(SERVING, [(":status", "200"), ("content-type", "application/grpc+proto")], grpc_status="0", x="y"),
    ],
)
async def test_serving_is_understood_however_it_is_said(answer: Answer) -> None:
    async with behaving(speaking(answer)) as server:
        assert (await attempt(Grpc(), server.target(timeout=5))).outcome is Outcome.SUCCESS


async def stalls(connection: h2.connection.H2Connection, stream: int, peer: Peer) -> None:
    connection.send_headers(stream, GRPC)
    await peer.send(connection.data_to_send())
    await peer.reader.read()


async def test_a_server_that_stops_in_the_middle_of_its_answer_costs_the_deadline_only() -> None:
    async with behaving(speaking(stalls)) as server:
        with pytest.raises(TimeoutError):
            await attempt(Grpc(), server.target(timeout=5), 0.3)


async def garbage(peer: Peer) -> None:
    await peer.send(bytes(range(256)) * 64)
    await peer.reader.read()


async def ping_first(peer: Peer) -> None:
    await peer.send(PING * 50_000)
    await peer.reader.read()


async def dripping(peer: Peer) -> None:
    """Settings byte by byte, for ever the same."""
    while True:
        await peer.drip(SETTINGS[:5])


@pytest.mark.parametrize("behaviour", [garbage, ping_first, dripping])
async def test_who_does_not_greet_in_http_2_is_tried_again_until_the_deadline_and_what_it_did_is_kept(
    behaviour: Behaviour,
) -> None:
    async with behaving(behaviour) as server:
        target = server.target(timeout=1.2)  # it is asked at 0, 0.1, 0.3 and 0.7 s, on a busy machine less often
        with pytest.raises(TimeoutError):
            await attempt(Grpc(), target, 1.2)
        assert target.so_far is not None
        assert (target.so_far.outcome, target.so_far.reason) == (Outcome.FAILURE, "protocol")
        assert 2 <= server.connections <= 4


# -- the few bytes of protocol buffers ------------------------------------------------------------------------------


def test_what_is_sent_is_what_the_reference_implementation_sends() -> None:
    from grpc_health.v1 import health_pb2

    for service in ("", "a", "grpc.health.v1.Health", "ü" * 100, "x" * 20_000):
        assert string_field(1, service) == health_pb2.HealthCheckRequest(service=service).SerializeToString()
    for value in range(4):
        assert enum_field(health_pb2.HealthCheckResponse(status=value).SerializeToString(), 1) == value


@given(st.binary(max_size=40))
def test_no_message_is_too_odd(message: bytes) -> None:
    try:
        found = enum_field(message, 1)
    except ValueError:
        return
    assert found >= 0


async def test_nothing_is_left_of_a_probe_whose_server_dies_at_any_byte() -> None:
    """Cut off after each byte of a good answer, the check ends in a failure or, uncut, in a success."""
    good: list[bytes] = []

    async def recording(connection: h2.connection.H2Connection, stream: int, peer: Peer) -> None:
        await whole(SERVING, grpc_status="0")(connection, stream, peer)
        good.append(connection.data_to_send())
        await peer.send(good[0])

    async with behaving(speaking(recording)) as server:
        assert (await attempt(Grpc(), server.target(timeout=5))).outcome is Outcome.SUCCESS

    for cut in range(len(good[0])):

        async def cut_off(_: h2.connection.H2Connection, __: int, peer: Peer, cut: int = cut) -> None:
            await peer.send(good[0][:cut])
            peer.writer.close()
            await asyncio.sleep(0)

        async with behaving(speaking(cut_off)) as server:
            assert (await attempt(Grpc(), server.target(timeout=5))).outcome is Outcome.FAILURE, cut
