"""The grpc check on a real gRPC server, against the kubelet's own acceptance cases (probe-semantics 4.4, G1 to G6)."""

import ast
import asyncio
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from agent.core.model import Check, CheckType, Outcome, Result, Target
from agent.engine.worker import look
from agent.probes.grpc import Grpc

from .support import answering, attempt, behaving, black_hole, closed_port, says, silent

SERVER = Path(__file__).with_name("health_server.py")


class HealthServer:
    """The reference implementation in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port

    def target(self, **given: Any) -> Target:
        return Target("model", "127.0.0.1", self.port, **given)

    async def call(self) -> dict[str, Any]:
        """What the next call that it got brought along."""
        assert self.process.stderr is not None
        found: dict[str, Any] = ast.literal_eval((await self.process.stderr.readline()).decode())
        return found


@asynccontextmanager
async def serving(*args: str) -> AsyncIterator[HealthServer]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SERVER), *args, stdin=pipe, stdout=pipe, stderr=pipe
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            yield HealthServer(process, int(await process.stdout.readline()))
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture(scope="module")
def pem(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(path)
    return path


async def rounds(options: Grpc, target: Target, seconds: float = 1) -> Result:
    """One round as the worker makes it, deadline included."""
    target.timeout = seconds
    return await look(
        Check(name="grpc", type=CheckType.LIVENESS, method="grpc", options=options, timeout_seconds=seconds), target
    )


async def test_g3_g5_only_a_serving_service_is_a_success_and_the_call_is_the_kubelets() -> None:
    async with serving() as server:
        found = await rounds(Grpc(), server.target(), 2)
        assert (found.outcome, found.reason, found.detail) == (Outcome.SUCCESS, "ok", "service healthy")
        call = await server.call()
        assert call["user-agent"].startswith("kube-probe/")
        assert 1 < call["left"] <= 2, "the server is told how long it has"
        assert (await rounds(Grpc(service="good", port=server.port), server.target())).outcome is Outcome.SUCCESS
        for service, detail in {
            "bad": 'service unhealthy (responded with "NOT_SERVING")',
            "odd": 'service unhealthy (responded with "UNKNOWN")',
            "nobody": "the server knows no such service (NOT_FOUND)",
        }.items():
            found = await rounds(Grpc(service=service), server.target())
            assert (found.outcome, found.reason, found.detail) == (Outcome.FAILURE, "serving", detail)


async def test_a_hundred_probes_leave_no_connection_behind_and_wait_for_no_acknowledgement() -> None:
    async with serving() as server:
        await rounds(Grpc(), server.target(), 5)
        began = time.monotonic()
        for _ in range(100):
            assert (await rounds(Grpc(), server.target(), 5)).outcome is Outcome.SUCCESS
        assert time.monotonic() - began < 4, "with Nagle each would take 40 ms"


async def test_g1_a_refused_port_is_a_failure_once_the_whole_time_out_is_over() -> None:
    began = time.monotonic()
    found = await rounds(Grpc(), Target("model", "127.0.0.1", closed_port()), 0.5)
    assert (found.outcome, found.reason) == (Outcome.FAILURE, "refused")
    assert found.detail.startswith('timeout: failed to connect service "127.0.0.1:')
    assert " within 0.5s: " in found.detail
    assert found.detail.endswith("connection refused")
    assert 0.5 <= time.monotonic() - began < 1


async def test_g1_a_server_that_begins_to_listen_within_the_time_out_is_found() -> None:
    port = closed_port()
    look_out = asyncio.create_task(rounds(Grpc(), Target("model", "127.0.0.1", port), 20))
    await asyncio.sleep(0.05)  # it has been refused by then
    async with serving("--port", str(port)):
        assert (await look_out).outcome is Outcome.SUCCESS


async def test_g2_a_plain_http_1_server_is_a_failure() -> None:
    async with answering(says(400)) as server:
        found = await rounds(Grpc(), server.target(), 0.3)
    assert (found.outcome, found.reason) == (Outcome.FAILURE, "protocol")
    assert found.detail.endswith(" within 0.3s: the server speaks HTTP/1, not HTTP/2")


async def test_g4_a_call_that_does_not_end_in_time_is_a_failure() -> None:
    async with serving("--slow", "4") as server:
        began = time.monotonic()
        found = await rounds(Grpc(), server.target(), 0.4)
        assert (found.outcome, found.reason) == (Outcome.FAILURE, "timeout")
        assert found.detail == "timeout: health rpc did not complete within 0.4s"
        assert time.monotonic() - began < 2


async def test_g6_tls_asks_tls_only_and_plain_asks_plain_only(pem: Path) -> None:
    async with serving("--tls", str(pem)) as secure, serving() as plain:
        assert (await rounds(Grpc(tls=True), secure.target(), 5)).outcome is Outcome.SUCCESS, "nothing is verified"
        found = await rounds(Grpc(), secure.target(), 0.3)
        assert (found.outcome, found.reason in {"protocol", "reset"}) == (Outcome.FAILURE, True)
        found = await rounds(Grpc(tls=True), plain.target(), 0.3)
        assert (found.outcome, found.reason) == (Outcome.FAILURE, "tls")


async def test_a_tls_server_without_http_2_is_a_failure(served: ssl.SSLContext) -> None:
    async with answering(says(200), tls=served) as server:
        found = await rounds(Grpc(tls=True), server.target(), 0.3)
    assert (found.outcome, found.reason) == (Outcome.FAILURE, "tls")
    assert "does not offer HTTP/2" in found.detail


async def test_a_server_without_the_health_service_is_told_apart() -> None:
    async with serving("--bare") as server:
        found = await rounds(Grpc(), server.target(), 5)
    assert (found.outcome, found.reason) == (Outcome.FAILURE, "unimplemented")


async def test_silence_and_black_holes_cost_the_time_out_and_are_failures() -> None:
    async with behaving(silent) as server:
        found = await rounds(Grpc(), server.target(), 0.2)
    assert (found.outcome, found.reason) == (Outcome.FAILURE, "timeout")
    async with black_hole() as port:
        found = await rounds(Grpc(port=port), Target("model", "127.0.0.1"), 0.2)
    assert (found.outcome, found.reason) == (Outcome.FAILURE, "timeout")


async def test_a_name_that_nobody_has_is_a_failure_of_its_own_kind() -> None:
    found = await rounds(Grpc(port=1), Target("model", "nobody.invalid"), 1)
    assert found.outcome is Outcome.FAILURE
    assert found.reason in {"dns", "timeout"}, "a resolver without a network may not answer at all"


async def test_what_one_round_found_does_not_colour_the_next() -> None:
    target = Target("model", "127.0.0.1", closed_port())
    assert (await rounds(Grpc(), target, 0.2)).reason == "refused"
    async with behaving(silent) as server:
        assert (await rounds(Grpc(port=server.port), target, 0.2)).reason == "timeout"


async def test_an_agent_without_file_descriptors_is_an_error_and_no_failure() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = [socket.socket() for _ in range(3)]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (held[0].fileno() + 1, hard))
        found = await rounds(Grpc(), Target("model", "127.0.0.1", closed_port_of(held)), 0.2)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for sock in held:
            sock.close()
    assert (found.outcome, found.reason) == (Outcome.ERROR, "internal")


def closed_port_of(held: list[socket.socket]) -> int:
    """Any port: with no descriptor left nothing gets as far as asking it."""
    return 1 + len(held)


async def test_a_probe_that_is_cancelled_leaves_nothing_open() -> None:
    async with behaving(silent) as server:
        task = asyncio.create_task(attempt(Grpc(), server.target(timeout=9)))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
