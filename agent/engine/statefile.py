"""What survives the agent's own restart: budgets, holds and `started`, in one small file written atomically.

Times are kept on CLOCK_BOOTTIME with the boot's id, so that they mean the same to the next process; after a reboot they
are moved by the wall clock, which is the only clock that both boots share.
"""

import asyncio
import contextlib
import logging
import os
import time
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from agent.core.spared import Spared
from agent.core.upkeep import Readiness
from agent.core.verdict import Record
from agent.runtimes.aside import aside

VERSION: Final = 1
MAX_BYTES: Final = 4 << 20
KEPT: Final = (100, 20, 5, 0)  # of each container's history, less where all of it together would be too much
DEADLINE_SECONDS: Final = 5.0  # for a read or a write, also on a mount that hangs
KIND: Final = "state file"

log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A kill that was under way: since when, why, and what was done when."""

    since: float
    check: str
    reason: str
    action: str
    acted_at: float | None = None  # None: the action was still to come or running
    left_alone: bool = False  # somebody took it down: no new instance is due


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of one container; times are seconds on the engine's clock once loaded."""

    instance: int = 1
    identity: str = ""  # of the running instance as the runtime tells it; "" where nothing does
    started: bool = False
    spent: tuple[float, ...] = ()
    given_up_at: float | None = None
    backoff_delay: float = 0.0
    backoff_since: float | None = None
    hold: Hold | None = None
    kills: int = 0  # in a row, for escalation
    killed_at: float | None = None
    correlated_since: float | None = None  # when the kill that is wanted was first held back
    maintenance_until: float | None = None
    maintenance_ready: Readiness = "keep"
    maintenance_file: bool = False  # it was there when it was last looked for
    drain_until: float | None = None  # an operator's
    restarts: tuple[Record, ...] = ()  # the history: Unix time
    spared: tuple[Spared, ...] = ()
    another_boot: bool = False  # since it was saved the machine was started anew; never true on disk


class _Document(msgspec.Struct, kw_only=True):
    version: int
    boot_id: str
    boottime: float  # CLOCK_BOOTTIME when it was written, seconds
    unix: float
    containers: dict[str, Memory]


class StateFile:
    """Reads once, then writes the whole of what it is given; without a path it remembers nothing."""

    def __init__(self, path: str | None) -> None:
        self.path = None if path is None else Path(path)
        self._latest: bytes | None = None  # what is still to be written; only the newest matters
        self._saving: asyncio.Task[None] | None = None
        self._trouble = ""

    @property
    def remembers(self) -> bool:
        """Whether the next process will find what was saved last."""
        return self.path is not None and not self._trouble

    async def recall(self) -> dict[str, Memory]:
        """What `load` finds, off the loop and bounded in time: a mount that hangs must not stop the agent's start."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                return await aside(KIND, self.load)
        except OSError as problem:  # TimeoutError is one
            log.warning("state.unreadable", extra={"file": str(self.path), "detail": str(problem) or "it hangs"})
            return {}

    def load(self) -> dict[str, Memory]:
        """What an earlier process left; a foreign or broken file is set aside with a warning. Blocking."""
        if self.path is None:
            return {}
        try:
            with self.path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return {}
        except OSError as problem:
            log.warning("state.unreadable", extra={"file": str(self.path), "detail": str(problem)})
            return {}
        try:
            document = msgspec.json.decode(content, type=_Document)
            if document.version != VERSION:
                raise msgspec.ValidationError(f"version {document.version}, expected {VERSION}")
        except (msgspec.DecodeError, ValueError, RecursionError) as problem:
            self._set_aside(str(problem))
            return {}
        shift = _shift(document)
        same_boot = document.boot_id == _boot_id()
        return {name: _moved(memory, shift, same_boot=same_boot) for name, memory in document.containers.items()}

    async def save(self, containers: dict[str, Memory]) -> None:
        """Have it all written, atomically and off the loop; waits for that, but never for long.

        A full disk, or a mount that hangs, is told once, and does not stop anything.
        """
        if self.path is None:
            return
        boottime = time.clock_gettime(time.CLOCK_BOOTTIME)
        shift = boottime - time.monotonic()
        document = _Document(
            version=VERSION,
            boot_id=_boot_id(),
            boottime=boottime,
            unix=time.time(),
            containers={name: _moved(memory, shift) for name, memory in containers.items()},
        )
        self._latest = _encoded(document)
        if self._saving is None or self._saving.done():
            self._saving = asyncio.create_task(self._write_latest(self.path), name="state file")
        done, _ = await asyncio.wait([self._saving], timeout=DEADLINE_SECONDS)
        if not done:
            self._tell(f"not written within {DEADLINE_SECONDS:g} s: the file system hangs")

    async def _write_latest(self, path: Path) -> None:
        """One write after the other, so that none tears another; whoever waits has the newest written."""
        while self._latest is not None:
            content, self._latest = self._latest, None
            try:
                await aside(KIND, partial(_write, path, content))
            except OSError as problem:
                self._tell(str(problem))
            else:
                self._trouble = ""

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            log.error("state.unwritable", extra={"file": str(self.path), "detail": trouble})

    def _set_aside(self, problem: str) -> None:
        assert self.path is not None  # noqa: S101 - load() returned before
        aside = self.path.with_name(self.path.name + ".broken")
        with contextlib.suppress(OSError):
            self.path.replace(aside)
        log.warning("state.broken", extra={"file": str(self.path), "set_aside": str(aside), "detail": problem})


def _encoded(document: _Document) -> bytes:
    """The file's content: the history of long ago gives way before it grows too long to be read again."""
    content = b""
    for kept in KEPT:
        document.containers = {
            name: msgspec.structs.replace(
                memory, restarts=_last(memory.restarts, kept), spared=_last(memory.spared, kept)
            )
            for name, memory in document.containers.items()
        }
        content = msgspec.json.encode(document)
        if len(content) <= MAX_BYTES // 2:
            break
    return content


def _last(kept: tuple[_T, ...], count: int) -> tuple[_T, ...]:
    return kept[-count:] if count else ()


def _write(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.new")  # always the same: what a crash leaves, the next save writes over
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    with contextlib.suppress(OSError):  # the name itself; some file systems can't, and the content is safe anyway
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _shift(document: _Document) -> float:
    """What to add to the file's times to have them on this process's time.monotonic()."""
    boottime = time.clock_gettime(time.CLOCK_BOOTTIME)
    to_monotonic = time.monotonic() - boottime
    if document.boot_id == _boot_id():
        return to_monotonic
    passed = max(0.0, time.time() - document.unix)
    return to_monotonic + (boottime - passed) - document.boottime


def _moved(memory: Memory, shift: float, *, same_boot: bool = True) -> Memory:
    """The memory with its times moved; the processes of another boot prove nothing about those of this one."""

    def move(moment: float | None) -> float | None:
        return None if moment is None else moment + shift

    hold = memory.hold
    if hold is not None:
        hold = msgspec.structs.replace(hold, since=hold.since + shift, acted_at=move(hold.acted_at))
    return msgspec.structs.replace(
        memory,
        identity=memory.identity if same_boot else "",
        started=memory.started and same_boot,
        another_boot=not same_boot,
        spent=tuple(t + shift for t in memory.spent),
        given_up_at=move(memory.given_up_at),
        backoff_since=move(memory.backoff_since),
        killed_at=move(memory.killed_at),
        correlated_since=move(memory.correlated_since),
        maintenance_until=move(memory.maintenance_until),
        drain_until=move(memory.drain_until),
        hold=hold,
    )


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
