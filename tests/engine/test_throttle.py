"""The agent's own cgroup, on real files and on the real one of this process."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.engine.pulse import Pulse
from agent.engine.throttle import Throttle
from agent.runtimes import cgroup
from tests.virtual import VirtualLoop


def told(file: Path, seconds: float) -> None:
    file.write_text(f"nr_periods 1\nnr_throttled 1\nthrottled_usec {int(seconds * 1e6)}\n")


class Late(Pulse):
    """A pulse whose loop was late by so many seconds."""

    late = 0.09

    def late_since(self, moment: float) -> float:
        return self.late


async def test_an_agent_that_is_held_back_is_impaired_until_it_no_longer_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, pulse = tmp_path / "cpu.stat", Late()
    throttle = Throttle(pulse, lambda: file)
    caplog.set_level("INFO")
    seconds, seen = 7.0, []
    for more in (0.0, 60.0, 60.0, 0.0):  # far more than passes between two looks here
        seconds += more
        told(file, seconds)
        await throttle.look(file)
        seen.append(pulse.throttled)
        await asyncio.sleep(0.01)
    assert seen == [False, True, True, False]
    assert pulse.impaired(0.0) is False
    assert [record.getMessage() for record in caplog.records] == ["agent.impaired", "agent.recovered"]


async def test_while_it_is_impaired_a_failure_is_in_doubt_and_nobody_is_killed() -> None:
    pulse = Pulse()
    now = asyncio.get_running_loop().time()
    assert (pulse.impaired(now), pulse.doubt(now, 1.0, timed_out=False)) == (False, "")
    pulse.throttled = True
    assert pulse.impaired(now)
    assert "too little CPU" in pulse.doubt(now, 1.0, timed_out=False)


async def test_a_cgroup_whose_other_processes_are_held_back_says_nothing_of_the_agent(tmp_path: Path) -> None:
    file, pulse = tmp_path / "cpu.stat", Late()
    pulse.late = 0.01
    throttle = Throttle(pulse, lambda: file)
    for seconds in (0, 60, 120):
        told(file, seconds)
        await throttle.look(file)
        await asyncio.sleep(0.01)
    assert not pulse.throttled


@pytest.mark.parametrize("vanish", [lambda file: file.unlink(), lambda file: file.write_text("usage_usec 5\n")])
async def test_what_can_not_be_read_any_more_says_nothing(tmp_path: Path, vanish: Callable[[Path], Any]) -> None:
    file, pulse = tmp_path / "cpu.stat", Late()
    throttle = Throttle(pulse, lambda: file)
    for seconds in (0, 60):
        told(file, seconds)
        await throttle.look(file)
        await asyncio.sleep(0.01)
    assert pulse.throttled
    vanish(file)
    await throttle.look(file)
    assert not pulse.throttled


async def test_without_a_limit_there_is_nothing_to_look_at() -> None:
    """It ends by itself."""
    await asyncio.wait_for(Throttle(Pulse(), lambda: None).run(), 5)


def test_whatever_this_process_runs_in_is_looked_at_without_trouble() -> None:
    """A limited cgroup tells a number, everything else tells of none; nothing raises."""
    file = cgroup.own_cpu_stat()
    assert file is None or (cgroup.throttled(file) or 0.0) >= 0.0
    assert cgroup.throttled(Path("/nonexistent/cpu.stat")) is None


def test_a_virtual_clock_is_no_obstacle() -> None:
    """Looks are threads of their own, bounded on the loop's clock."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(asyncio.wait_for(Throttle(Pulse(), lambda: None).run(), 60)) is None


LIMITED = """
import asyncio, os, sys, time
from agent.engine.pulse import Pulse
from agent.engine.throttle import Throttle

async def main():
    with open(sys.argv[1], "w") as tasks:
        tasks.write(str(os.getpid()))
    pulse = Pulse()
    pulse.start()
    throttle = Throttle(pulse)
    file = throttle.find()
    print("limited" if file else "unlimited", flush=True)
    await throttle.look(file)
    for _ in range(6):  # on a busy machine a look itself may take too long, and says nothing then
        end = time.monotonic() + 3
        while time.monotonic() < end:
            await asyncio.sleep(0)  # busy
        await throttle.look(file)
        if pulse.throttled:
            break
    print(pulse.throttled, flush=True)
    pulse.stop()

asyncio.run(main())
"""


def limited(folder: Path) -> Path:
    """A new cgroup with a twentieth of a CPU; the file that takes its processes. OSError where none can be made."""
    folder.mkdir()
    if (folder / "cpu.max").exists():
        (folder / "cpu.max").write_text("5000 100000")
        return folder / "cgroup.procs"
    (folder / "cpu.cfs_period_us").write_text("100000")
    (folder / "cpu.cfs_quota_us").write_text("5000")
    return folder / "tasks"


def test_a_real_limit_is_noticed() -> None:
    """In a real cgroup, of either version."""
    root = Path("/sys/fs/cgroup/cpu") if Path("/sys/fs/cgroup/cpu").is_dir() else Path("/sys/fs/cgroup")
    folder = root / f"health-agent-test-{os.getpid()}"
    try:
        try:
            tasks = limited(folder)
        except OSError as problem:
            pytest.skip(f"no cgroup with a CPU limit can be made here ({problem.strerror}): run the tests as root")
        command = [sys.executable, "-c", LIMITED, str(tasks)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout.split() == ["limited", "True"], done.stderr
    finally:
        if folder.is_dir():
            folder.rmdir()
