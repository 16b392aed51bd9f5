"""Names with several addresses are raced, and whoever loses is closed."""

import asyncio
import errno
import socket

import pytest

from agent.probes.parts.dial import _race, _worst, connect
from agent.probes.parts.faults import Fault, blame
from probes.support import behaving, black_hole, closed_port, descriptors, silent

V4 = socket.AF_INET


async def test_the_next_address_is_tried_at_once_after_a_refusal() -> None:
    async with behaving(silent) as server:
        start = asyncio.get_running_loop().time()
        places = [(V4, ("127.0.0.1", closed_port())), (V4, ("127.0.0.1", server.port))]
        (await _race(places, server.port)).close()
        assert asyncio.get_running_loop().time() - start < 0.25


async def test_an_address_that_does_not_answer_is_overtaken_by_the_next() -> None:
    async with behaving(silent) as server, black_hole() as hole:
        async with asyncio.timeout(2):
            sock = await _race([(V4, ("127.0.0.1", hole)), (V4, ("127.0.0.1", server.port))], server.port)
        with sock:
            assert sock.getpeername()[1] == server.port


async def test_a_deadline_closes_every_racer() -> None:
    async with black_hole() as hole:
        before = descriptors()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await _race([(V4, ("127.0.0.1", hole))] * 2, hole)
        await asyncio.sleep(0)
        assert descriptors() == before


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_name_of_both_families_is_reached_whichever_of_them_listens(host: str) -> None:
    async with behaving(silent, host=host) as server:
        places = [(socket.AF_INET6, ("::1", server.port, 0, 0)), (V4, ("127.0.0.1", server.port))]
        (await _race(places, server.port)).close()


async def test_when_every_address_refuses_the_fault_is_the_targets() -> None:
    with pytest.raises(Fault) as raised:
        await connect("localhost", closed_port())
    assert raised.value.reason == "refused"


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL])
def test_what_the_agent_lacks_is_never_the_targets_fault(code: int) -> None:
    problem = OSError(code, "x")
    assert blame(problem, "connect") is problem


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.ECONNREFUSED, "refused"),
        (errno.EHOSTUNREACH, "refused"),
        (errno.ECONNRESET, "reset"),
        (errno.ETIMEDOUT, "timeout"),
    ],
)
def test_what_the_target_did_is_its_fault(code: int, reason: str) -> None:
    fault = blame(OSError(code, "x"), "connect")
    assert isinstance(fault, Fault)
    assert fault.reason == reason


def test_a_failed_look_up_is_a_dns_failure_unless_memory_ran_out() -> None:
    fault = blame(socket.gaierror(socket.EAI_NONAME, "unknown"), "look up x")
    assert isinstance(fault, Fault)
    assert fault.reason == "dns"
    short = socket.gaierror(socket.EAI_MEMORY, "out of memory")
    assert blame(short, "look up x") is short


def test_of_several_problems_an_exhausted_agent_comes_first_and_a_missing_family_last() -> None:
    refused, missing, full = Fault("refused", "x"), OSError(errno.EADDRNOTAVAIL, "x"), OSError(errno.EMFILE, "x")
    assert _worst([missing, refused]) is refused
    assert _worst([missing, refused, full]) is full
    assert _worst([missing]) is missing
