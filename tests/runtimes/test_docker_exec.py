"""Commands in a container of a real engine: their exit, their output, their deadline, and what they leave behind."""

import asyncio
import errno
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.core.model import Check, CheckType, Outcome, Target
from agent.engine.worker import look
from agent.probes.exec import Exec
from agent.runtimes import CannotRunError, StillRunningError
from agent.runtimes.command import CAP, Finished
from agent.runtimes.docker import Docker
from agent.runtimes.engine_api.leftovers import MOST_LEFT
from tests.acceptance.engine import docker
from tests.containers import Containers
from tests.runtimes.fake_engine import Answer, Engine, error, fake_engine, hang, ok
from tests.runtimes.support import descriptors, until

pytestmark = pytest.mark.docker


@pytest.fixture
def server(containers: Containers) -> Docker:
    """A container that runs."""
    return Docker(container=containers.run())


async def run(server: Docker, *argv: str) -> tuple[Finished, bool]:
    """How it ended, and whether it was told to have begun."""
    begun: list[bool] = []
    finished = await server.run(argv, lambda: begun.append(True))
    assert len(begun) <= 1
    return finished, bool(begun)


def commands(server: Docker) -> str:
    assert server.container is not None
    return docker("top", server.container, "-eo", "pid,args")


async def test_exit_status_and_both_streams_come_back(server: Docker) -> None:
    finished, begun = await run(server, "sh", "-c", "echo out; echo wrong >&2; exit 3")
    assert finished.returncode == 3
    assert sorted(finished.output.splitlines()) == [b"out", b"wrong"]
    assert begun


async def test_no_shell_sees_the_words(server: Docker) -> None:
    assert (await run(server, "echo", "$HOME", "a b", ";"))[0] == Finished(0, b"$HOME a b ;\n")


async def test_what_comes_over_ten_kilobytes_is_read_and_dropped(server: Docker) -> None:
    finished, _ = await run(server, "sh", "-c", "yes | head -c 3000000; exit 4")
    assert finished.returncode == 4
    assert finished.output == b"y\n" * (CAP // 2)


@pytest.mark.parametrize("program", ["nothing-of-this-name", "/etc/passwd", "/etc", "/etc/passwd/x"])
async def test_a_program_that_cannot_be_run_is_no_failure_of_the_server(server: Docker, program: str) -> None:
    with pytest.raises(CannotRunError, match="OCI runtime exec failed"):
        await run(server, program)
    assert (await judged(server, 5, program))[:2] == (Outcome.ERROR, "spawn")


@pytest.mark.parametrize(("script", "status"), [("exit 126", 126), ("exit 127", 127), ("kill -9 $$", 137)])
async def test_a_program_that_ends_like_one_that_cannot_be_run_is_a_failure(
    server: Docker, script: str, status: int
) -> None:
    assert (await run(server, "sh", "-c", f"echo OCI runtime exec failed; {script}"))[0].returncode == status


async def test_what_a_command_leaves_running_is_not_waited_for(server: Docker) -> None:
    """The engine itself waits two seconds for it to let go of its output."""
    began = time.monotonic()
    await run(server, "echo")
    longest = time.monotonic() - began + 1.5
    began = time.monotonic()
    finished, _ = await run(server, "sh", "-c", "sleep 60 & echo done")
    assert time.monotonic() - began < longest
    assert finished == Finished(0, b"done\n")


async def test_a_command_that_closes_its_output_is_waited_for(server: Docker) -> None:
    assert (await run(server, "sh", "-c", "exec >&- 2>&-; sleep 0.5; exit 5"))[0].returncode == 5


async def judged(server: Docker, seconds: float, *argv: str) -> tuple[Outcome, str, str]:
    options = Exec(command=argv, in_="container")
    check = Check(name="exec", type=CheckType.LIVENESS, method="exec", options=options, timeout_seconds=seconds)
    result = await look(check, Target("model", "127.0.0.1", runtime=server))
    return result.outcome, result.reason, result.detail


async def test_a_command_that_hangs_is_a_failure_and_is_killed_with_all_that_it_started(server: Docker) -> None:
    hanging = ("sh", "-c", "sleep 4242 & sleep 4242")
    assert (await judged(server, 3, *hanging))[:2] == (Outcome.FAILURE, "timeout")
    await until(lambda: "4242" not in commands(server), 15)
    assert (await run(server, "true"))[0].returncode == 0


async def test_thirty_commands_leave_nothing_open(server: Docker) -> None:
    """Of them three are given up."""
    await run(server, "true")
    before = descriptors()
    for number in range(30):
        seconds = 0.3 if number % 10 == 0 else 5
        await judged(server, seconds, "sleep", "4242" if number % 10 == 0 else "0")
    await until(lambda: "4242" not in commands(server), 15)
    await until(lambda: descriptors() <= before + 1, 15)


async def given_up(server: Docker, *argv: str) -> None:
    """Begun, and cancelled as the deadline of a check would."""
    begun = asyncio.Event()
    task = asyncio.create_task(server.run(argv, begun.set))
    async with asyncio.timeout(20):
        await begun.wait()
    task.cancel()
    await asyncio.wait([task])


async def test_in_a_container_without_a_shell_only_a_few_are_left_hanging(
    containers: Containers, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing can end them; that is told once, and counts as what it is: the command hangs."""
    server = Docker(container=containers.run(command=("python", "-c", "import time; time.sleep(300)")))
    docker("exec", str(server.container), "mv", "/bin/sh", "/bin/no-sh")
    hanging = ("python", "-c", "import time; time.sleep(4242)")
    for _ in range(MOST_LEFT):
        await given_up(server, *hanging)
    outcome, reason, detail = await judged(server, 5, *hanging)
    assert (outcome, reason) == (Outcome.FAILURE, "timeout")
    assert "give the command a time-out of its own" in detail
    assert commands(server).count("4242") == MOST_LEFT
    with pytest.raises(StillRunningError):
        await run(server, *hanging)
    assert (await run(server, "python", "-c", "print(1)"))[0] == Finished(0, b"1\n")
    await until(lambda: "exec.left_running" in caplog.messages, 15)
    assert caplog.messages.count("exec.left_running") == 1
    docker("restart", "--time", "0", str(server.container))
    await given_up(server, *hanging)


@pytest.mark.parametrize(
    ("verbs", "words", "verdict"),
    [
        (("kill",), "it is exited", (Outcome.FAILURE, "gone")),
        (("kill", "rm"), "is called", (Outcome.FAILURE, "gone")),
        (("pause",), "it is paused", (Outcome.ERROR, "runtime")),
    ],
)
async def test_a_container_that_does_not_run_has_failed_its_exec_checks(
    containers: Containers, verbs: Sequence[str], words: str, verdict: tuple[Outcome, str]
) -> None:
    """As for the kubelet: a server that was stopped or removed is neither ready nor alive for ever."""
    server = Docker(container=containers.run())
    assert (await judged(server, 5, "true"))[0] is Outcome.SUCCESS
    for verb in verbs:
        docker(verb, str(server.container))
    outcome, reason, detail = await judged(server, 5, "true")
    assert (outcome, reason) == verdict
    assert words in detail


async def test_a_container_that_dies_under_the_command_ends_it(server: Docker) -> None:
    task = asyncio.create_task(run(server, "sleep", "300"))
    await until(lambda: "sleep 300" in commands(server).partition("\n")[2].partition("\n")[2])
    docker("kill", str(server.container))
    async with asyncio.timeout(10):
        outcome = (await asyncio.gather(task, return_exceptions=True))[0]
    assert isinstance(outcome, OSError) or outcome[0].returncode != 0


# -- engines that lie and hang (no real one is needed) -----------------------------------------------------------------


@asynccontextmanager
async def scripted(folder: Path, **answers: Any) -> AsyncIterator[tuple[Engine, Docker]]:
    """An engine whose container runs; ``answers`` are of its exec endpoints: create, start, ask."""
    state = {"Status": "running", "Running": True, "StartedAt": "2026-01-02T03:04:05Z"}
    numbers = itertools.count()

    async def created(_request: str, writer: asyncio.StreamWriter) -> None:
        writer.write(ok({"Id": f"e{next(numbers)}"}, "201 Created"))

    async with fake_engine(folder) as engine:
        engine.answers |= {
            "/containers/model/json": ok({"Id": "a" * 64, "Name": "/model", "State": state}),
            f"/containers/{'a' * 64}/exec": answers.get("create", created),
        }
        for number in range(20):
            engine.answers[f"/exec/e{number}/start"] = answers.get("start", hang)
            engine.answers[f"/exec/e{number}/json"] = once_started(engine, answers.get("ask", said(running=True)))
        yield engine, Docker(container="model", host=engine.host)


def once_started(engine: Engine, answer: Any) -> Answer:
    """What is said of the command once its start was asked for; before, that it waits to be."""

    async def say(_request: str, writer: asyncio.StreamWriter) -> None:
        started = any(request.endswith("/start") for request in engine.asked)
        writer.write(answer if started else said(running=False))

    return say


UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"


def said(*, running: bool, pid: int = 0, status: int | None = None) -> bytes:
    """What an engine says of a command."""
    return ok({"Running": running, "Pid": pid, "ExitCode": status, "ProcessConfig": {"tty": False}})


BEGUN = said(running=True, pid=7)
ENDED = said(running=False, pid=7, status=0)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({}, (Outcome.ERROR, "runtime")),  # it never begins: the engine is waited for, not the command
        ({"ask": BEGUN}, (Outcome.FAILURE, "timeout")),
        ({"create": hang}, (Outcome.ERROR, "runtime")),
        ({"create": error(409, "is restarting")}, (Outcome.ERROR, "runtime")),
        ({"create": ok({})}, (Outcome.ERROR, "runtime")),
        ({"start": error(500, "shim is gone")}, (Outcome.ERROR, "runtime")),
        ({"ask": error(500, "broken")}, (Outcome.ERROR, "runtime")),
        ({"ask": ok([])}, (Outcome.ERROR, "runtime")),
        ({"start": UPGRADED, "ask": ENDED}, (Outcome.SUCCESS, "ok")),
        ({"start": UPGRADED + b"\x01\0\0\0\xff\xff\xff\xffabc", "ask": ENDED}, (Outcome.SUCCESS, "ok")),
        ({"start": UPGRADED + b"\x01\0\0\0\0\0\0\x03abc", "ask": BEGUN}, (Outcome.FAILURE, "timeout")),
        ({"start": ok({}), "ask": ENDED}, (Outcome.ERROR, "runtime")),
    ],
)
async def test_what_an_engine_says_of_a_command_is_judged_for_what_it_is(
    answers: dict[str, Any], expected: tuple[Outcome, str], tmp_path: Path
) -> None:
    async with scripted(tmp_path, **answers) as (_, server):
        assert (await judged(server, 0.3, "check"))[:2] == expected


async def test_commands_that_an_engine_never_begins_are_not_the_servers_failures(tmp_path: Path) -> None:
    """However many it has not begun."""
    async with scripted(tmp_path) as (engine, server):
        assert (await judged(server, 0.3, "check"))[:2] == (Outcome.ERROR, "runtime")  # of three tries
        assert "has still not begun earlier runs of check" in (await judged(server, 1, "check"))[2]
        asked = [request for request in engine.asked if request.endswith("/start")]
    assert len(asked) <= MOST_LEFT * 2  # a round has three tries, and each has a killer


async def test_a_command_that_the_engine_could_not_start_is_no_missing_program(tmp_path: Path) -> None:
    """The OCI runtime says why, in the place of the output."""
    text = b"OCI runtime exec failed: exec failed: cannot exec in a stopped container: unknown\r\n"
    frame = b"\x01\0\0\0" + len(text).to_bytes(4) + text
    never = said(running=False, status=126)
    async with scripted(tmp_path, start=UPGRADED + frame, ask=never) as (_, server):
        with pytest.raises(OSError, match="cannot exec in a stopped container") as caught:
            await run(server, "check")
    assert not isinstance(caught.value, CannotRunError)
    assert caught.value.errno == errno.EREMOTEIO
