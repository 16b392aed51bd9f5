"""Commands of the agent's own end with their main process and leave nothing behind."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.runtimes import command
from agent.runtimes.command import CAP, problems_of, run, sessions
from tests.runtimes.support import alive, descriptors, isolated, line_of, until, zombies


@pytest.fixture(autouse=True)
def _no_zombies() -> Iterator[None]:
    yield
    assert zombies() == []


async def test_exit_0_gives_the_output_of_both_streams() -> None:
    finished = await run(["sh", "-c", "echo OK; echo bad >&2"])
    assert finished.returncode == 0
    assert finished.output == b"OK\nbad\n"


async def test_exit_1_is_told() -> None:
    assert (await run(["sh", "-c", "exit 1"])).returncode == 1


async def test_death_by_signal_is_a_negative_code() -> None:
    assert (await run(["sh", "-c", "kill -9 $$"])).returncode == -9


async def test_the_first_10_kib_are_kept_and_the_rest_does_not_block_the_command() -> None:
    finished = await run([sys.executable, "-c", "import os; os.write(1, b'a' * 5000); print('b' * 3_000_000)"])
    assert finished.returncode == 0
    assert finished.output == b"a" * 5000 + b"b" * (CAP - 5000)


async def test_output_at_exactly_the_cap_is_whole() -> None:
    assert (await run(["sh", "-c", "printf 12345"], cap=5)).output == b"12345"
    assert (await run(["sh", "-c", "printf 123456"], cap=5)).output == b"12345"


@pytest.mark.parametrize(
    ("argv", "kind"),
    [
        (["/no/such/binary"], FileNotFoundError),
        (["/etc/passwd"], PermissionError),
        (["/"], PermissionError),
        (["sh\0"], ValueError),
    ],
)
async def test_what_cannot_be_spawned_raises_and_leaves_no_descriptor(argv: list[str], kind: type[Exception]) -> None:
    before = descriptors()
    with pytest.raises(kind):
        await run(argv)
    assert descriptors() == before


async def test_the_main_process_decides_and_its_left_behind_child_is_killed() -> None:
    began = time.monotonic()
    finished = await run(["sh", "-c", "sleep 10 & echo $!; exit 1"])
    assert finished.returncode == 1
    assert time.monotonic() - began < 2
    await until(lambda: not alive(int(finished.output)), 1)


async def test_cancelling_kills_the_whole_group(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    script = f"trap '' TERM; sleep 60 & echo $$ $! > {note}; wait"
    before = descriptors()
    task = asyncio.create_task(run(["sh", "-c", script]))
    pids = [int(word) for word in (await line_of(note)).split()]
    assert all(map(alive, pids))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not any(map(alive, pids)), 1)
    assert descriptors() == before


async def test_a_deadline_ends_a_command_that_floods_its_output() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await run(["sh", "-c", "while :; do echo flood; done"])


async def test_a_second_cancel_during_the_reaping_leaves_no_zombie(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    task = asyncio.create_task(run(["sh", "-c", f"echo $$ > {note}; sleep 60"]))
    pid = int(await line_of(note))
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not Path(f"/proc/{pid}").exists())


async def test_a_child_that_left_the_session_and_holds_the_pipe_delays_nothing() -> None:
    began = time.monotonic()
    finished = await run(["setsid", "--fork", "sh", "-c", "sleep 1.5"])
    assert finished.returncode == 0
    assert time.monotonic() - began < 1


async def test_a_flooding_child_that_left_the_session_cannot_keep_the_agent_reading() -> None:
    script = "setsid --fork sh -c 'while echo flood 2>/dev/null; do :; done'; exit 3"
    async with asyncio.timeout(5):
        assert (await run(["sh", "-c", script])).returncode == 3


async def test_standard_input_is_the_document_then_its_end() -> None:
    document = os.urandom(300_000)
    finished = await run(["sh", "-c", "cat; echo done"], stdin=document, cap=1_000_000)
    assert finished.output == document + b"done\n"


async def test_without_a_document_standard_input_is_empty() -> None:
    assert (await run(["cat"])).output == b""


async def test_a_command_that_does_not_read_its_input_is_not_disturbed() -> None:
    before = descriptors()
    assert (await run(["true"], stdin=b"x" * 300_000)).returncode == 0
    assert (await run(["sh", "-c", "exec <&-; sleep 0.05; exit 4"], stdin=b"x" * 300_000)).returncode == 4
    assert descriptors() == before


async def test_the_environment_is_laid_over_the_agents_own() -> None:
    finished = await run(["sh", "-c", 'echo "$HEALTH_EVENT_TYPE $PATH"'], env={"HEALTH_EVENT_TYPE": "action"})
    assert finished.output.decode() == f"action {os.environ['PATH']}\n"


async def test_a_command_has_a_session_of_its_own() -> None:
    finished = await run(["sh", "-c", "cut -d' ' -f1,5,6 /proc/$$/stat"])
    pid, group, session = finished.output.split()
    assert pid == group == session


async def test_many_commands_at_once_leave_no_descriptor() -> None:
    before = descriptors()
    finished = await asyncio.gather(*(run(["sh", "-c", f"exit {n}"]) for n in range(20)))
    assert [f.returncode for f in finished] == list(range(20))
    assert descriptors() == before


async def test_without_pidfd_a_thread_notices_the_exit() -> None:
    process = subprocess.Popen(["sh", "-c", "exit 5"])  # noqa: ASYNC220 - the code under test is given one
    noticed = asyncio.Event()
    command._call_by_thread(process.pid, noticed.set)
    async with asyncio.timeout(5):
        await noticed.wait()
    assert process.wait(0) == 5


def script(body: str) -> subprocess.CompletedProcess[str]:
    """Runs ``body`` in an agent of its own, whose process it may spoil."""
    quiet = "import logging; logging.disable(logging.WARNING)\n"  # -X dev tells of slow steps: a busy machine has some
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", quiet + textwrap.dedent(body)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_as_pid_1_the_agent_reaps_the_orphans_of_its_commands() -> None:
    done = script("""
        import asyncio, ctypes, os
        from agent.runtimes.command import run
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: orphans come to us, as they do to PID 1
        finished = asyncio.run(run(["sh", "-c", "sleep 30 & sleep 30 & exit 1"]))
        print(finished.returncode)
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            print("no children")
    """)
    assert (done.stdout, done.stderr) == ("1\nno children\n", "")


async def test_what_may_be_left_running_stays_and_its_output_never_breaks(tmp_path: Path) -> None:
    """A restart script starts the server and returns; the server goes on, and goes on printing."""
    note = tmp_path / "pid"
    before = descriptors()
    server = f"echo $$ > {note}; i=0; while [ $i -lt 30000 ]; do echo line; i=$((i+1)); done; exec sleep 60"
    finished = await run(["sh", "-c", f"sh -c '{server}' & exit 3"], leave=True)
    assert finished.returncode == 3
    pid = int(await line_of(note))
    try:
        assert pid not in sessions()
        await until(lambda: b"sleep" in command_of(pid))
    finally:
        os.kill(pid, signal.SIGKILL)
    await until(lambda: descriptors() == before)


def command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


async def test_cancelling_ends_also_what_might_have_been_left(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    task = asyncio.create_task(run(["sh", "-c", f"sleep 60 & echo $! > {note}; wait"], leave=True))
    pid = int(await line_of(note))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not alive(pid))


async def test_while_it_runs_its_session_is_known() -> None:
    before = sessions()
    task = asyncio.create_task(run(["sh", "-c", "sleep 60"]))
    await asyncio.sleep(0)
    assert len(sessions() - before) == 1
    task.cancel()
    await asyncio.wait([task])
    await until(lambda: not sessions() - before)


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["sh", "-c", ""], []),
        ([""], [("command[0]", "is empty; name the program to run")]),
        (["sh", "a\0b"], [("command[1]", "a NUL character cannot be part of a command")]),
    ],
)
def test_commands_that_can_never_run_are_told(argv: list[str], told: list[tuple[str, str]]) -> None:
    assert problems_of(argv) == told


def test_as_pid_1_it_reaps_orphans_that_left_the_group() -> None:
    done = isolated(
        "unshare", "--pid", "--fork", "--mount-proc",
        body="""
from pathlib import Path
from agent.runtimes.command import run
async def main():
    await run(["setsid", "--fork", "true"])
    async with asyncio.timeout(5):
        while children():
            await run(["true"])
    print("none left")
def children():
    return Path("/proc/1/task/1/children").read_text()
asyncio.run(main())
""",
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("none left\n", "")


def test_a_lost_exit_status_is_an_error_and_never_a_success() -> None:
    done = script("""
        import asyncio, signal
        from agent.runtimes.command import run
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        try:
            asyncio.run(run(["sh", "-c", "exit 1"]))
        except OSError as error:
            print(error)
    """)
    assert "SIGCHLD" in done.stdout
    assert done.stderr == ""


def test_out_of_descriptors_is_an_error_that_leaves_nothing_open() -> None:
    done = script("""
        import asyncio, errno, os, resource
        from agent.runtimes.command import run

        async def main():
            await run(["true"])
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            used = len(os.listdir("/proc/self/fd"))
            seen = set()
            for room in range(1, 14):
                resource.setrlimit(resource.RLIMIT_NOFILE, (used + room, hard))
                try:
                    seen.add((await run(["true"])).returncode)
                except OSError as error:
                    seen.add(errno.errorcode[error.errno])
            resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
            print(sorted(map(str, seen)), len(os.listdir("/proc/self/fd")) - used)

        asyncio.run(main())
    """)
    assert (done.stdout, done.stderr) == ("['0', 'EMFILE'] 0\n", "")
