"""Whatever an API server does, or does not do: each has one outcome, told with its remedy and without the token."""

import asyncio
import errno
import resource
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from agent.core.model import EXHAUSTED
from agent.runtimes.kube_answers import GET_POD, ApiError
from agent.runtimes.kube_api import Api, Call, memory
from tests.runtimes.api_server import POD, ApiServer, forbidden, saying, serving, status, tls
from tests.runtimes.support import descriptors


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with serving(tmp_path) as server:
        yield server


async def told(server: ApiServer, seconds: float = 4) -> ApiError:
    """The error of one request."""
    with pytest.raises(ApiError) as failed:
        await Api(server.url, str(server.folder)).call(Call(POD, GET_POD, "prod", seconds=seconds))
    assert failed.value.errno not in EXHAUSTED
    assert server.token not in str(failed.value)
    assert "\n" not in str(failed.value)
    return failed.value


# -- refusals ------------------------------------------------------------------------------------------------------


async def test_a_right_that_is_missing_is_named_as_the_rule_to_add(server: ApiServer) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return forbidden("get", "pods")

    server.instead = refuse
    problem = await told(server)
    assert (problem.errno, problem.status) == (errno.EACCES, 403)
    assert (
        'add {apiGroups: [""], resources: [pods], verbs: [get]} to the rules of a Role in namespace prod'
        in problem.strerror
    )
    assert 'User "system:serviceaccount:prod:agent" cannot get resource "pods"' in problem.strerror


async def test_a_refusal_that_is_no_want_of_rights_is_told_in_the_servers_words(server: ApiServer) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return status(403, 'admission webhook "policy.example" denied the request: not on Fridays')

    server.instead = refuse
    problem = await told(server)
    assert "not on Fridays" in problem.strerror
    assert "Role" not in problem.strerror


@pytest.mark.parametrize(
    ("code", "number", "words"),
    [
        (301, errno.EPROTO, "a redirect, which is not followed"),
        (307, errno.EPROTO, "a redirect, which is not followed"),
        (400, errno.EINVAL, "answered 400 (because)"),
        (404, errno.ENOENT, "does not know it: because"),
        (409, errno.EINVAL, "answered 409 (because)"),
        (422, errno.EINVAL, "answered 422 (because)"),
        (429, errno.EBUSY, "because"),
        (500, errno.EREMOTEIO, "answered 500 (because)"),
        (503, errno.EREMOTEIO, "answered 503 (because)"),
        (504, errno.EREMOTEIO, "answered 504 (because)"),
    ],
)
async def test_each_status_has_its_outcome(server: ApiServer, code: int, number: int, words: str) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return status(code, "because", headers={"Location": "https://127.0.0.1:1/elsewhere"} if code < 400 else None)

    server.instead = refuse
    problem = await told(server)
    assert (problem.status, problem.errno) == (code, number)
    assert words in problem.strerror
    assert len(server.asked) == 1


async def test_a_servers_words_are_one_short_line_without_the_token(server: ApiServer) -> None:
    """`told` looks for the token; a hostile server would love to see it logged."""

    async def echo(request: web.Request) -> web.Response:
        return status(500, f"{request.headers['Authorization']}\n\x1b[31m{'long ' * 1000}")

    server.instead = echo
    problem = await told(server)
    assert "[redacted]" in problem.strerror
    assert "\x1b" not in problem.strerror
    assert len(problem.strerror) < 500


@pytest.mark.parametrize("body", [b"", b"<html>Bad Gateway</html>", b'{"message": 7}', b"[]", b"\xff\xfe"])
async def test_a_refusal_without_a_status_object_is_told_by_its_number(server: ApiServer, body: bytes) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=502, body=body)

    server.instead = refuse
    assert (await told(server)).strerror == f"{server.url} answered 502"


# -- the token -----------------------------------------------------------------------------------------------------


async def test_each_request_shows_the_token_of_the_moment(server: ApiServer) -> None:
    for token in ("one", "two"):
        server.token = token
        server.mount()
        assert await server.runtime().instance() is not None
    assert len(server.asked) == 2


async def test_a_token_that_rotates_meanwhile_is_read_again_once(server: ApiServer) -> None:
    """The request was under way with the old one when the kubelet mounted the new one."""

    async def rotated(_: web.Request) -> web.Response:
        server.token = "token-of-the-second-hour"
        server.mount()
        server.instead = None
        return status(401, "Unauthorized")

    server.instead = rotated
    assert await server.runtime().instance() is not None
    assert len(server.asked) == 2


async def test_a_token_that_is_not_accepted_is_shown_twice_and_told(server: ApiServer) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return status(401, "Unauthorized")

    server.instead = refuse
    problem = await told(server)
    assert "expired" in problem.strerror
    assert "automountServiceAccountToken" in problem.strerror
    assert len(server.asked) == 2


@pytest.mark.parametrize("name", ["token", "ca.crt"])
async def test_an_account_that_is_not_mounted_is_told_with_the_remedy(server: ApiServer, name: str) -> None:
    (server.folder / name).unlink()
    problem = await told(server)
    assert problem.errno == errno.ENOENT
    assert f"{server.folder}/{name} can't be read: No such file or directory" in problem.strerror
    assert "automountServiceAccountToken: true" in problem.strerror


async def test_files_that_hold_something_else_are_told(server: ApiServer) -> None:
    server.mount(ca_crt="no certificate")
    assert "ca.crt holds no certificate" in (await told(server)).strerror
    server.mount(token="")
    assert "token is empty" in (await told(server)).strerror
    server.mount(token="line\nend")
    assert (await told(server)).errno == errno.EINVAL


# -- no answer -----------------------------------------------------------------------------------------------------


async def test_a_hanging_server_has_a_deadline(server: ApiServer) -> None:
    async with saying(server, None):
        problem = await told(server, 0.2)
    assert problem.errno == errno.ETIMEDOUT
    assert problem.strerror == f"{server.url} did not answer within 0.2 s"


async def test_a_server_that_does_not_even_shake_hands_has_the_same_deadline(server: ApiServer) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server.url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        assert (await told(server, 0.2)).errno == errno.ETIMEDOUT


async def test_a_server_that_is_not_there_is_told_with_what_to_look_at(server: ApiServer) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        server.url = f"https://127.0.0.1:{held.getsockname()[1]}"
        problem = await told(server)
    assert problem.errno == errno.ECONNREFUSED
    assert f"cannot connect to {server.url}: Connection refused" in problem.strerror
    assert "NetworkPolicy" in problem.strerror


async def test_a_name_without_an_address_is_told(server: ApiServer) -> None:
    server.url = "https://api.invalid:6443"
    problem = await told(server)
    assert "https://api.invalid:6443: no address of this name" in problem.strerror


async def test_a_name_with_an_address_is_looked_up(server: ApiServer) -> None:
    context = tls(server, "localhost")
    runner = web.ServerRunner(web.Server(server))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    server.url = f"https://localhost:{runner.addresses[0][1]}"
    try:
        assert await server.runtime().instance() is not None
    finally:
        await runner.cleanup()


async def test_somebody_elses_certificate_is_refused(server: ApiServer) -> None:
    """The mounted authority alone is trusted; the machine's own are not."""
    server.mount(ca_crt=trustme.CA().cert_pem.bytes().decode())
    problem = await told(server)
    assert problem.errno == errno.EPROTO
    assert f"is not good by {server.folder}/ca.crt" in problem.strerror
    assert server.asked == []


async def test_a_certificate_for_another_name_is_refused(server: ApiServer) -> None:
    context = tls(server, "kubernetes.default.svc")
    listener = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with listener:
        server.url = f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        problem = await told(server)
    assert "certificate" in problem.strerror
    assert "127.0.0.1" in problem.strerror


async def test_a_server_without_tls_is_told(server: ApiServer) -> None:
    async with saying(server, b"HTTP/1.1 400 Bad Request\r\n\r\n", plain=True):
        problem = await told(server)
    assert problem.errno == errno.EPROTO
    assert "does not speak TLS" in problem.strerror


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0\1\2 no HTTP at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Length: nonsense\r\n\r\n{}",
    ],
)
async def test_an_answer_that_breaks_off_or_is_none_is_an_error(server: ApiServer, answer: bytes) -> None:
    async with saying(server, answer):
        problem = await told(server)
    assert "broke off, or was none" in problem.strerror


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"<html>", b'{"metadata": 7}', b"\xff\xfe{}", b'{"metadata":{}}'])
async def test_a_success_that_holds_no_pod_is_an_error(server: ApiServer, body: bytes) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    server.instead = answer
    with pytest.raises(ApiError, match="the answer is no pod"):
        await server.runtime().instance()


async def test_an_answer_without_end_is_cut(server: ApiServer) -> None:
    async def flood(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:
            await answer.write(b" " * 65536)
            await asyncio.sleep(0)  # over TLS, a write to a peer that is gone neither fails nor waits

    server.instead = flood
    problem = await told(server)
    assert problem.errno == errno.EMSGSIZE


# -- manners -------------------------------------------------------------------------------------------------------


async def test_a_server_that_asks_for_silence_is_not_asked_meanwhile(server: ApiServer) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return status(429, "slow down", headers={"Retry-After": "30"})

    server.instead = refuse
    assert (await told(server)).retry_after == 30
    problem = await told(server)
    assert problem.errno == errno.EBUSY
    assert "asked not to be asked for 30 s more" in problem.strerror
    assert len(server.asked) == 1
    memory(server.url).quiet_until = 0.0  # as if it were over
    server.instead = None
    assert await server.runtime().instance() is not None


async def test_no_connection_is_left_behind(server: ApiServer) -> None:
    await server.runtime().instance()
    before = descriptors()
    for _ in range(5):
        await server.runtime().instance()
    async with asyncio.timeout(5):
        while descriptors() > before:  # noqa: ASYNC110 - the server's ends close in their own time
            await asyncio.sleep(0.01)


async def test_a_cancelled_request_is_given_up(server: ApiServer) -> None:
    async with saying(server, None):
        before = descriptors()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await server.runtime().instance()
        async with asyncio.timeout(5):
            while descriptors() > before:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)


async def test_want_of_descriptors_is_the_agents_own_trouble(server: ApiServer) -> None:
    """Then nothing is said of the target or of the API server."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    runtime = server.runtime()
    await runtime.instance()  # what is imported and opened once
    resource.setrlimit(resource.RLIMIT_NOFILE, (4, hard))
    try:
        with pytest.raises(OSError, match="Too many open files") as failed:
            await runtime.instance()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert failed.value.errno == errno.EMFILE
