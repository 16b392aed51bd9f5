"""A command in a container: its output, its exit, and what is the engine's trouble and not the command's."""

import asyncio
import errno
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from agent.core.model import Check, CheckType, Outcome, Target
from agent.engine.worker import look
from agent.probes.exec import Exec
from agent.runtimes import CannotRunError, StillRunningError
from agent.runtimes.command import CAP, Finished
from agent.runtimes.kube_answers import ApiError
from agent.runtimes.kube_left import MOST_LEFT
from tests.runtimes.api_server import POD, ApiServer, Channels, executing, exits, forbidden, saying, serving, status
from tests.runtimes.support import descriptors

NOT_FOUND = 'exec: "nope": executable file not found in $PATH: unknown'
CONTAINERD = f'failed to start exec "1f": OCI runtime exec failed: exec failed: unable to start: {NOT_FOUND}'


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with serving(tmp_path) as server:
        yield server


async def ran(server: ApiServer, *command: str) -> tuple[Finished, int]:
    """How the command ended, and how often its start was told."""
    starts: list[None] = []
    finished = await server.runtime().run(command or ("true",), lambda: starts.append(None))
    return finished, len(starts)


def ending(document: Any, output: bytes = b"") -> Any:
    async def talk(channels: Channels) -> None:
        if output:
            await channels.send(1, output)
        await channels.end(document)

    return executing(talk)


async def test_words_and_container_travel_as_they_are(server: ApiServer) -> None:
    server.instead = ending(exits(0), b"fine\n")
    words = ("sh", "-c", "a b & c=d; echo 'ü' + %2B")
    assert await ran(server, *words) == (Finished(0, b"fine\n"), 1)
    [request] = server.asked
    assert request.path == f"{POD}/exec"
    assert request.query.getall("command") == list(words)
    assert (request.query["container"], request.query["stdout"], request.query["stderr"]) == ("model", "true", "true")
    assert "stdin" not in request.query
    assert "tty" not in request.query


@pytest.mark.parametrize("code", [1, 3, 126, 127, 137, 255])
async def test_the_exit_status_is_the_commands(server: ApiServer, code: int) -> None:
    server.instead = ending(exits(code), b"no gpu: no such file or directory\n")
    assert await ran(server) == (Finished(code, b"no gpu: no such file or directory\n"), 1)


async def test_both_streams_are_kept_in_the_order_they_come(server: ApiServer) -> None:
    async def talk(channels: Channels) -> None:
        await channels.send(1, b"one ")
        await channels.send(2, b"two ")
        await channels.send(1, b"three")
        await channels.send(9, b"of a later version")
        await channels.end(exits(0))

    server.instead = executing(talk)
    assert (await ran(server))[0].output == b"one two three"


async def test_ten_kilobytes_are_kept_and_the_rest_is_read_and_dropped(server: ApiServer) -> None:
    async def talk(channels: Channels) -> None:
        for _ in range(64):
            await channels.send(1, b"x" * 32768)
        await channels.end(exits(3))

    server.instead = executing(talk)
    assert (await ran(server))[0] == Finished(3, b"x" * CAP)


async def test_a_server_that_speaks_the_fifth_protocol_alone_will_do(server: ApiServer) -> None:
    async def talk(channels: Channels) -> None:
        await channels.end(exits(0))

    server.instead = executing(talk, protocols=("v5.channel.k8s.io",))
    assert await ran(server) == (Finished(0, b""), 1)
    offered = [request.headers["Sec-WebSocket-Protocol"] for request in server.asked]
    assert offered == ["v4.channel.k8s.io", "v5.channel.k8s.io"]


async def test_a_server_that_speaks_neither_is_an_error(server: ApiServer) -> None:
    async def talk(_: Channels) -> None: ...

    server.instead = executing(talk, protocols=("v9.channel.k8s.io",))
    with pytest.raises(ApiError):
        await ran(server)


async def test_the_start_is_told_when_the_node_answers_and_not_before(server: ApiServer) -> None:
    """Until then it is the API server and the node that are waited for; a silent command has begun all the same."""
    answering, hanging, started = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        await answering.wait()
        return await executing(lambda _: hanging.wait())(request)  # type: ignore[arg-type]

    server.instead = slow
    running = asyncio.create_task(server.runtime().run(("sleep", "60"), started.set))
    async with asyncio.timeout(5):
        while not server.asked:  # noqa: ASYNC110 - another task's doing
            await asyncio.sleep(0.01)
        assert not started.is_set()
        answering.set()
        await started.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        hanging.set()


async def test_cancelled_before_the_start_it_hangs_up_at_once(server: ApiServer) -> None:
    async with saying(server, None):
        before = descriptors()
        running = asyncio.create_task(ran(server))
        async with asyncio.timeout(5):
            while descriptors() < before + 2:  # noqa: ASYNC110 - both ends of the connection
                await asyncio.sleep(0.01)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            while descriptors() > before:  # noqa: ASYNC110 - the server's end closes in its own time
                await asyncio.sleep(0.01)


async def test_a_command_that_was_given_up_is_left_to_end_by_itself(server: ApiServer) -> None:
    """Three of a kind at most; then none is started until one of them ends, and a check of it has failed."""
    commands: list[asyncio.Event] = []

    async def talk(channels: Channels) -> None:
        commands.append(asyncio.Event())
        await commands[-1].wait()
        await channels.end(exits(0))

    server.instead = executing(talk)
    for _ in range(MOST_LEFT):
        assert await judged(server, 0.3) == (Outcome.FAILURE, "timeout")
    assert len(commands) == MOST_LEFT
    with pytest.raises(StillRunningError, match="give the command a bound of its own"):
        await ran(server, "check")
    assert await judged(server, 0.3) == (Outcome.FAILURE, "timeout")
    assert len(commands) == MOST_LEFT  # nothing was started
    commands[1].set()

    async with asyncio.timeout(5):
        while len(commands) == MOST_LEFT:
            await asyncio.sleep(0.01)
            await judged(server, 0.3)
    for command in commands:
        command.set()


# -- whose trouble it is -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "output"),
    [
        ({"status": "Failure", "reason": "InternalError", "code": 500, "message": f"Internal error: {CONTAINERD}"}, ""),
        (exits(126), f"OCI runtime exec failed: exec failed: container_linux.go:380: starting container {NOT_FOUND}"),
        (exits(127), f"OCI runtime exec failed: exec failed: unable to start container process: {NOT_FOUND}\r\n"),
        (exits(255), f'time="2024-05-01T10:00:00Z" level=error msg="exec failed: unable to start: {NOT_FOUND}"\n'),
        (exits(126), 'OCI runtime exec failed: exec failed: exec: "/etc": permission denied: unknown'),
        (exits(126), 'OCI runtime exec failed: exec failed: exec: "/x": stat /x: no such file or directory: unknown'),
    ],
)
async def test_a_program_that_is_missing_is_no_exit_status(server: ApiServer, document: Any, output: str) -> None:
    """containerd, Docker and CRI-O each have words of their own for it."""
    server.instead = ending(document, output.encode())
    with pytest.raises(CannotRunError, match=r"has no such program|may not run it") as told:
        await ran(server)
    assert told.value.errno in (errno.ENOENT, errno.EACCES)


@pytest.mark.parametrize(
    "document",
    [
        {"status": "Failure", "reason": "InternalError", "message": "task 5 not found: connect: connection refused"},
        {"status": "Failure", "message": 'container not found ("model")', "code": 404},
        {"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": [{"reason": "ExitCode"}]}},
        {"status": "Failure", "details": {"causes": None}},
        {"status": "Failure"},
        {"status": "?"},
        b'{"status": "Fail',
        b"\xff",
        b"error executing",
    ],
)
async def test_other_ends_are_the_engines_trouble(server: ApiServer, document: Any) -> None:
    server.instead = ending(document)
    with pytest.raises(ApiError, match=r"the command was not run|in words that no API server uses"):
        await ran(server)


async def test_a_connection_that_ends_before_the_command_is_no_verdict(server: ApiServer) -> None:
    """The container was restarted meanwhile, say."""

    async def talk(channels: Channels) -> None:
        await channels.send(1, b"half a w")

    server.instead = executing(talk)
    with pytest.raises(ApiError, match="ended before the command"):
        await ran(server)


async def test_a_message_that_is_too_large_is_refused(server: ApiServer) -> None:
    async def talk(channels: Channels) -> None:
        await channels.send(1, b"x" * (2 << 20))

    server.instead = executing(talk)
    with pytest.raises(ApiError, match="ended before the command"):
        await ran(server)


async def test_the_rule_that_exec_needs_is_named_with_both_verbs(server: ApiServer) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return forbidden("create", "pods/exec")

    server.instead = refuse
    with pytest.raises(ApiError, match=r"resources: \[pods/exec\], verbs: \[get, create\]") as told:
        await ran(server)
    assert told.value.status == 403
    assert len(server.asked) == 1  # no other protocol would help


async def test_a_container_that_does_not_run_is_told_in_the_nodes_words(server: ApiServer) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return status(400, "container model is not valid for pod model-0")

    server.instead = refuse
    with pytest.raises(ApiError, match="container model is not valid"):
        await ran(server)


async def test_a_page_in_its_place_is_told(server: ApiServer) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>log in</html>", content_type="text/html")

    server.instead = page
    with pytest.raises(ApiError, match="no websocket: a proxy may not let it through"):
        await ran(server)


async def test_a_rotated_token_is_read_again(server: ApiServer) -> None:
    async def rotated(_: web.Request) -> web.Response:
        server.token = "token-of-the-second-hour"
        server.mount()
        server.instead = ending(exits(0))
        return status(401, "Unauthorized")

    server.instead = rotated
    assert await ran(server) == (Finished(0, b""), 1)


async def test_a_server_that_asks_for_silence_is_not_asked_meanwhile(server: ApiServer) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return status(429, "slow down", headers={"Retry-After": "30"})

    server.instead = refuse
    for _ in range(3):
        with pytest.raises(ApiError) as told:
            await ran(server)
        assert told.value.status == 429
    assert len(server.asked) == 1


# -- as a check ----------------------------------------------------------------------------------------------------


async def judged(server: ApiServer, seconds: float) -> tuple[Outcome, str]:
    options = Exec(command=("check",), in_="container")
    check = Check(name="exec", type=CheckType.LIVENESS, method="exec", options=options, timeout_seconds=seconds)
    result = await look(check, Target("model", "127.0.0.1", runtime=server.runtime()))
    return result.outcome, result.reason


async def test_a_command_that_hangs_is_a_failure_and_a_server_that_hangs_an_error(server: ApiServer) -> None:
    async def talk(channels: Channels) -> None:
        await channels.socket.receive()

    server.instead = executing(talk)
    assert await judged(server, 0.5) == (Outcome.FAILURE, "timeout")

    async def hang(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    server.instead = hang
    assert await judged(server, 0.3) == (Outcome.ERROR, "runtime")


async def test_a_server_that_is_not_there_is_an_error(server: ApiServer) -> None:
    server.url = "https://127.0.0.1:1"
    assert await judged(server, 5) == (Outcome.ERROR, "runtime")
