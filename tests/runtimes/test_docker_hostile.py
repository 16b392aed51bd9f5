"""A Docker Engine that is missing, hangs, lies or breaks off: an OSError in time, whose words say what to do."""

import asyncio
import errno
import os
import socket
import ssl
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from agent.core.model import Outcome, Target
from agent.probes.engine_health import EngineHealth
from agent.runtimes import AbsentError
from agent.runtimes.docker import Docker
from agent.runtimes.engine_api import trouble
from agent.runtimes.engine_api.conversation import CALL_SECONDS
from tests.runtimes.fake_engine import Answer, breaking_off, dripping, drop, error, fake_engine, hang, http, ok

RUNS = {"Status": "running", "Running": True, "StartedAt": "2026-01-02T03:04:05.678901234Z"}
MODEL = {"Id": "a" * 64, "Name": "/model", "State": RUNS}
INSPECT = "/containers/model/json"
BROKEN = "can't be understood"


async def trouble_of(host: str, **options: Any) -> OSError:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - each has words of its own
        await Docker(container="model", host=host, **options).instance()
    return caught.value


async def test_what_an_engine_says_of_a_running_container_is_an_instance(tmp_path: Path) -> None:
    async with fake_engine(tmp_path) as engine:
        engine.answers[INSPECT] = ok(MODEL)
        found = await Docker(container="model", host=engine.host).instance()
    assert found is not None
    assert found.identity == "container aaaaaaaaaaaa started 2026-01-02T03:04:05.678901234Z"


@pytest.mark.parametrize(
    ("path", "answer", "words"),
    [
        ("/version", drop, "closed the connection without an answer"),
        ("/version", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", BROKEN),
        ("/version", http("200 OK", b"<html>a proxy's page</html>", "text/html"), BROKEN),
        ("/version", ok({}), BROKEN),
        ("/version", ok(["1.41"]), BROKEN),
        ("/version", http("200 OK", b"{", length=1), BROKEN),
        ("/version", error(500, "broken"), "the engine answered 500: broken"),
        (INSPECT, drop, "closed the connection without an answer"),
        (INSPECT, ok([]), BROKEN),
        (INSPECT, ok({}), BROKEN),
        (INSPECT, ok({**MODEL, "State": None}), BROKEN),
        (INSPECT, ok({**MODEL, "State": {"Running": "yes"}}), BROKEN),
        (INSPECT, http("200 OK", b'{"Id": "aaa'), BROKEN),
        (INSPECT, http("200 OK", b"\xff\xfe"), BROKEN),
        (INSPECT, http("200 OK", b"[" * 100_000), BROKEN),
        (INSPECT, breaking_off(http("200 OK", b'{"Id": "aaa', length=4000)), BROKEN),
        (INSPECT, http("500 Oh", b"not JSON at all", "text/plain"), "the engine answered 500: not JSON at all"),
        (INSPECT, http("500 Oh", b"{}"), BROKEN),
        (INSPECT, http("500 Oh", b"{"), BROKEN),
        (INSPECT, error(409, "is being\r\n  removed"), "the engine answered 409: is being removed"),
        (INSPECT, error(403, "Forbidden"), "a socket proxy has to allow it"),
        (INSPECT, error(400, "client version 1.41 is too old. Minimum supported API version is 1.44"), "too old"),
        (INSPECT, error(500, "x" * 5000), "xxx$"),
        (INSPECT, error(503, ""), "no reason is given"),
    ],
)
async def test_whatever_it_answers_is_told_in_words(
    path: str, answer: bytes | Answer, words: str, tmp_path: Path
) -> None:
    async with fake_engine(tmp_path) as engine:
        engine.answers |= {INSPECT: ok(MODEL), path: answer}
        problem = await trouble_of(engine.host)
    assert problem.strerror
    assert len(problem.strerror) < 700
    with pytest.raises(OSError, match=words):
        raise problem


@pytest.mark.parametrize(
    ("names", "hint"),
    [
        (["/web/link", "/models"], "did you mean models?"),
        (["/web"], "docker ps --all tells who is there"),
        (None, "docker ps --all tells who is there"),
    ],
)
async def test_a_container_that_is_not_there_is_told_with_the_one_that_was_meant(
    names: list[str] | None, hint: str, tmp_path: Path
) -> None:
    async with fake_engine(tmp_path) as engine:
        engine.answers["/containers/json"] = ok([{"Id": "b" * 64, "Names": names, "State": "running"}])
        problem = await trouble_of(engine.host)
    assert isinstance(problem, AbsentError)
    assert problem.strerror == f"no container is called model: {hint}"


async def test_an_engine_that_hangs_is_given_up_in_time(tmp_path: Path) -> None:
    """At once, in the middle, or by a byte now and then: all four at the same time, since each takes the deadline."""

    async def judged(name: str, answers: dict[str, Any]) -> None:
        (tmp_path / name).mkdir()
        async with fake_engine(tmp_path / name) as engine:
            engine.answers |= {INSPECT: ok(MODEL), **answers}
            began = time.monotonic()
            problem = await trouble_of(engine.host)
            assert CALL_SECONDS - 0.1 <= time.monotonic() - began < CALL_SECONDS + 0.9
            assert isinstance(problem, TimeoutError)
            assert "did not answer within 4 s" in problem.strerror

    await asyncio.gather(
        judged("silent", {"/version": hang}),
        judged("mute", {INSPECT: hang}),
        judged("slow", {INSPECT: dripping(ok({**MODEL, "Name": "/" + "m" * 500}))}),
        judged("half", {INSPECT: half_answer}),
    )


async def half_answer(request: str, writer: asyncio.StreamWriter) -> None:
    writer.write(ok(MODEL)[:-20])
    await hang(request, writer)


async def test_an_engine_that_takes_no_more_connections_is_no_want_of_the_agents(tmp_path: Path) -> None:
    """A stopped engine's queue of connections fills up; the kernel says EAGAIN, which otherwise is the agent's own."""
    path = str(tmp_path / "full.sock")
    with socket.socket(socket.AF_UNIX) as listener, ExitStack() as clients:
        listener.bind(path)
        listener.listen(0)
        with suppress(BlockingIOError):
            while True:
                client = clients.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                client.connect(path)
        problem = await trouble_of(f"unix://{path}")
    assert problem.errno == errno.ETIMEDOUT
    assert "takes no more connections" in problem.strerror


# -- the socket --------------------------------------------------------------------------------------------------------


async def test_a_socket_that_is_not_there_is_to_be_mounted(tmp_path: Path) -> None:
    problem = await trouble_of(f"unix://{tmp_path}/docker.sock")
    assert f"docker run -v {tmp_path}/docker.sock" in problem.strerror
    assert "runtime.docker.host" in problem.strerror


async def test_a_folder_that_docker_made_of_the_mount_is_named(tmp_path: Path) -> None:
    (tmp_path / "docker.sock").mkdir()
    assert "is a folder: the host has no socket there" in (await trouble_of(f"unix://{tmp_path}/docker.sock")).strerror


async def test_a_file_is_no_socket(tmp_path: Path) -> None:
    (tmp_path / "docker.sock").touch()
    assert "is no socket" in (await trouble_of(f"unix://{tmp_path}/docker.sock")).strerror


async def test_a_socket_that_nobody_listens_on_may_be_an_old_one(tmp_path: Path) -> None:
    """An engine that is restarted makes another socket, and a mount of the file goes on showing the old one."""
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(tmp_path / "docker.sock"))
    assert "mount the folder of the socket" in (await trouble_of(f"unix://{tmp_path}/docker.sock")).strerror


@pytest.mark.parametrize(
    ("gid", "mode", "words"),
    [
        (4242, 0o660, 'docker run --group-add 4242, or group_add: ["4242"] in Compose'),
        (65534, 0o660, "--userns=host"),
        (os.getegid(), 0o660, "SELinux or AppArmor"),
    ],
)
def test_the_rights_of_a_socket_name_their_remedy(gid: int, mode: int, words: str) -> None:
    found = os.stat_result((0o140000 | mode, 0, 0, 1, 0, gid, 0, 0, 0, 0))
    told = trouble._about_rights("/var/run/docker.sock", found)
    assert f"gid {gid}, mode {mode:o}" in told
    assert words in told


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_the_agents_own_want_stays_its_own(number: int) -> None:
    """It makes a round doubtful, where an engine's trouble makes an error."""
    assert trouble.unreachable("unix:///var/run/docker.sock", OSError(number, "too many")).errno == number


# -- over TCP ----------------------------------------------------------------------------------------------------------


async def test_nobody_at_the_address_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert f"tcp://127.0.0.1:{port} can't be reached" in (await trouble_of(f"tcp://127.0.0.1:{port}")).strerror


async def test_a_name_that_is_none_is_told() -> None:
    assert "can't be reached" in (await trouble_of("tcp://engine.invalid:2375")).strerror


@pytest.fixture
def certificates(tmp_path: Path) -> trustme.CA:
    """ca.pem, cert.pem and key.pem in ``tmp_path``, as DOCKER_CERT_PATH has them."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    mine = authority.issue_cert("client@example.com")
    mine.private_key_pem.write_to_path(tmp_path / "key.pem")
    mine.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    return authority


@pytest.mark.parametrize("known", [True, False])
async def test_tls_is_mutual_and_verified(known: bool, certificates: trustme.CA, tmp_path: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.verify_mode = ssl.CERT_REQUIRED
    certificates.configure_trust(context)
    (certificates if known else trustme.CA()).issue_cert("localhost").configure_cert(context)
    async with fake_engine(tmp_path) as engine:
        engine.answers[INSPECT] = ok(MODEL)
        server = await asyncio.start_server(engine.serve, "localhost", 0, ssl=context)
        async with server:
            host = f"tcp://localhost:{server.sockets[0].getsockname()[1]}"
            if known:
                assert await Docker(container="model", host=host, cert_path=str(tmp_path)).instance() is not None
            else:
                problem = await trouble_of(host, cert_path=str(tmp_path))
                assert "certificate" in problem.strerror.lower()


async def test_certificates_that_are_not_there_are_told(tmp_path: Path) -> None:
    problem = await trouble_of("tcp://127.0.0.1:1", cert_path=str(tmp_path))
    assert f"cert_path {tmp_path}: ca.pem, cert.pem or key.pem can't be used" in problem.strerror


# -- whose trouble it is -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "outcome", "reason"),
    [
        (ok({**MODEL, "State": {**RUNS, "Health": {"Status": "healthy"}}}), Outcome.SUCCESS, "ok"),
        (error(500, "broken"), Outcome.ERROR, "runtime"),
        (drop, Outcome.ERROR, "runtime"),
        (error(404, "no such container"), Outcome.FAILURE, "gone"),
    ],
)
async def test_an_engine_in_trouble_is_an_error_and_a_container_that_is_gone_a_failure(
    answer: bytes | Answer, outcome: Outcome, reason: str, tmp_path: Path
) -> None:
    async with fake_engine(tmp_path) as engine:
        engine.answers |= {INSPECT: answer, "/containers/json": ok([])}
        target = Target("model", "127.0.0.1", runtime=Docker(container="model", host=engine.host))
        result = await EngineHealth().probe(target)
    assert (result.outcome, result.reason) == (outcome, reason)
    assert target.in_runtime  # so its deadline is an error as well


async def test_a_missing_socket_is_the_engines_trouble_and_no_missing_container(tmp_path: Path) -> None:
    """Both are ENOENT to the operating system."""
    target = Target("model", "127.0.0.1", runtime=Docker(container="model", host=f"unix://{tmp_path}/no.sock"))
    assert (await EngineHealth().probe(target)).outcome is Outcome.ERROR


def test_without_the_extra_the_configuration_says_what_to_install(tmp_path: Path) -> None:
    """And nothing else of the agent needs it."""
    document = tmp_path / "config.yaml"
    document.write_text("containers: [{name: m, port: 1, runtime: {docker: {container: m}}}]")
    body = "import sys; sys.modules['aiodocker'] = None; from agent.__main__ import main; sys.exit(main())"
    for words, status in ((["validate", str(document)], 2), (["schema"], 0)):
        done = subprocess.run(
            [sys.executable, "-c", body, *words], capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == status, done
    assert (
        "model-health-agent[docker]"
        in subprocess.run(
            [sys.executable, "-c", body, "validate", str(document)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        ).stderr
    )
