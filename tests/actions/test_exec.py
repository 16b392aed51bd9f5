"""The exec action runs a command that is told of the event, and leaves no more behind than that command wants."""

import asyncio
import json
import os
import signal
from pathlib import Path

import msgspec
import pytest

from agent.actions import ActionError, Order
from agent.actions.exec import ExecAction
from tests.runtimes.support import alive, line_of, until

ORDER = Order(
    type="pre_restart", container="model", reason="timeout", check="answers", to="Failure", instance="pid 7 started 5",
    evidence="/var/evidence/1",
)  # fmt: skip


async def test_the_event_comes_in_the_environment_and_on_standard_input(tmp_path: Path) -> None:
    out = tmp_path / "out"
    await ExecAction(("sh", "-c", f"env | grep ^HEALTH_EVENT_ | sort > {out}; cat > {out}.json")).act(ORDER)
    assert out.read_text().splitlines() == [
        "HEALTH_EVENT_CHECK=answers",
        "HEALTH_EVENT_CONTAINER=model",
        "HEALTH_EVENT_EVIDENCE=/var/evidence/1",
        "HEALTH_EVENT_INSTANCE=pid 7 started 5",
        "HEALTH_EVENT_REASON=timeout",
        "HEALTH_EVENT_TO=Failure",
        "HEALTH_EVENT_TYPE=pre_restart",
    ]
    assert json.loads((tmp_path / "out.json").read_text()) == ORDER.document()


async def test_no_shell_reads_the_arguments(tmp_path: Path) -> None:
    name = tmp_path / "$(id) *; x"
    await ExecAction(("touch", str(name))).act(ORDER)
    assert name.exists()


async def test_another_exit_status_fails_with_the_end_of_the_output() -> None:
    with pytest.raises(ActionError) as failed:
        await ExecAction(("sh", "-c", "seq 1000; echo cannot restart >&2; exit 3")).act(ORDER)
    message = str(failed.value)
    assert message.startswith("sh exited with status 3: ...")
    assert message.endswith("cannot restart")
    assert len(message) < 600


async def test_death_by_a_signal_is_told() -> None:
    with pytest.raises(ActionError, match=r"^sh was ended by signal 9 \(Killed\)$"):
        await ExecAction(("sh", "-c", "kill -9 $$")).act(ORDER)


async def test_a_command_that_can_not_be_run_is_told() -> None:
    with pytest.raises(ActionError, match="/no/such can't be run: No such file or directory"):
        await ExecAction(("/no/such",)).act(ORDER)


async def test_a_deadline_kills_the_whole_process_group(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    script = f"trap '' TERM; sleep 60 & echo $$ $! > {note}; while :; do wait; done"
    task = asyncio.create_task(ExecAction(("sh", "-c", script)).act(ORDER))
    pids = [int(word) for word in (await line_of(note)).split()]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not any(map(alive, pids)))


async def test_the_server_that_it_starts_stays(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    await ExecAction(("sh", "-c", f"sleep 60 & echo $! > {note}")).act(ORDER)
    pid = int(await line_of(note))
    assert alive(pid)
    os.kill(pid, signal.SIGKILL)


def test_a_command_that_can_never_run_is_told() -> None:
    assert ExecAction(("",)).check_options() == [("command[0]", "is empty; name the program to run")]
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"command": []}, ExecAction)
