"""The agent's own pulse: what counts as a stall, and the watchdog of a loop that does not run at all."""

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from agent.engine.pulse import Pulse
from tests.virtual import run_virtual, virtual_loop

PROGRAM = """
import asyncio, time
from agent.engine.pulse import Pulse

async def main():
    Pulse(dump_after={dump}, exit_after={leave}).start()
    await asyncio.sleep(0.3)
    print("ready", flush=True)
    {body}

asyncio.run(main())
"""


def agent(body: str, *, dump: float, leave: float) -> "subprocess.Popen[str]":
    """A process with a pulse of its own that has said that it runs."""
    program = PROGRAM.format(dump=dump, leave=leave, body=body)
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_blocked_loop_has_its_stacks_dumped_and_its_process_ended_with_70() -> None:
    with agent("time.sleep(60)", dump=0.5, leave=1) as process:
        _, told = process.communicate(timeout=20)
    assert process.returncode == 70
    assert "all stacks follow" in told
    assert "in main\n" in told, "the frame that blocks is in the dump"
    assert told.index("all stacks") < told.index("exit 70")
    assert told.count("all stacks follow") == 1


def test_a_loop_that_runs_again_in_time_is_left_alone() -> None:
    with agent("time.sleep(0.9); await asyncio.sleep(0.5); print('fine')", dump=0.5, leave=5) as process:
        out, told = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "fine\n")
    assert "all stacks follow" in told


BUSY = """
    while time.process_time() < 1.2:
        end = time.process_time() + 0.15
        while time.process_time() < end:
            pass
        await asyncio.sleep(0)
    print("fine")
"""


def test_a_process_that_was_stopped_was_not_blocked() -> None:
    """SIGSTOP, a suspended laptop, a frozen cgroup: the watchdog did not run either.

    The loop is busy, never for long, and still is when the process goes on: its next beat is not what comes first.
    """
    with agent(BUSY, dump=8, leave=9) as process:  # far above what a busy machine makes of a slice of work
        process.send_signal(signal.SIGSTOP)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGCONT)
        out, told = process.communicate(timeout=20)
    assert (process.returncode, out, told) == (0, "fine\n", "")


def test_the_lag_that_is_shown_is_the_worst_of_the_last_fifteen_seconds() -> None:
    async def work() -> list[float]:
        pulse = Pulse()
        pulse.start()
        try:
            seen = [pulse.lag_seconds]
            await asyncio.sleep(1)
            virtual_loop().block(3)
            for seconds in (0.5, 13, 3):
                await asyncio.sleep(seconds)
                seen.append(round(pulse.lag_seconds, 2))
        finally:
            pulse.stop()
        return seen

    assert run_virtual(work) == [0.0, 2.9, 2.9, 0.0]


@asynccontextmanager
async def blocked(seconds: float) -> AsyncIterator[Pulse]:
    """A pulse whose loop was blocked once, from 1 s on, and has beaten again since."""
    pulse = Pulse()
    pulse.start()
    try:
        await asyncio.sleep(1)
        virtual_loop().block(seconds)
        await asyncio.sleep(0.1)
        yield pulse
    finally:
        pulse.stop()


def test_how_long_it_stood_still_counts_for_what_began_before_its_end() -> None:
    async def work() -> list[float]:
        async with blocked(2) as pulse:
            return [round(pulse.late_since(moment), 2) for moment in (0.5, 1.0, 2.9, 3.05)]

    assert run_virtual(work) == [1.9, 1.9, 1.9, 0.0]


@pytest.mark.parametrize(("block", "impaired"), [(0.3, False), (0.55, False), (0.65, True), (5, True)])
def test_for_two_seconds_after_a_stall_of_half_a_second_the_agent_is_impaired(block: float, impaired: bool) -> None:
    async def work() -> tuple[bool, bool, bool]:
        async with blocked(block) as pulse:
            end = 1 + block
            return pulse.impaired(end), pulse.impaired(end + 1.99), pulse.impaired(end + 2.2)

    assert run_virtual(work) == (impaired, impaired, False)


@pytest.mark.parametrize(
    ("block", "timeout", "timed_out", "doubt"),
    [
        (0.65, 1.0, False, True),
        (0.55, 1.0, False, False),  # it answered, and the agent was not long away
        (0.4, 1.0, True, True),  # a quarter of its time was not its own
        (0.3, 1.0, True, False),
        (0.4, 5.0, True, False),
        (0.65, 60.0, True, True),  # never more patient than with an answer
        (0.2, 0.1, True, True),
        (0.1, 0.1, True, False),  # a beat's own length is no doubt
    ],
)
def test_a_failure_is_in_doubt_when_the_agent_stood_still_during_the_round(
    block: float, timeout: float, timed_out: bool, doubt: bool
) -> None:
    async def work() -> tuple[bool, bool]:
        async with blocked(block) as pulse:
            began = bool(pulse.doubt(0.95, timeout, timed_out=timed_out))
            return began, bool(pulse.doubt(virtual_loop().time(), timeout, timed_out=timed_out))

    assert run_virtual(work) == (doubt, False), "and what began after it is not"


def test_for_ten_seconds_after_it_ran_out_of_descriptors_the_agent_is_impaired(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pulse = Pulse()
    assert not pulse.impaired(100.0)
    for moment in (100.0, 105.0, 200.0):
        pulse.exhausted(moment)
    assert [pulse.impaired(moment) for moment in (200.0, 209.9, 210.1)] == [True, True, False]
    assert "descriptors" in pulse.doubt(205.0, 1.0, timed_out=False)
    assert pulse.doubt(211.0, 1.0, timed_out=False) == ""
    assert [record.getMessage() for record in caplog.records] == ["agent.impaired"] * 2, "each time once"


def test_a_stopped_pulse_leaves_no_thread_and_no_timer() -> None:
    async def work() -> None:
        pulse = Pulse(dump_after=0.05)
        pulse.start()
        pulse.stop()

    asyncio.run(work())
    for thread in threading.enumerate():
        if thread.name == "watchdog":
            thread.join(2)
    assert not [thread for thread in threading.enumerate() if thread.name == "watchdog"]
