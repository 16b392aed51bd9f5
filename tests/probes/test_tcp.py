"""The tcp_socket check on real sockets (probe-semantics 4.4)."""

import resource
import socket

import pytest

from agent.core.model import Outcome, Target, success
from agent.probes.tcp import TcpSocket

from .support import attempt, behaving, black_hole, closed_port, descriptors, silent


async def test_t1_a_listening_port_is_a_success() -> None:
    async with behaving(silent) as server:
        assert await attempt(TcpSocket(), server.target()) == success()


async def test_t1_a_closed_port_is_a_failure_and_no_error() -> None:
    result = await attempt(TcpSocket(port=closed_port()), Target("model", "127.0.0.1"))
    assert (result.outcome, result.reason) == (Outcome.FAILURE, "refused")


async def test_t2_a_black_hole_costs_exactly_the_deadline() -> None:
    async with black_hole() as port:
        before = descriptors()
        with pytest.raises(TimeoutError):
            await attempt(TcpSocket(port=port), Target("model", "127.0.0.1"), 0.1)
        assert descriptors() == before


async def test_the_port_may_be_a_name_of_the_container() -> None:
    async with behaving(silent) as server:
        assert (await attempt(TcpSocket(port="grpc"), server.target(ports={"grpc": server.port}))).outcome == "success"


async def test_nothing_is_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await attempt(TcpSocket(), Target("model", "127.0.0.1", listener.getsockname()[1]))
        peer, _ = listener.accept()
        with peer:
            peer.settimeout(5)
            assert peer.recv(1) == b""


async def test_t3_so_linger_is_not_set_so_the_peer_sees_an_orderly_end() -> None:
    """With SO_LINGER {1,0} the peer would read ECONNRESET; {1,1} can block the loop (probe-semantics 2.1)."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await attempt(TcpSocket(), Target("model", "127.0.0.1", listener.getsockname()[1]))
        peer, _ = listener.accept()
        with peer:
            peer.settimeout(5)
            peer.sendall(b"x")
            assert peer.recv(1) == b""


async def test_an_ipv6_literal_needs_no_brackets() -> None:
    async with behaving(silent, host="::1") as server:
        assert await attempt(TcpSocket(host="::1", port=server.port), server.target()) == success()


async def test_an_agent_out_of_descriptors_says_so_and_blames_nobody() -> None:
    async with behaving(silent) as server:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with socket.socket() as free:
            limit = free.fileno()  # the lowest free descriptor: the next ones are above
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                await attempt(TcpSocket(), server.target())
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("host", ["http://model", "model:8000", "[::1]", "a b", "model/x", ""])
def test_a_host_that_is_more_than_a_host_is_told(host: str) -> None:
    assert [path for path, _ in TcpSocket(host=host).check_options()] == ["host"]


@pytest.mark.parametrize("host", [None, "model", "127.0.0.1", "::1", "fe80::1%eth0", "model.example.com."])
def test_names_and_addresses_are_hosts(host: str | None) -> None:
    assert TcpSocket(host=host).check_options() == []
