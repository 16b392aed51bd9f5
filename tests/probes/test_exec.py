"""The exec check with real processes (probe-semantics 4.4)."""

import asyncio
import os
import resource
import time
from contextlib import suppress
from pathlib import Path

import pytest

from agent.core.model import Check, CheckType, Outcome, Target, failure, success
from agent.engine.worker import look
from agent.probes.exec import Exec

from .support import attempt

TARGET = Target("model", "127.0.0.1")


def sh(script: str) -> Exec:
    return Exec(command=("sh", "-c", script))


def running(pid: int) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def gone(pid: int) -> bool:
    for _ in range(400):
        if not running(pid):
            return True
        await asyncio.sleep(0.005)
    return False


async def test_x1_exit_0_is_a_success_with_its_output() -> None:
    assert await attempt(sh("echo OK"), TARGET) == success("OK")


async def test_x2_eleven_kib_of_output_are_a_success_and_the_first_ten_are_kept() -> None:
    result = await attempt(sh("head -c 11264 /dev/zero | tr '\\0' x"), TARGET)
    assert result == success("x" * 10240)


async def test_x2_endless_output_neither_blocks_the_command_nor_grows() -> None:
    result = await attempt(sh("yes x | head -c 3000000; echo end >&2"), TARGET)
    assert (result.outcome, len(result.detail)) == (Outcome.SUCCESS, 10239)


@pytest.mark.parametrize("command", ["/no/such/binary", "/etc/passwd", "/etc"])
async def test_x3_a_command_that_cannot_be_run_is_an_error_that_names_it(command: str) -> None:
    result = await attempt(Exec(command=(command,)), TARGET)
    assert (result.outcome, result.reason) == (Outcome.ERROR, "spawn")
    assert command in result.detail


async def test_x3_a_file_without_an_interpreter_is_an_error(tmp_path: Path) -> None:
    script = tmp_path / "check"
    script.write_text("no interpreter line")
    script.chmod(0o755)
    assert (await attempt(Exec(command=(str(script),)), TARGET)).reason == "spawn"


async def test_x4_exit_1_is_a_failure_with_its_output() -> None:
    assert await attempt(sh("echo not ready >&2; exit 1"), TARGET) == failure("exit", "not ready")
    assert await attempt(sh("exit 3"), TARGET) == failure("exit", "exit status 3")


@pytest.mark.parametrize("status", [126, 127, 255])
async def test_x4_a_shells_126_and_127_are_ordinary_failures(status: int) -> None:
    assert (await attempt(sh(f"exit {status}"), TARGET)).reason == "exit"


async def test_x4_death_by_signal_is_a_failure_that_names_it() -> None:
    assert await attempt(sh("kill -KILL $$"), TARGET) == failure("signal", "killed by SIGKILL")


async def test_x5_at_the_deadline_the_whole_process_group_is_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"trap '' TERM; sleep 60 & echo $! > {pids}; echo $$ >> {pids}; wait; sleep 60"
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        await attempt(sh(script), TARGET, 0.3)
    assert time.monotonic() - start < 2
    for pid in map(int, pids.read_text().split()):
        assert await gone(pid)


async def test_x7_the_main_process_judges_and_nothing_is_left_running() -> None:
    start = time.monotonic()
    result = await attempt(sh("sleep 10 & echo $!; exit 1"), TARGET)
    assert time.monotonic() - start < 2
    assert (result.outcome, result.reason) == (Outcome.FAILURE, "exit")
    assert await gone(int(result.detail))


async def test_no_shell_reads_the_command() -> None:
    assert await attempt(Exec(command=("echo", "$HOME;", "`id`")), TARGET) == success("$HOME; `id`")


async def test_standard_input_is_empty_and_the_environment_is_the_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_HOME", "/models")
    assert await attempt(sh('cat; echo "$MODEL_HOME"'), TARGET) == success("/models")


async def test_the_command_has_a_session_of_its_own() -> None:
    result = await attempt(sh("cut -d' ' -f6 /proc/self/stat"), TARGET)
    assert int(result.detail) != os.getsid(0)


async def test_probes_side_by_side_keep_their_outputs_apart() -> None:
    results = await asyncio.gather(*(attempt(sh(f"echo {n}"), TARGET) for n in range(10)))
    assert [result.detail for result in results] == [str(n) for n in range(10)]


async def test_no_zombie_is_left() -> None:
    await attempt(sh("true & true & exit 0"), TARGET)
    with suppress(ChildProcessError):  # no child at all; another test's may still run
        assert os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None  # noqa: ASYNC222 - it does not wait


async def test_an_agent_out_of_descriptors_says_so_and_blames_nobody() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        result = await look(Check(name="exec", type=CheckType.LIVENESS, method="exec", options=sh("true")), TARGET)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (result.outcome, result.reason) == (Outcome.ERROR, "internal")
    assert TARGET.impaired


async def test_in_container_without_a_runtime_is_an_error_that_names_the_remedy() -> None:
    result = await attempt(Exec(command=("true",), in_="container"), TARGET)
    assert (result.outcome, result.reason) == (Outcome.ERROR, "runtime")
    assert "`in: agent`" in result.detail


def test_a_command_that_cannot_be_a_command_is_told() -> None:
    assert [path for path, _ in Exec(command=("", "a\0b")).check_options()] == ["command[1]", "command[0]"]
    assert Exec(command=("true", "")).check_options() == []
