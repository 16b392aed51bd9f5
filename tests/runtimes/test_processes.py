"""The server's process is found by its command line, its pid file or its port, among real processes."""

import asyncio
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from agent.runtimes import Instance, proc
from agent.runtimes.command import run
from agent.runtimes.processes import Process
from tests.runtimes.support import ended, isolated, until

SLEEP = "import time; time.sleep(60)"
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts commands that end with the test."""
    with ExitStack() as stack:

        def start(*argv: str) -> "subprocess.Popen[bytes]":
            process = stack.enter_context(subprocess.Popen(argv, start_new_session=True))
            stack.callback(_end, process)
            while process.poll() is None and not proc.command_line(process.pid):
                time.sleep(0.001)  # `Popen` returns when the exec has begun: the new command line follows
            return process

        yield start


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        os.killpg(process.pid, 9)


@pytest.fixture
def mark() -> str:
    """A word that no other command line holds."""
    return f"server-{secrets.token_hex(8)}"


async def pid_of(process: Process) -> int | None:
    found = await process.instance()
    return None if found is None else found.pid


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "none is given"),
        ({"port": 1, "pid_file": "x"}, "not pid_file and port"),
        ({"port": 1, "pid_file": "x", "command_contains": "y"}, "not command_contains and pid_file and port"),
    ],
)
def test_exactly_one_way_to_find_it_is_needed(options: dict[str, object], told: str) -> None:
    message = f"exactly one of command_contains, pid_file and port is needed, {told}"
    assert msgspec.convert(options, Process).check_options() == [("", message)]


@pytest.mark.parametrize("options", [{"port": 1}, {"pid_file": "x"}, {"command_contains": "y"}])
def test_one_way_is_enough(options: dict[str, object]) -> None:
    assert msgspec.convert(options, Process).check_options() == []


@pytest.mark.parametrize("options", [{"port": 0}, {"port": 65536}, {"pid_file": ""}, {"command_contains": ""}])
def test_values_that_can_find_nothing_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(options, Process)


async def test_the_instance_is_told_by_pid_and_start(start: Start, mark: str) -> None:
    before = time.monotonic()
    server = start(sys.executable, "-c", SLEEP, mark)
    found = await Process(command_contains=mark).instance()
    after = time.monotonic()
    assert isinstance(found, Instance)
    assert found.pid == server.pid
    assert found.identity.startswith(f"pid {server.pid} started ")
    assert found.started_at is not None
    assert before - 0.02 <= found.started_at <= after
    assert found.identity == getattr(await Process(command_contains=mark).instance(), "identity", "")


async def test_text_is_found_across_words_of_the_command_line(start: Start, mark: str) -> None:
    server = start(sys.executable, "-c", SLEEP, mark, "--port", "8000")
    assert await pid_of(Process(command_contains=f"{mark} --port 80")) == server.pid


async def test_no_such_command_is_no_instance(mark: str) -> None:
    assert await Process(command_contains=mark).instance() is None


async def test_an_ended_server_that_nobody_reaped_is_no_instance(start: Start, mark: str, tmp_path: Path) -> None:
    server = start(sys.executable, "-c", SLEEP, mark)
    (tmp_path / "pid").write_text(f"{server.pid}\n")
    assert await pid_of(Process(command_contains=mark)) == server.pid
    server.kill()
    await ended(server.pid)
    assert await Process(command_contains=mark).instance() is None
    assert await Process(pid_file=str(tmp_path / "pid")).instance() is None


async def test_the_agent_is_never_its_own_server() -> None:
    """This process is the agent here: its command line and its sockets fit, and are passed over."""
    own = Path("/proc/self/cmdline").read_text().replace("\0", " ").strip()  # noqa: ASYNC240 - /proc
    assert await pid_of(Process(command_contains=own)) != os.getpid()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert await Process(port=listener.getsockname()[1]).instance() is None


async def test_a_command_of_the_agents_own_is_never_the_server(start: Start, mark: str) -> None:
    """An exec check that names the server, and what that check starts."""
    task = asyncio.create_task(run(["sh", "-c", f"sleep 30; : {mark}"]))
    try:
        assert await Process(command_contains=mark).instance() is None
        server = start(sys.executable, "-c", SLEEP, mark)
        assert await pid_of(Process(command_contains=mark)) == server.pid
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_command_that_begins_during_the_look_is_not_the_server(mark: str) -> None:
    for _ in range(10):
        look = asyncio.create_task(Process(command_contains=mark).instance())
        await asyncio.sleep(0)
        command = asyncio.create_task(run(["sh", "-c", f"sleep 30; : {mark}"]))
        assert await look is None
        command.cancel()
        await asyncio.wait([command])


async def test_of_a_pool_the_master_is_the_instance(start: Start, mark: str) -> None:
    body = "import os, time\nfor _ in range(3):\n  if not os.fork(): break\ntime.sleep(60)"
    master = start(sys.executable, "-c", body, mark)
    children = Path(f"/proc/{master.pid}/task/{master.pid}/children")
    await until(lambda: len(children.read_text().split()) == 3)
    assert await pid_of(Process(command_contains=mark)) == master.pid


async def test_below_a_shell_the_server_is_the_instance(start: Start, mark: str) -> None:
    shell = start("sh", "-c", f'"$0" -c "{SLEEP}" {mark}; :', sys.executable)
    children = Path(f"/proc/{shell.pid}/task/{shell.pid}/children")
    await until(lambda: _command_of(children.read_text()).startswith(sys.executable))  # no longer the forked shell
    assert await pid_of(Process(command_contains=mark)) == int(children.read_text())  # noqa: ASYNC240 - /proc


def _command_of(pid: str) -> str:
    return Path(f"/proc/{pid.strip()}/cmdline").read_text() if pid.strip() else ""


async def test_a_restarted_server_is_another_instance(start: Start, mark: str) -> None:
    server = start(sys.executable, "-c", SLEEP, mark)
    first = await Process(command_contains=mark).instance()
    server.kill()
    server.wait()
    start(sys.executable, "-c", SLEEP, mark)
    second = await Process(command_contains=mark).instance()
    assert first is not None
    assert second is not None
    assert first.identity != second.identity


LISTEN = """
import socket, sys, time
server = socket.create_server(("", 0), family=getattr(socket, sys.argv[1]))
print(server.getsockname()[1], flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6"])
async def test_the_listener_of_a_port_is_the_instance(family: str) -> None:
    with subprocess.Popen([sys.executable, "-c", LISTEN, family], stdout=subprocess.PIPE) as server:  # noqa: ASYNC220
        assert server.stdout is not None
        port = int(server.stdout.readline())
        assert await pid_of(Process(port=port)) == server.pid
        server.kill()
        server.wait()
        assert await Process(port=port).instance() is None


async def test_a_pid_file_names_the_instance(start: Start, tmp_path: Path) -> None:
    server = start(sys.executable, "-c", SLEEP)
    file = tmp_path / "server.pid"
    process = Process(pid_file=str(file))
    assert await process.instance() is None
    file.write_text(f"{server.pid}\n/var/lib/more\n")
    assert await pid_of(process) == server.pid


@pytest.mark.parametrize("text", ["", "\n", "none", "-1", "1.5"])
async def test_a_pid_file_without_a_number_can_not_be_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "pid").write_text(text)
    with pytest.raises(OSError, match="does not begin with a process id"):
        await Process(pid_file=str(tmp_path / "pid")).instance()


async def test_a_pid_file_that_is_a_pipe_hangs_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pid")
    with pytest.raises(OSError, match="does not begin"):
        await Process(pid_file=str(tmp_path / "pid")).instance()


async def test_a_pid_file_that_names_the_agent_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text(str(os.getpid()))
    with pytest.raises(OSError, match="is no server"):
        await Process(pid_file=str(tmp_path / "pid")).instance()


async def test_a_pid_file_older_than_its_process_is_stale(start: Start, tmp_path: Path) -> None:
    """It outlived its server, and the number means another process now."""
    file = tmp_path / "pid"
    file.write_text(str(start("sleep", "60").pid))
    os.utime(file, (time.time() - 60, time.time() - 60))
    with pytest.raises(OSError, match="it is stale"):
        await Process(pid_file=str(file)).instance()


async def test_processes_that_come_and_go_disturb_no_look(start: Start, mark: str) -> None:
    server = start(sys.executable, "-c", SLEEP, mark)
    start("sh", "-c", "while :; do true & true; wait; done")
    process = Process(command_contains=mark)
    for _ in range(20):
        assert await pid_of(process) == server.pid


def test_an_agent_alone_in_its_pid_namespace_says_so() -> None:
    done = isolated(
        "unshare", "--pid", "--fork", "--mount-proc",
        body="""
from agent.runtimes.processes import Process
try:
    asyncio.run(Process(command_contains="server.py").instance())
except OSError as problem:
    print(problem)
""",
    )  # fmt: skip
    assert "shareProcessNamespace: true" in done.stdout, done


def test_a_listener_of_another_user_is_told_with_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = isolated(
            "setpriv", "--reuid", "65534", "--clear-groups", "--inh-caps", "-all",
            body=f"""
from agent.runtimes.processes import Process
try:
    asyncio.run(Process(port={listener.getsockname()[1]}).instance())
except PermissionError as problem:
    print(problem)
""",
        )  # fmt: skip
    assert "CAP_SYS_PTRACE" in done.stdout, done
