"""What survives the agent's own restart: budgets, holds and `started`, in one small file written atomically.

Times are kept on CLOCK_BOOTTIME with the boot's id, so that they mean the same to the next process; after a reboot they
are moved by the wall clock, which is the only clock that both boots share.
"""

import asyncio
import contextlib
import logging
import os
import time
from pathlib import Path
from typing import Final

import msgspec

VERSION: Final = 1
MAX_BYTES: Final = 1 << 20

log = logging.getLogger(__name__)


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A kill that was under way: since when, why, and what was done when."""

    since: float
    check: str
    reason: str
    action: str
    acted_at: float | None = None  # None: the action was still to come or running


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
        self._writing = asyncio.Lock()
        self._failed = ""
        self._saving: set[asyncio.Task[None]] = set()

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
        except (msgspec.DecodeError, RecursionError) as problem:
            self._set_aside(str(problem))
            return {}
        shift = _shift(document)
        return {name: _moved(memory, shift) for name, memory in document.containers.items()}

    async def save(self, containers: dict[str, Memory]) -> None:
        """Write it all, atomically and off the loop. A full disk is told once, and does not stop anything."""
        if self.path is None:
            return
        shift = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
        document = _Document(
            version=VERSION,
            boot_id=_boot_id(),
            boottime=time.clock_gettime(time.CLOCK_BOOTTIME),
            unix=time.time(),
            containers={name: _moved(memory, shift) for name, memory in containers.items()},
        )
        saving = asyncio.create_task(self._put(self.path, msgspec.json.encode(document)))
        self._saving.add(saving)
        saving.add_done_callback(self._saving.discard)
        await asyncio.shield(saving)  # whoever is cancelled here leaves its thread writing: the next save waits for it

    async def _put(self, path: Path, content: bytes) -> None:
        async with self._writing:
            try:
                await asyncio.to_thread(_write, path, content)
            except OSError as problem:
                if self._failed != str(problem):
                    self._failed = str(problem)
                    log.error("state.unwritable", extra={"file": str(path), "detail": str(problem)})  # noqa: TRY400 - its errno says it all
            else:
                self._failed = ""

    def _set_aside(self, problem: str) -> None:
        assert self.path is not None  # noqa: S101 - load() returned before
        aside = self.path.with_name(self.path.name + ".broken")
        with contextlib.suppress(OSError):
            self.path.replace(aside)
        log.warning("state.broken", extra={"file": str(self.path), "set_aside": str(aside), "detail": problem})


def _write(path: Path, content: bytes) -> None:
    beside = path.with_name(
        f".{path.name}.new"
    )  # always the same: what a crash leaves is written over by the next save
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


def _moved(memory: Memory, shift: float) -> Memory:
    def move(moment: float | None) -> float | None:
        return None if moment is None else moment + shift

    hold = memory.hold
    if hold is not None:
        hold = msgspec.structs.replace(hold, since=hold.since + shift, acted_at=move(hold.acted_at))
    return msgspec.structs.replace(
        memory,
        spent=tuple(t + shift for t in memory.spent),
        given_up_at=move(memory.given_up_at),
        backoff_since=move(memory.backoff_since),
        hold=hold,
    )


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
