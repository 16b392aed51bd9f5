"""The http_get check against the kubelet's own acceptance cases (probe-semantics 4.3) and this project's additions."""

import asyncio
import os
import ssl
from pathlib import Path
from typing import Any

import pytest

from agent.core.model import Outcome, Result, Target, failure
from agent.probes.http import HttpGet
from agent.probes.parts.expect import Expect
from agent.probes.parts.request import Header

from .support import Peer, Request, answering, attempt, behaving, closed_port, says


def get(path: str = "/", *headers: tuple[str, str], **options: Any) -> HttpGet:
    return HttpGet(path=path, http_headers=tuple(Header(name=name, value=value) for name, value in headers), **options)


async def seen(check: HttpGet) -> Request:
    """The request that a check sends."""
    async with answering(says()) as server:
        assert (await attempt(check, server.target())).outcome is Outcome.SUCCESS
        return server.requests[0]


async def result_of(answer: bytes, check: HttpGet | None = None) -> Result:
    async with answering(answer) as server:
        return await attempt(check or get(), server.target())


async def test_h1_a_200_is_a_success_that_tells_no_body() -> None:
    result = await result_of(says(200, b"ok body"))
    assert (result.outcome, result.reason) == (Outcome.SUCCESS, "ok")
    assert "ok body" not in result.detail


async def test_h2_a_bare_probe_carries_exactly_accept_connection_and_user_agent() -> None:
    request = await seen(get())
    assert sorted(name for name, _ in request.headers if name != "Host") == ["Accept", "Connection", "User-Agent"]
    assert request.header("Connection") == "close"
    assert (request.method, request.target, request.version) == ("GET", "/", "HTTP/1.1")


@pytest.mark.parametrize("value", ["gzip", "foo", ""])
async def test_h3_accept_encoding_is_forwarded_as_it_is(value: str) -> None:
    assert (await seen(get("/", ("Accept-Encoding", value)))).header("Accept-Encoding") == value


@pytest.mark.parametrize(("given", "sent"), [("foo/1.0", "foo/1.0"), ("", None), (None, "kube-probe/1.36")])
async def test_h4_user_agent_is_forwarded_left_out_when_empty_and_else_the_kubelets(
    given: str | None, sent: str | None
) -> None:
    headers = [("X-Muffins", "x")] + ([] if given is None else [("User-Agent", given)])
    request = await seen(get("/", *headers))
    assert (request.header("User-Agent"), request.header("X-Muffins")) == (sent, "x")


@pytest.mark.parametrize(("given", "sent"), [("text/html", "text/html"), ("foo/*", "foo/*"), ("", None), (None, "*/*")])
async def test_h5_accept_is_forwarded_left_out_when_empty_and_else_anything(
    given: str | None, sent: str | None
) -> None:
    assert (await seen(get("/", *([] if given is None else [("Accept", given)])))).header("Accept") == sent


async def test_h6_a_host_header_is_the_host_asked_for() -> None:
    request = await seen(get("/", ("host", "muffins.cupcakes.org")))
    assert [value for name, value in request.headers if name == "Host"] == ["muffins.cupcakes.org"]


async def test_p4_header_names_are_canonical_and_repeated_ones_keep_their_order() -> None:
    request = await seen(get("/", ("FOO-bAR", "1"), ("x", "y"), ("foo-bar", "2")))
    assert [value for name, value in request.headers if name == "Foo-Bar"] == ["1", "2"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(b"HTTP/1.1 -1 X\r\n\r\n", "protocol"), (says(500), "status"), (says(199, b""), "reset"), (says(404), "status")],
)
async def test_h7_a_broken_answer_and_a_bad_status_are_failures(answer: bytes, reason: str) -> None:
    result = await result_of(answer)
    assert (result.outcome, result.reason) == (Outcome.FAILURE, reason)


async def test_h7_a_bad_status_is_told_without_the_body() -> None:
    assert await result_of(says(503, b"secret")) == failure("status", "HTTP probe failed with statuscode: 503")


async def test_h7_a_server_that_does_not_answer_is_left_at_the_deadline_without_having_reached_a_body() -> None:
    async def behaviour(peer: Peer) -> None:
        await peer.request()
        await peer.reader.read()

    async with behaving(behaviour) as server:
        target = server.target()
        with pytest.raises(TimeoutError):
            await attempt(get(), target, 0.05)
        assert not target.reached_body


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(("final", "outcome"), [(200, Outcome.SUCCESS), (500, Outcome.FAILURE)])
async def test_h8_h9_redirects_are_followed_and_the_final_status_counts(
    status: int, final: int, outcome: Outcome
) -> None:
    async with answering(lambda r: says(final) if r.target == "/new" else says(status, Location="/new")) as server:
        assert (await attempt(get(), server.target())).outcome is outcome
        assert [request.target for request in server.requests] == ["/", "/new"]


@pytest.mark.parametrize("body", [b"", b"ok body"])
async def test_h10_a_redirect_without_location_ends_the_chain_with_a_warning(body: bytes) -> None:
    answers = {"/": says(308, Location="/new"), "/new": says(308, body)}
    async with answering(lambda r: answers[r.target]) as server:
        result = await attempt(get(), server.target())
    assert (result.outcome, result.reason) == (Outcome.WARNING, "redirect")
    assert result.detail == f"Probe terminated redirects, Response body: {body.decode()}"


async def test_h11_a_proxy_in_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    assert (await seen(get())).target == "/"


@pytest.mark.parametrize(("page", "outcome"), [("success", Outcome.SUCCESS), ("fail", Outcome.FAILURE)])
async def test_h12_h13_another_port_of_the_same_host_is_followed(page: str, outcome: Outcome) -> None:
    async with answering(lambda r: says(200 if r.target == "/success" else 500)) as second:
        location = f"http://127.0.0.1:{second.port}/{page}"
        async with answering(says(302, Location=location)) as first:
            assert (await attempt(get(), first.target())).outcome is outcome
        assert second.requests[0].header("Host") == f"127.0.0.1:{second.port}"


@pytest.mark.parametrize(
    "location", ["http://0.0.0.0/fail", "//localhost/fail", "http://127.0.0.1.example.com/", "ftp://elsewhere/", "a:b"]
)
async def test_h14_another_host_is_never_asked_and_gives_a_warning(location: str) -> None:
    async with answering(says(302, Location=location)) as server:
        result = await attempt(get(), server.target())
        assert (result.outcome, result.reason, server.connections) == (Outcome.WARNING, "redirect", 1)


async def test_h15_a_redirect_loop_is_a_failure_after_ten_requests() -> None:
    async with answering(says(302, Location="/")) as server:
        assert await attempt(get(), server.target()) == failure("redirect", "stopped after 10 redirects")
        assert len(server.requests) == 10


@pytest.mark.parametrize(("host", "outcome"), [("www.success.com", Outcome.SUCCESS), ("www.fail.com", Outcome.FAILURE)])
async def test_h16_a_custom_host_survives_relative_redirects(host: str, outcome: Outcome) -> None:
    def answer(request: Request) -> bytes:
        if request.target == "/redirect":
            return says(302, Location="/page")
        return says(200 if request.header("Host") == "www.success.com" else 400)

    async with answering(answer) as server:
        assert (await attempt(get("/redirect", ("Host", host)), server.target())).outcome is outcome


async def test_a_custom_host_does_not_survive_an_absolute_redirect() -> None:
    async with answering(
        lambda r: says(200) if r.target == "/b" else says(302, Location=f"http://127.0.0.1:{server.port}/b")
    ) as server:
        await attempt(get("/", ("Host", "www.example.com")), server.target())
        assert server.requests[1].header("Host") == f"127.0.0.1:{server.port}"


@pytest.mark.parametrize("size", [10241, 10240, 10239])
async def test_h17_a_long_body_is_a_success(size: int) -> None:
    assert (await result_of(says(200, b"x" * size))).outcome is Outcome.SUCCESS


async def test_h18_a_body_that_stalls_is_told_apart_from_headers_that_do() -> None:
    async def behaviour(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nxx")
        await peer.reader.read()

    async with behaving(behaviour) as server:
        target = server.target()
        with pytest.raises(TimeoutError):
            await attempt(get(), target, 0.1)
        assert target.reached_body


@pytest.mark.parametrize("status", [200, 500])
async def test_h18_a_body_that_breaks_off_is_an_error_whatever_the_status(status: int) -> None:
    result = await result_of(f"HTTP/1.1 {status} X\r\nContent-Length: 10\r\n\r\nxx".encode())
    assert (result.outcome, result.reason) == (Outcome.ERROR, "body")


async def test_h19_an_endless_body_is_a_success() -> None:
    async def behaviour(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await peer.send(b"x" * 65536)

    async with behaving(behaviour) as server:
        assert (await attempt(get(), server.target())).outcome is Outcome.SUCCESS


@pytest.mark.parametrize(("redirects", "outcome"), [(9, Outcome.SUCCESS), (10, Outcome.FAILURE)])
async def test_h20_ten_requests_are_made_and_no_more(redirects: int, outcome: Outcome) -> None:
    def answer(request: Request) -> bytes:
        step = int(request.target[1:])
        return says(200) if step == redirects else says(302, Location=f"/{step + 1}")

    async with answering(answer) as server:
        assert (await attempt(get("/0"), server.target())).outcome is outcome
        assert len(server.requests) == 10


async def test_h21_https_with_an_unknown_certificate_is_a_success(served: ssl.SSLContext) -> None:
    async with answering(says(), tls=served) as server:
        assert (await attempt(get(scheme="https"), server.target())).outcome is Outcome.SUCCESS


async def test_h21_a_redirect_from_http_to_https_of_the_same_host_is_followed(served: ssl.SSLContext) -> None:
    async with answering(says(), tls=served) as secure:
        async with answering(says(302, Location=f"https://127.0.0.1:{secure.port}/")) as plain:
            assert (await attempt(get(), plain.target())).outcome is Outcome.SUCCESS
        assert len(secure.requests) == 1


@pytest.mark.parametrize("location", ["http://127.0.0.1:99999/", "http://127.0.0.1:x/", "/%zz", "gopher://127.0.0.1/"])
async def test_an_address_that_cannot_be_followed_is_a_failure(location: str) -> None:
    result = await result_of(says(302, Location=location))
    assert (result.outcome, result.reason) == (Outcome.FAILURE, "redirect")


@pytest.mark.parametrize("status", [300, 304, 302, 399])
async def test_strict_redirects_make_any_final_3xx_a_failure(status: int) -> None:
    result = await result_of(says(status, b""), get(strict_redirects=True))
    assert (result.outcome, result.reason) == (Outcome.FAILURE, "redirect")


async def test_a_post_is_repeated_by_307_and_becomes_a_get_by_302() -> None:
    check = get("/0", ("Content-Type", "text/plain"), method="POST", body="hello")
    answers = {"/0": says(307, Location="/1"), "/1": says(302, Location="/2"), "/2": says()}
    async with answering(lambda r: answers[r.target]) as server:
        assert (await attempt(check, server.target())).outcome is Outcome.SUCCESS
        requests = [(r.method, r.body, r.header("Content-Type"), r.header("Content-Length")) for r in server.requests]
    assert requests == [("POST", b"hello", "text/plain", "5")] * 2 + [("GET", b"", None, None)]


async def test_a_head_request_waits_for_no_body() -> None:
    assert (await result_of(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", get(method="HEAD"))).outcome == "success"


async def test_a_refused_connection_is_a_failure() -> None:
    result = await attempt(get(), Target("model", "127.0.0.1", closed_port()))
    assert (result.outcome, result.reason) == (Outcome.FAILURE, "refused")


async def test_a_host_that_cannot_be_a_name_is_a_dns_failure() -> None:
    result = await attempt(get(host="x" * 64 + ".example", port=80), Target("model", "127.0.0.1"))
    assert (result.outcome, result.reason) == (Outcome.FAILURE, "dns")


async def test_a_missing_port_is_the_agents_own_trouble() -> None:
    with pytest.raises(LookupError):
        await attempt(get(), Target("model", "127.0.0.1"))


async def test_an_ipv6_literal_is_asked_with_brackets_in_its_host_header() -> None:
    async with answering(says(), host="::1") as server:
        assert (await attempt(get(host="::1"), server.target())).outcome is Outcome.SUCCESS
        assert server.requests[0].header("Host") == f"[::1]:{server.port}"


async def test_a_name_is_looked_up_and_asked_by_its_name() -> None:
    async with answering(says()) as server:
        assert (await attempt(get(host="localhost"), server.target())).outcome is Outcome.SUCCESS
        assert server.requests[0].header("Host") == f"localhost:{server.port}"


async def test_one_check_may_look_at_changing_targets() -> None:
    check = get()
    for _ in range(2):
        async with answering(says()) as server:
            assert (await attempt(check, server.target())).outcome is Outcome.SUCCESS


async def test_a_header_from_a_file_is_read_afresh_at_each_probe(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    check = HttpGet(http_headers=(Header(name="authorization", value_file=str(secret)),))
    async with answering(says()) as server:
        for token in ("one", "two"):
            secret.write_text(f"Bearer {token}\n")
            assert (await attempt(check, server.target())).outcome is Outcome.SUCCESS
    assert [request.header("Authorization") for request in server.requests] == ["Bearer one", "Bearer two"]


async def test_many_checks_of_one_name_and_one_secret_do_not_get_into_each_others_way(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("Bearer x")
    checks = [HttpGet(host="localhost", http_headers=(Header(name="A", value_file=str(secret)),)) for _ in range(50)]
    async with answering(says()) as server:
        results = await asyncio.gather(*(attempt(check, server.target()) for check in checks))
    assert {result.outcome for result in results} == {Outcome.SUCCESS}


@pytest.mark.parametrize("content", [None, b"a\r\nX: y", b"\xff", b"x" * 20000])
async def test_an_unusable_header_file_is_an_internal_error_that_names_it(
    tmp_path: Path, content: bytes | None
) -> None:
    secret = tmp_path / "token"
    if content is not None:
        secret.write_bytes(content)
    check = HttpGet(http_headers=(Header(name="Authorization", value_file=str(secret)),))
    async with answering(says()) as server:
        result = await attempt(check, server.target())
        assert (result.outcome, result.reason, server.connections) == (Outcome.ERROR, "internal", 0)
    assert str(secret) in result.detail


async def test_a_header_file_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "token")
    check = HttpGet(http_headers=(Header(name="A", value_file=str(tmp_path / "token")),))
    result = await attempt(check, Target("model", "127.0.0.1", 1))
    assert (result.reason, result.detail.endswith("not a regular file")) == ("internal", True)


@pytest.mark.parametrize(
    ("expect", "answer", "reason"),
    [
        (Expect(status=(503,)), says(503), "ok"),
        (Expect(status=("200-299",)), says(302), "expectation"),
        (Expect(status=(302,)), says(302), "ok"),
        (Expect(body_contains="READY"), says(200, b"is READY now"), "ok"),
        (Expect(body_contains="READY"), says(200, b"LOADING"), "expectation"),
        (Expect(body_contains="READY"), says(500, b"READY"), "status"),
        (Expect(body_contains="READY"), says(302, b"READY"), "redirect"),
        (Expect(json={"$.ok": True}), says(200, b'{"ok": 1}'), "expectation"),
    ],
)
async def test_an_answer_must_hold_what_is_expected_of_it(expect: Expect, answer: bytes, reason: str) -> None:
    assert (await result_of(answer, get(expect=expect))).reason == reason


async def test_a_hundred_probes_side_by_side_all_get_their_own_answer() -> None:
    async with answering(lambda r: says(200 if int(r.target[1:]) % 2 else 500)) as server:
        results = await asyncio.gather(*(attempt(get(f"/{n}"), server.target()) for n in range(100)))
    assert [result.reason for result in results] == ["status", "ok"] * 50


def test_options_that_could_smuggle_something_into_a_request_are_told() -> None:
    check = HttpGet(
        path="/a\r\nX: y",
        host="http://model",
        http_headers=(Header(name="a b", value="x\ny"), Header(name="a"), Header(name="a", value="", value_file="f")),
        expect=Expect(status=("200-100",)),
    )
    assert [path for path, _ in check.check_options()] == [
        "path", "host", "http_headers[0].name", "http_headers[0].value", "http_headers[1].value",
        "http_headers[2].value", "expect.status[0]",
    ]  # fmt: skip
    assert get("/health?x=1", ("X-A", "b")).check_options() == []
