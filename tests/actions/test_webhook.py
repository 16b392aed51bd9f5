"""The webhook is signed, follows no redirect, hangs on no receiver, and never shows a secret."""

import asyncio
import hashlib
import hmac
import json
import os
import socket
import ssl
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trustme
from aiohttp import web

from agent import __version__
from agent.actions import ActionError, Order
from agent.actions.webhook import Header, Webhook

ORDER = Order(type="action", container="model", reason="timeout", check="answers", instance="pid 7 started 5")
SECRET = "hunter2"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Receiver:
    """Keeps what it was sent, and answers with a status."""

    def __init__(self, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.status = status
        self.answer_headers = headers or {}
        self.requests: list[web.Request] = []
        self.body = b""

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.body = await request.read()
        self.requests.append(request)
        return web.Response(status=self.status, headers=self.answer_headers, text=f"echo {SECRET}")


@asynccontextmanager
async def receiving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """The receiver's address, as scheme://host:port."""
    server = web.Server(handler)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"{'https' if tls else 'http'}://{host}:{port}"
    finally:
        await runner.cleanup()


async def told(webhook: Webhook) -> str:
    """The message of its failure, which shows nothing that is secret, its traceback included."""
    with pytest.raises(ActionError) as failed:
        await webhook.act(ORDER)
    whole = "".join(traceback.format_exception(failed.value))
    assert SECRET not in whole
    assert "/hidden" not in whole
    return str(failed.value)


async def test_the_event_is_posted_as_json() -> None:
    receiver = Receiver(204)
    async with receiving(receiver) as url:
        await Webhook(url=f"{url}/hidden?token={SECRET}").act(ORDER)
    [request] = receiver.requests
    assert (request.method, request.path_qs) == ("POST", f"/hidden?token={SECRET}")
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["User-Agent"] == f"model-health-agent/{__version__}"
    assert "X-Health-Agent-Signature" not in request.headers
    assert json.loads(receiver.body) == ORDER.document()


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
async def test_the_body_is_signed_with_the_secret(tmp_path: Path, end: str) -> None:
    (tmp_path / "secret").write_text(SECRET + end, newline="")
    receiver = Receiver()
    async with receiving(receiver) as url:
        await Webhook(url=url, secret_file=str(tmp_path / "secret")).act(ORDER)
    digest = hmac.new(SECRET.encode(), receiver.body, hashlib.sha256).hexdigest()
    assert receiver.requests[0].headers["X-Health-Agent-Signature"] == f"sha256={digest}"


async def test_headers_and_secret_are_read_anew_each_time(tmp_path: Path) -> None:
    file = tmp_path / "token"
    webhook = Webhook(
        url="", secret_file=str(file), http_headers=(Header(name="Authorization", value_file=str(file)),)
    )  # fmt: skip
    receiver = Receiver()
    async with receiving(receiver) as url:
        for token in ("one", "two"):
            file.write_text(f"{token}\n")
            await msgspec.structs.replace(webhook, url=url).act(ORDER)
    assert [r.headers["Authorization"] for r in receiver.requests] == ["one", "two"]
    assert len({r.headers["X-Health-Agent-Signature"] for r in receiver.requests}) == 2


async def test_method_and_headers_are_the_users() -> None:
    receiver = Receiver()
    headers = (
        Header(name="user-agent", value="mine"),
        Header(name="X-Two", value="a"),
        Header(name="X-Two", value="b"),
    )
    async with receiving(receiver) as url:
        await Webhook(url=url, method="PUT", http_headers=headers).act(ORDER)
    [request] = receiver.requests
    assert request.method == "PUT"
    assert request.headers.getall("User-Agent") == ["mine"]
    assert request.headers.getall("X-Two") == ["a", "b"]


async def test_the_url_goes_out_as_it_is_written() -> None:
    receiver = Receiver()
    async with receiving(receiver) as url:
        await Webhook(url=f"{url}/a%2Fb?x=%3D%20+&y").act(ORDER)
    assert receiver.requests[0].raw_path == "/a%2Fb?x=%3D%20+&y"


@pytest.mark.parametrize("status", [400, 404, 500, 503])
async def test_a_bad_status_fails_and_tells_where(status: int) -> None:
    async with receiving(Receiver(status)) as url:
        assert await told(Webhook(url=f"{url}/hidden?token={SECRET}")) == f"{url} answered {status}"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    elsewhere = Receiver()
    async with receiving(elsewhere) as other, receiving(Receiver(status, {"Location": f"{other}/{SECRET}"})) as url:
        assert "redirect, which is not followed" in await told(Webhook(url=f"{url}/hidden"))
    assert elsewhere.requests == []


async def test_a_receiver_that_is_down_is_told_without_the_url() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    message = await told(Webhook(url=f"http://user:{SECRET}@127.0.0.1:{port}/hidden?token={SECRET}"))
    assert message.startswith(f"http://127.0.0.1:{port}: ")
    assert "refused" in message.lower() or "Connect call failed" in message


async def test_a_receiver_that_hangs_up_is_told() -> None:
    async def hang_up(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with receiving(hang_up) as url:
        assert (await told(Webhook(url=f"{url}/hidden"))).startswith(f"{url}: ")


async def test_a_receiver_that_never_answers_is_left_at_the_deadline() -> None:
    hold = asyncio.Event()

    async def never(request: web.Request) -> web.StreamResponse:
        await hold.wait()
        return web.Response()

    async with receiving(never) as url:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await Webhook(url=url).act(ORDER)
        hold.set()


async def test_an_endless_answer_is_not_read() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        try:
            while True:
                await answer.write(b"x" * 65536)
        except ConnectionError:
            return answer

    async with asyncio.timeout(5), receiving(endless) as url:
        await Webhook(url=url).act(ORDER)


async def test_a_certificate_that_nobody_vouches_for_is_refused() -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    receiver = Receiver()
    async with receiving(receiver, context) as url:
        assert "CERTIFICATE_VERIFY_FAILED" in await told(Webhook(url=f"{url}/hidden"))
    assert receiver.requests == []


async def test_a_header_that_would_smuggle_another_is_refused_unseen() -> None:
    header = Header(name="Authorization", value=f"{SECRET}\r\nX-Other: 1")
    receiver = Receiver()
    async with receiving(receiver) as url:
        assert await told(Webhook(url=f"{url}/hidden", http_headers=(header,))) == f"{url}: ValueError"
    assert receiver.requests == []


@pytest.mark.parametrize("text", [None, "", "\n"])
async def test_a_secret_that_is_missing_or_empty_fails_before_anything_is_sent(
    text: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    if text is not None:
        file.write_text(text)
    receiver = Receiver()
    async with receiving(receiver) as url:
        assert str(file) in await told(Webhook(url=url, secret_file=str(file)))
    assert receiver.requests == []


@pytest.mark.parametrize(
    "url", ["", "model:8000", "ftp://a/", "http://", "http:///hidden", "http://a b/", "http://a:99999/", "http://ü/"]
)
def test_a_url_that_is_none_is_told_without_quoting_it(url: str) -> None:
    [(path, message)] = Webhook(url=url).check_options()
    assert path == "url"
    assert message == "must be http://HOST... or https://HOST..., percent-encoded"


@pytest.mark.parametrize("url", ["http://a", "https://user:pw@[::1]:8443/x?y=z%20"])
def test_a_url_may_have_every_part(url: str) -> None:
    assert Webhook(url=url).check_options() == []


def test_headers_and_method_are_checked() -> None:
    headers = (
        Header(name="a b", value="x"),
        Header(name="both", value="x", value_file="y"),
        Header(name="none"),
        Header(name="good", value=""),
        Header(name="lines", value="a\nb"),
    )
    assert [path for path, _ in Webhook(url="http://a", method="GE T", http_headers=headers).check_options()] == [
        "method",
        "http_headers[0].name",
        "http_headers[1]",
        "http_headers[2]",
        "http_headers[4].value",
    ]


async def test_a_file_that_hangs_holds_nobody_up_but_this_webhook(tmp_path: Path) -> None:
    """A FIFO without a writer, as a file on a dead mount: it is left to a thread that nobody waits for at the end."""
    fifo = tmp_path / "secret"
    os.mkfifo(fifo)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await Webhook(url="http://127.0.0.1:9/", secret_file=str(fifo)).act(ORDER)
    program = (
        "import asyncio; from agent.actions import Order; from agent.actions.webhook import Webhook\n"
        f"hook = Webhook(url='http://127.0.0.1:9/', secret_file={str(fifo)!r})\n"
        "async def main():\n"
        "    await asyncio.wait([asyncio.ensure_future(hook.act(Order(type='action', container='m')))], timeout=0.2)\n"
        "asyncio.run(main())"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    assert await asyncio.wait_for(process.wait(), 20) == 0
    os.close(os.open(fifo, os.O_RDWR | os.O_NONBLOCK))  # this process's own thread goes on
