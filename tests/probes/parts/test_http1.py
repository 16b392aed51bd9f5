"""Answers are understood however they arrive, and nothing but a Fault comes of whatever is no answer."""

import asyncio
import contextlib
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.probes.parts.faults import Fault
from agent.probes.parts.http1 import MAX_BODY, Head, parse_head, read_body, read_head
from agent.probes.parts.wire import Wire


async def understood(*pieces: bytes) -> tuple[Head, bytes]:
    """What a wire makes of an answer that arrives in just these pieces."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near, far:
        near.setblocking(False)
        for piece in filter(None, pieces):
            far.send(piece)
        far.close()
        wire = Wire(near)
        head = await read_head(wire)
        return head, await read_body(wire, head)


ANSWERS = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    (
        b"HTTP/1.1 100 X\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
        b"hello",
    ),
    (b"HTTP/1.0 200 OK\n\nhello", b"hello"),
    (b"HTTP/1.1 204 X\r\n\r\nhello", b""),
]


@pytest.mark.parametrize(("answer", "body"), ANSWERS)
def test_an_answer_cut_at_any_place_is_the_same_answer(answer: bytes, body: bytes) -> None:
    async def all_cuts() -> None:
        for cut in range(len(answer)):
            assert (await understood(answer[:cut], answer[cut:]))[1] == body
        assert (await understood(*(bytes([byte]) for byte in answer)))[1] == body

    asyncio.run(all_cuts())


@pytest.mark.parametrize(("size", "kept"), [(10241, 10240), (10239, 10239)])
@pytest.mark.parametrize("framing", ["length", "chunked", "end"])
async def test_h17_ten_kib_of_a_body_are_kept_however_it_is_framed(framing: str, size: int, kept: int) -> None:
    body = bytes(index % 251 for index in range(size))
    head, data = {
        "length": (f"Content-Length: {size}\r\n", body),
        "chunked": ("Transfer-Encoding: chunked\r\n", b"%x\r\n%b\r\n0\r\n\r\n" % (size, body)),
        "end": ("", body),
    }[framing]
    assert await understood(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode(), data) == (
        Head(200, length=size if framing == "length" else None, chunked=framing == "chunked"),
        body[:kept],
    )


@given(st.binary(max_size=200))
def test_any_head_is_understood_or_a_fault(block: bytes) -> None:
    for text in (block, b"HTTP/1.1 200 OK\r\n" + block):
        with contextlib.suppress(Fault):
            parse_head(text)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.sampled_from([b"", b"Transfer-Encoding: chunked\r\n"])
)
def test_any_body_is_read_up_to_its_cap_or_a_fault(pieces: list[bytes], framing: bytes) -> None:
    async def read() -> None:
        with contextlib.suppress(Fault):
            _, body = await understood(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n", *pieces)
            assert len(body) <= MAX_BODY

    asyncio.run(read())
