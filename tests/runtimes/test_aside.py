"""Work that hangs in the kernel costs a thread or four, and neither the loop nor the agent's exit."""

import asyncio
import subprocess
import sys
import threading

import pytest

from agent.runtimes.aside import aside


async def test_the_result_comes_back() -> None:
    assert await aside("test", lambda: 42) == 42


async def test_an_exception_comes_back() -> None:
    with pytest.raises(FileNotFoundError):
        await aside("test", lambda: open("/no/such/file"))  # noqa: SIM115, PTH123 - it fails


async def test_while_four_of_a_kind_hang_a_fifth_is_refused_and_others_are_not() -> None:
    release = threading.Event()
    hanging = [asyncio.create_task(aside("hang", release.wait)) for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError, match="hangs in the kernel"):
        await aside("hang", lambda: None)
    assert await aside("other", lambda: 1) == 1
    release.set()
    assert await asyncio.gather(*hanging) == [True] * 4
    assert await aside("hang", lambda: 2) == 2


async def test_a_cancelled_wait_leaves_the_work_to_end_by_itself() -> None:
    release = threading.Event()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await aside("cancelled", release.wait)
    release.set()
    assert await aside("cancelled", lambda: 1) == 1


def test_hanging_work_does_not_keep_the_agent_from_leaving() -> None:
    body = """
import asyncio, threading
from agent.runtimes.aside import aside
async def main():
    asyncio.create_task(aside("hang", threading.Event().wait))
    await asyncio.sleep(0.05)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", body], timeout=10, capture_output=True, check=True)
    assert done.stderr == b""
