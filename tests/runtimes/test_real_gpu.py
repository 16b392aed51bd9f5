"""The real NVML, where there is a GPU: what it reads, a real XID error, and a process that is killed."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.core.gpu import Memory, actions, judge
from agent.runtimes.nvml import Look, Nvml

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not Path("/dev/nvidiactl").exists(), reason="there is no NVIDIA GPU here (/dev/nvidiactl): run it on one"
    ),
]

ILLEGAL_WRITE = Path(__file__).with_name("illegal_write.py")


@pytest.fixture
async def nvml() -> AsyncIterator[Nvml]:
    found = Nvml()
    found.acquire()
    yield found
    found.release()
    await found.ended()


async def test_a_gpu_that_is_well_tells_a_recovery_action_and_listens(nvml: Nvml) -> None:
    found = await nvml.look()
    assert found.absent == ""
    assert found.listening
    assert found.readings
    assert {one.error for one in found.readings} == {None}
    assert found.buses.keys() == {one.gpu for one in found.readings}
    assert actions(judge(Memory(), found.readings, found.events, 0.0)) == {}


async def test_an_illegal_write_of_another_process_is_heard_and_calls_for_no_reset(nvml: Nvml) -> None:
    await nvml.look()
    subprocess.run([sys.executable, ILLEGAL_WRITE], check=True, timeout=120)  # noqa: ASYNC221 - its end is waited for
    found = await heard(nvml)
    assert {event.xid for event in found.events} & {13, 31}
    assert {event.gpu for event in found.events} <= found.buses.keys()
    now = asyncio.get_running_loop().time()
    findings = judge(Memory(), found.readings, found.events, now)
    assert "process" in {finding.kind for finding in findings}
    assert actions(findings) == {}


async def heard(nvml: Nvml) -> Look:
    async with asyncio.timeout(20):
        while not (found := await nvml.look()).events:  # noqa: ASYNC110 - it must be asked
            await asyncio.sleep(0.2)
    return found


async def test_a_killed_process_is_replaced(nvml: Nvml) -> None:
    await nvml.look()
    assert nvml._process is not None
    os.kill(nvml._process.pid, signal.SIGKILL)
    async with asyncio.timeout(30):
        while True:
            try:
                found = await nvml.look()
            except OSError:
                await asyncio.sleep(0.1)
            else:
                break
    assert {one.error for one in found.readings} == {None}
