"""The agent's side of the process that reads NVML: one for all checks, started early, killed where it hangs."""

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

import msgspec

from agent.core.gpu import LOST, Event, Reading
from agent.runtimes.command import watched

CHILD: Final = Path(__file__).with_name("nvml_child.py")
EVENTS: Final = 1000  # kept
STUCK_SECONDS: Final = 60.0  # longer than the driver's own time-outs: whatever hangs for so long is started anew
AGAIN_SECONDS: Final = 5.0  # between two starts, where NVML has worked before
ABSENT_SECONDS: Final = 60.0  # and where it never has
_CHUNK: Final = 65536
_LONGEST: Final = 1 << 20
_GONE: Final = 28  # NVML's GPU_NOT_FOUND


class Look(msgspec.Struct, frozen=True):
    """What one look found. ``absent`` says why there is nothing to see, and "" that there is."""

    readings: tuple[Reading, ...] = ()
    events: tuple[Event, ...] = ()
    absent: str = ""
    buses: Mapping[str, str] = {}  # UUID to PCI bus id, of every GPU ever seen
    listening: bool = False


class Nvml:
    """The process, and what it has told. It belongs to one event loop and is shared by all checks there."""

    def __init__(self, *, stuck_seconds: float = STUCK_SECONDS, again_seconds: float = AGAIN_SECONDS) -> None:
        self.users = 0
        self.stuck_seconds, self.again_seconds = stuck_seconds, again_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._exited: asyncio.Future[int | None] | None = None
        self._started_at = -ABSENT_SECONDS
        self._held = bytearray()
        self._hello: asyncio.Future[None] | None = None
        self._failed: tuple[int, str] | None = None
        self._listening = False
        self._present: tuple[str, ...] = ()
        self._buses: dict[str, str] = {}
        self._unreadable: set[str] = set()
        self._events: deque[Event] = deque(maxlen=EVENTS)
        self._numbers = 0  # of events
        self._asked = 0
        self._asked_at = 0.0
        self._answer: asyncio.Future[tuple[Reading, ...]] | None = None

    # -- whoever needs it ------------------------------------------------------------------------------------------

    def acquire(self) -> None:
        """It is needed from now on: events before its start are lost."""
        self.users += 1
        with suppress(OSError):  # told when somebody looks
            self._ensure()

    def release(self) -> None:
        self.users -= 1
        if not self.users:
            self._stop()

    async def look(self) -> Look:
        """Ask every GPU. Whoever is cancelled meanwhile leaves the question to the next. Raises OSError."""
        self._ensure()
        if self._hello is not None:
            await asyncio.shield(self._hello)
        if self._failed is not None:
            return self._after_failure(*self._failed)
        if self._answer is None:
            self._ask()
        assert self._answer is not None  # noqa: S101 - it was just asked
        readings = await asyncio.shield(self._answer)
        return Look((*readings, *self._missing()), tuple(self._events), "", self._buses, self._listening)

    def _after_failure(self, code: int, why: str) -> Look:
        if not self._buses:
            return Look(absent=why)
        lost = code if code in LOST else _GONE
        readings = tuple(Reading(gpu, error=lost) for gpu in self._buses)
        return Look(readings, tuple(self._events), "", self._buses)

    def _missing(self) -> list[Reading]:
        """GPUs that were there and are no longer found."""
        return [Reading(gpu, error=_GONE) for gpu in self._buses if gpu not in self._present]

    # -- the process -----------------------------------------------------------------------------------------------

    def _ensure(self) -> None:
        """A process that answers, or one that is starting. Raises OSError while a killed one does not end."""
        now = asyncio.get_running_loop().time()
        if self._answer is not None and now - self._asked_at >= self.stuck_seconds:
            self._stop()
        failing = self._failed is not None or bool(self._unreadable)
        pause = self.again_seconds if self._buses and self._failed is not None else ABSENT_SECONDS
        if self._process is not None and failing and now - self._started_at >= pause:
            self._stop()  # another start may find them again
        if self._process is None and self._exited is not None and not self._exited.done():
            raise OSError(errno.EBUSY, "the NVML process was killed and does not end: it hangs in the driver")
        if self._process is None and now - self._started_at >= (0.0 if self._failed is None else pause):
            self._start(now)

    def _start(self, now: float) -> None:
        loop = asyncio.get_running_loop()
        process = subprocess.Popen(
            [sys.executable, "-I", str(CHILD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, bufsize=0, start_new_session=True,
        )  # fmt: skip
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        os.set_blocking(process.stdout.fileno(), False)
        self._process, self._started_at = process, now
        self._held.clear()
        self._failed, self._listening, self._unreadable = None, False, set()
        self._hello = loop.create_future()
        self._exited = watched(process)
        loop.add_reader(process.stdout, self._take, process)

    def _ask(self) -> None:
        process, loop = self._process, asyncio.get_running_loop()
        if process is None or process.stdin is None:
            raise ChildProcessError(errno.ECHILD, "the NVML process has ended")
        self._asked += 1
        self._asked_at = loop.time()
        self._answer = loop.create_future()
        self._answer.add_done_callback(_retrieve)
        try:
            process.stdin.write(b"%d\n" % self._asked)
        except OSError as problem:
            self._stop()
            raise ChildProcessError(errno.ECHILD, "the NVML process has ended") from problem

    def _take(self, process: "subprocess.Popen[bytes]") -> None:
        """What the process says, a line at a time; the end of it is its own end."""
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        chunk = process.stdout.read(_CHUNK)
        if chunk is None:
            return
        self._held += chunk
        *lines, rest = self._held.split(b"\n")
        self._held = bytearray(rest)
        try:
            for line in lines:
                self._hear(json.loads(line))
        except (ValueError, TypeError, LookupError, AttributeError, msgspec.MsgspecError):
            chunk = b""  # not our child any more, whatever it is
        if process is self._process and (not chunk or len(self._held) > _LONGEST):
            self._stop()

    def _hear(self, told: dict[str, Any]) -> None:
        now = asyncio.get_running_loop().time()
        if "xid" in told:
            self._numbers += 1
            self._events.append(Event(self._numbers, str(told["gpu"]), int(told["xid"]), now))
        elif "look" in told:
            if told["look"] == self._asked and self._answer is not None:
                readings = tuple(msgspec.convert(one, Reading) for one in told["gpus"])
                self._note(readings)
                self._answer.set_result(readings)
                self._answer = None
        elif "failed" in told:
            self._failed = (int(told["failed"]), str(told["why"]))
            self._greet()
        elif "gpus" in told:
            found = {str(gpu): str(bus) for gpu, bus in told["gpus"]}
            self._buses |= found
            self._present, self._listening = tuple(found), bool(told["events"])
            self._greet()
        else:
            self._listening = bool(told["events"])

    def _note(self, readings: tuple[Reading, ...]) -> None:
        """A GPU that is back after it was lost has been reset or replaced: its old events are over."""
        lost = {one.gpu for one in readings if one.error is not None}
        back = self._unreadable - lost
        if back:
            self._events = deque((event for event in self._events if event.gpu not in back), EVENTS)
        self._unreadable = lost

    def _greet(self) -> None:
        if self._hello is not None and not self._hello.done():
            self._hello.set_result(None)
        self._hello = None

    def _stop(self) -> None:
        """Kill it, unless it has ended by itself; whoever waits for it is told. It is reaped as soon as it ends."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdout is not None  # noqa: S101 - both are pipes
        assert process.stdin is not None  # noqa: S101
        asyncio.get_running_loop().remove_reader(process.stdout)
        process.stdout.close()
        with suppress(OSError):
            process.stdin.close()
        if self._exited is not None and not self._exited.done():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(ChildProcessError(errno.ECHILD, "the NVML process has ended"))
        if self._hello is not None and self._failed is None:
            self._failed = (-1, "the NVML process ended before it said anything")
        self._greet()

    async def ended(self) -> None:
        """Wait for a process that was stopped, a second at most."""
        if self._exited is not None:
            await asyncio.wait([self._exited], timeout=1.0)


def _retrieve(answer: "asyncio.Future[Any]") -> None:
    """Nobody may be waiting for it any more: that is no reason for a warning."""
    if not answer.cancelled():
        answer.exception()


_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Nvml] = WeakKeyDictionary()


def shared() -> Nvml:
    """The one of the running event loop."""
    return _by_loop.setdefault(asyncio.get_running_loop(), Nvml())


@asynccontextmanager
async def used() -> AsyncIterator[Nvml]:
    """The shared one, for as long as it is needed; without another user its process ends with it."""
    nvml = shared()
    nvml.acquire()
    try:
        yield nvml
    finally:
        nvml.release()
        if not nvml.users:
            await nvml.ended()
