"""The signal action ends the process that its container's runtime tells of."""

import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent.actions import ActionError, Order
from agent.actions.signal import Signal
from agent.runtimes.processes import Process

BODY = """
import os, signal, sys, time
for name in sys.argv[2:]:
    signal.signal(getattr(signal, name), lambda number, frame: os._exit(number))
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def mark() -> str:
    return secrets.token_hex(8)


@pytest.fixture
def server(mark: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A server that exits with the number of the signal that it gets: TERM, INT or HUP."""
    argv = [sys.executable, "-c", BODY, mark, "SIGTERM", "SIGINT", "SIGHUP"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


def order(mark: str, **more: object) -> Order:
    return msgspec.structs.replace(
        Order(type="action", container="model", runtime=Process(command_contains=mark), grace_seconds=5), **more
    )


@pytest.mark.parametrize(
    ("name", "number"),
    [("TERM", signal.SIGTERM), ("SIGINT", signal.SIGINT), ("hup", signal.SIGHUP), ("KILL", -signal.SIGKILL)],
)
async def test_the_named_signal_is_sent(server: "subprocess.Popen[bytes]", mark: str, name: str, number: int) -> None:
    await Signal(name).act(order(mark))
    assert server.wait(0) == number


def test_the_default_is_term() -> None:
    assert msgspec.convert({}, Signal).signal == "TERM"


async def test_what_does_not_leave_in_its_grace_is_killed(server: "subprocess.Popen[bytes]", mark: str) -> None:
    """WINCH is ignored by every process that does not ask for it."""
    await Signal("WINCH").act(order(mark, grace_seconds=0.1))
    assert server.wait(0) == -signal.SIGKILL


async def test_a_server_that_is_gone_is_well(mark: str) -> None:
    await Signal().act(order(mark))


async def test_a_successor_is_left_alone(server: "subprocess.Popen[bytes]", mark: str) -> None:
    await Signal().act(order(mark, identity=f"pid {server.pid} started 1"))
    assert server.poll() is None


async def test_a_target_that_can_not_be_told_is_the_actions_failure(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text("none")
    with pytest.raises(ActionError, match="does not begin with a process id"):
        await Signal().act(Order(type="action", container="model", runtime=Process(pid_file=str(tmp_path / "pid"))))


async def test_without_a_runtime_it_fails_with_the_remedy() -> None:
    with pytest.raises(ActionError, match=r"runtime\.process"):
        await Signal().act(Order(type="action", container="model"))


@pytest.mark.parametrize("name", ["", "SIG", "TREM", "9", "SIGSIGTERM"])
def test_other_names_are_told(name: str) -> None:
    [(path, message)] = Signal(name).check_options()
    assert path == "signal"
    assert repr(name) in message


@pytest.mark.parametrize("name", ["TERM", "SIGTERM", "sigterm", "USR1"])
def test_names_are_taken_with_or_without_sig(name: str) -> None:
    assert Signal(name).check_options() == []
