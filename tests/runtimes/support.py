"""What tests with real processes share: waiting for a fact, and reading facts off /proc."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


async def until(fact: Callable[[], object], seconds: float = 5) -> None:
    """Wait until ``fact`` is true; TimeoutError if that takes longer than ``seconds``."""
    async with asyncio.timeout(seconds):
        while not fact():  # noqa: ASYNC110 - other processes' facts send no event
            await asyncio.sleep(0.005)


async def line_of(path: Path) -> str:
    """The line that a process writes to ``path``, once it is complete."""
    await until(lambda: path.exists() and path.read_text().endswith("\n"))
    return text_of(path)


def text_of(path: Path) -> str:
    return path.read_text().strip()


async def ended(pid: int) -> None:
    """Wait until this process's child ``pid`` is a zombie, and leave it one."""
    await asyncio.to_thread(os.waitid, os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def alive(pid: int) -> bool:
    """Whether ``pid`` is there and no zombie."""
    return _state_and_parent(pid)[0] not in "ZX"


def zombies() -> list[int]:
    """Children of this process that wait to be reaped."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if _state_and_parent(pid) == ("Z", str(os.getpid()))]


def descriptors() -> int:
    """How many file descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def _state_and_parent(pid: int) -> tuple[str, str]:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "X", ""
    state, parent = stat.rpartition(")")[2].split()[:2]
    return state, parent


def isolated(*wrapper: str, body: str) -> subprocess.CompletedProcess[str]:
    """Runs an agent of its own behind ``wrapper`` (unshare, setpriv), or skips where that is not possible."""
    if subprocess.run([*wrapper, sys.executable, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip(f"{wrapper[0]} is not permitted here, or may not run {sys.executable} (as one below /root)")
    argv = [*wrapper, sys.executable, "-W", "error", "-c", f"import asyncio\n{body}"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
