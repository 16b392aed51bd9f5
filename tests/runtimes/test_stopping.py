"""A process is ended for certain, with its descendants where it takes force, and no other process is ever signalled."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.runtimes import proc, stopping
from agent.runtimes.processes import Process
from agent.runtimes.stopping import stop
from tests.runtimes.support import alive, ended, isolated, until

READY = "import os, signal, time; {first}; print('ready', flush=True); time.sleep(60)"
STUBBORN = READY.format(first="signal.signal(signal.SIGTERM, signal.SIG_IGN)")
OBEDIENT = READY.format(first="signal.signal(signal.SIGTERM, lambda *_: os._exit(7))")


@contextmanager
def server(body: str, *more: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A server that has installed its handlers."""
    with subprocess.Popen([sys.executable, "-c", body, *more], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


def started(pid: int) -> int:
    found = proc.seen(pid)
    assert found is not None
    return found.started


async def test_a_process_that_leaves_in_its_grace_is_not_killed() -> None:
    with server(OBEDIENT) as process:
        await stop(process.pid, started(process.pid), signal.SIGTERM, 10)
        assert process.wait(0) == 7


async def test_a_process_that_ignores_the_signal_is_killed_after_its_grace() -> None:
    with server(STUBBORN) as process:
        began = time.monotonic()
        await stop(process.pid, started(process.pid), signal.SIGTERM, 0.2)
        assert 0.2 <= time.monotonic() - began < 5
        assert process.wait(0) == -signal.SIGKILL


async def test_a_stopped_process_is_killed_after_its_grace() -> None:
    with server(OBEDIENT) as process:
        os.kill(process.pid, signal.SIGSTOP)
        await stop(process.pid, started(process.pid), signal.SIGTERM, 0.1)
        assert process.wait(0) == -signal.SIGKILL


async def test_with_kill_as_the_signal_there_is_no_grace() -> None:
    with server(STUBBORN) as process:
        async with asyncio.timeout(5):
            await stop(process.pid, started(process.pid), signal.SIGKILL, 60)
        assert process.wait(0) == -signal.SIGKILL


async def test_a_process_that_is_gone_already_is_well() -> None:
    await stop(2**22 + 1, 5, signal.SIGTERM, 60)


async def test_a_zombie_is_gone_already() -> None:
    with server(STUBBORN) as process:
        since = started(process.pid)
        process.kill()
        await ended(process.pid)
        await stop(process.pid, since, signal.SIGTERM, 60)


async def test_another_process_of_the_same_number_is_not_signalled() -> None:
    with server(OBEDIENT) as process:
        await stop(process.pid, started(process.pid) - 1, signal.SIGTERM, 60)
        assert process.poll() is None


async def test_the_agent_never_ends_itself() -> None:
    with pytest.raises(PermissionError, match="agent itself"):
        await stop(os.getpid(), started(os.getpid()), signal.SIGTERM, 1)


POOL = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if not os.fork():
    os.setsid()
    os.fork()
    time.sleep(60)
time.sleep(0.05)
print('ready', flush=True)
time.sleep(60)
"""


async def test_with_force_the_descendants_go_too() -> None:
    mark = secrets.token_hex(8)
    with server(POOL, mark) as master:
        pool = [one.pid for one in proc.descendants(master.pid, proc.everyone().values())]
        assert len(pool) == 2
        await Process(command_contains=mark).stop(signal.SIGTERM, 0.1)
        assert master.wait(0) == -signal.SIGKILL
        await until(lambda: not any(map(alive, pool)))


async def test_cancelling_in_the_grace_sends_nothing_more() -> None:
    with server(STUBBORN) as process:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await stop(process.pid, started(process.pid), signal.SIGTERM, 60)
        assert process.poll() is None


async def test_without_pidfd_the_start_time_alone_tells() -> None:
    with server(OBEDIENT) as process:
        target = stopping._Held(process.pid, started(process.pid), None)
        assert await target.there()
        assert not await target.gone(0)
        assert not await stopping._Held(process.pid, started(process.pid) - 1, None).send(signal.SIGTERM)
        assert await target.send(signal.SIGTERM)
        assert await target.gone(5)
        assert process.wait(0) == 7


async def test_the_instance_that_was_judged_is_ended_and_not_its_successor() -> None:
    mark = secrets.token_hex(8)
    with server(STUBBORN, mark) as old:
        judged = await Process(command_contains=mark).instance()
        assert judged is not None
        old.kill()
        old.wait()
        with server(OBEDIENT, mark) as successor:
            await Process(command_contains=mark).stop(signal.SIGTERM, 1, judged.identity)
            assert successor.poll() is None


async def test_a_server_that_closed_its_port_is_ended_by_its_identity() -> None:
    with server(OBEDIENT) as process:
        identity = f"pid {process.pid} started {started(process.pid)}"
        await Process(port=1).stop(signal.SIGTERM, 5, identity)
        assert process.wait(0) == 7


@pytest.mark.parametrize("identity", ["", "1", "pid x started y", "container abc"])
async def test_without_a_process_s_identity_the_one_that_runs_now_is_ended(identity: str) -> None:
    mark = secrets.token_hex(8)
    with server(OBEDIENT, mark) as process:
        await Process(command_contains=mark).stop(signal.SIGTERM, 5, identity)
        assert process.wait(0) == 7


async def test_where_no_process_is_found_nothing_is_left_to_do(tmp_path: Path) -> None:
    await Process(pid_file=str(tmp_path / "none")).stop(signal.SIGTERM, 5)


STOP = """
import os, signal
from agent.runtimes import proc
from agent.runtimes.stopping import stop
pid = {pid}
try:
    asyncio.run(stop(pid, proc.seen(pid).started, signal.SIGTERM, 0.1))
except OSError as problem:
    print(problem)
"""


def test_another_users_process_is_told_with_the_remedy() -> None:
    with server(OBEDIENT) as process:
        done = isolated("setpriv", "--reuid", "65534", "--clear-groups", body=STOP.format(pid=process.pid))
        assert process.poll() is None
    assert f"may not signal process {process.pid}" in done.stdout, done
    assert "CAP_KILL" in done.stdout


def test_process_1_is_told_to_need_an_init() -> None:
    """Its own pid namespace shields it from SIGKILL, and from SIGTERM where it has no handler."""
    body = STOP.format(pid=1)
    done = isolated(
        "unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", 'shift; "$@"; true', "sh", "-",
        body=body,
    )  # fmt: skip
    assert "init: true" in done.stdout, done
