"""Binding: every address on one port, any free port, and messages that name the remedy."""

import asyncio
import shutil
import socket
import subprocess
import sys

import aiohttp
import pytest

from agent.core.settings import Server
from agent.server import public
from agent.server.listen import ListenError, open_sockets
from tests.server.known import Known


async def test_no_host_listens_on_ipv6_and_ipv4_on_one_port_and_tells_it() -> None:
    listener = await public.start(Known(), Server(port=0))
    try:
        assert listener.port > 0
        assert listener.addresses in ((f"[::]:{listener.port}",), (f"0.0.0.0:{listener.port}",))
        hosts = ["127.0.0.1", *(["[::1]"] if listener.addresses[0].startswith("[") else [])]
        async with aiohttp.ClientSession() as session:
            for host in hosts:
                async with session.get(f"http://{host}:{listener.port}/ready") as response:
                    assert response.status == 200
    finally:
        await listener.close()


SERVE_WITHOUT_IPV6 = """
import asyncio, socket
from agent.server.listen import open_sockets
async def main():
    sockets = await open_sockets(None, 0)
    port = sockets[0].getsockname()[1]
    socket.create_connection(("127.0.0.1", port), 5).close()
    (local,) = await open_sockets("localhost", 0)
    print("served")
asyncio.run(main())
"""


def test_ipv4_alone_is_served_where_ipv6_is_disabled() -> None:
    """In a network namespace of its own, with IPv6 switched off."""
    unshare = shutil.which("unshare")
    off = 'ip link set lo up; echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6 && exec "$@"'
    command = [unshare or "unshare", "--user", "--map-root-user", "--net", "sh", "-c", off, "sh"]
    if unshare is None or subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespace can be made here")
    served = subprocess.run(
        [*command, sys.executable, "-c", SERVE_WITHOUT_IPV6], capture_output=True, text=True, timeout=30, check=False
    )
    assert (served.stdout, served.stderr) == ("served\n", "")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", None])
async def test_a_port_in_use_is_named_with_the_remedy(host: str | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        where = "every address" if host is None else host
        message = (
            f"server: cannot listen on {where}, port {port}: the port is in use; "
            "stop what listens there, or set server.port to a free one"
        )
        with pytest.raises(ListenError) as raised:
            await public.start(Known(), Server(host=host, port=port))
        assert str(raised.value) == message


async def test_an_address_of_another_machine_and_a_name_of_nothing_are_told_apart() -> None:
    with pytest.raises(ListenError, match=r"192\.0\.2\.1, port 0: not an address of this machine; set admin\.host"):
        await open_sockets("192.0.2.1", 0, "admin")
    with pytest.raises(ListenError, match=r"server: .*the name can't be resolved"):
        await open_sockets("no such host", 0)


async def test_a_name_of_several_addresses_is_served_on_all_of_them_on_one_port() -> None:
    sockets = await open_sockets("localhost", 0)
    assert len({sock.getsockname()[1] for sock in sockets}) == 1
    for sock in sockets:
        sock.close()


async def test_of_two_agents_that_start_at_once_the_second_is_told() -> None:
    first = await open_sockets("127.0.0.1", 0)
    port = first[0].getsockname()[1]
    results = await asyncio.gather(*(open_sockets("127.0.0.1", port) for _ in range(2)), return_exceptions=True)
    assert all(isinstance(result, ListenError) for result in results)
    first[0].close()
