"""A command of the agent's own: run in its own session, judged by its exit, and reaped whole, left-behind children too.

Exec checks, exec actions and hooks all run their commands here. It stands beside the runtimes because it is about
processes, and it is the one module of this folder that probes/ and actions/ may import.
"""

import asyncio
import errno
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Final

import msgspec

CAP: Final = 10240
"""Bytes of output that are kept, as the kubelet keeps them (probe-semantics 2.3); the rest is read and dropped."""

_CHUNK: Final = 65536
_REAP_SECONDS: Final = 2.0
_REAP_STEP_SECONDS: Final = 0.005
_REAP_TRIES: Final = int(_REAP_SECONDS / _REAP_STEP_SECONDS)
_sessions: Final[set[int]] = set()


class Finished(msgspec.Struct, frozen=True):
    """How a command ended: ``returncode`` is negative for a signal, as in `subprocess`; ``output`` of both streams."""

    returncode: int
    output: bytes

    def tail(self, limit: int = 500) -> str:
        """The last characters of the output, for a message."""
        text = self.output.decode(errors="replace").strip()
        return text if len(text) <= limit else "..." + text[-limit:]


def problems_of(argv: Sequence[str]) -> list[tuple[str, str]]:
    """What configuration has to say of a command: the path of a word below its options, and what is wrong with it."""
    found = [
        (f"command[{index}]", "a NUL character cannot be part of a command")
        for index, word in enumerate(argv)
        if "\0" in word
    ]
    if argv and not argv[0]:
        found.append(("command[0]", "is empty; name the program to run"))
    return found


def sessions() -> frozenset[int]:
    """The sessions of the commands that run now: whoever looks for the server passes them over."""
    return frozenset(_sessions)


async def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    cap: int = CAP,
    leave: bool = False,
) -> Finished:
    """Run ``argv`` without a shell; ``env`` is laid over the agent's own environment.

    The main process's exit ends it, whoever still holds the pipe; what is left of its process group is killed then, or
    with ``leave`` let alone: a restart script may have started the server. Cancelling kills the group and returns once
    it is gone, or after two seconds: a process in uninterruptible sleep is reaped whenever it ends. Raises OSError
    where the command can't be spawned or its exit status is lost, ValueError where an argument holds a NUL byte.
    """
    with _pipe() as (output, output_end), _pipe() as (document, document_end):
        # On the loop on purpose: vfork keeps the GIL until the exec, so a thread would not free the loop, and a pool
        # of threads that slow name look-ups have filled would make the command late.
        process = subprocess.Popen(  # noqa: ASYNC220 - see above
            argv,
            stdin=document,
            stdout=output_end,
            stderr=subprocess.STDOUT,
            env=None if env is None else {**os.environ, **env},
            start_new_session=True,
        )
        exited = _watch(process, leave)
        try:
            document.close()
            output_end.close()
            with _kept(output, cap) as kept, _fed(document_end, stdin):
                status = await asyncio.shield(exited)
        finally:
            if not exited.done():
                _kill_group(process.pid)
                await asyncio.wait([exited], timeout=_REAP_SECONDS)
        if leave:
            _read_on(output)
    if status is None:
        raise ChildProcessError(errno.ECHILD, "exit status lost: the agent was started with SIGCHLD ignored")
    return Finished(status, bytes(kept))


def watched(process: "subprocess.Popen[bytes]") -> "asyncio.Future[int | None]":
    """For a process that lives on, the leader of a session of its own: reaped when it ends, whoever still waits.

    What looks for the server passes its session over meanwhile.
    """
    return _watch(process, leave=False)


@contextmanager
def _pipe() -> Iterator[tuple[FileIO, FileIO]]:
    reading, writing = os.pipe()
    with FileIO(reading, "rb") as source, FileIO(writing, "wb") as sink:
        yield source, sink


@contextmanager
def _kept(source: FileIO, cap: int) -> Iterator[bytearray]:
    """The first ``cap`` bytes that come; the rest is read and dropped, so that the writer never blocks."""
    loop = asyncio.get_running_loop()
    kept = bytearray()

    def take() -> bool:
        chunk = source.read(_CHUNK)
        if chunk == b"":
            loop.remove_reader(source)
        if chunk:
            kept.extend(chunk[: cap - len(kept)])
        return bool(chunk)

    os.set_blocking(source.fileno(), False)
    loop.add_reader(source, take)
    try:
        yield kept
        while len(kept) < cap and take():  # what the exit overtook; an escaped writer can't keep us here
            pass
    finally:
        loop.remove_reader(source)


@contextmanager
def _fed(sink: FileIO, document: bytes) -> Iterator[None]:
    """Writes ``document`` as the command reads it, then ends its standard input."""
    loop = asyncio.get_running_loop()
    rest = memoryview(document)

    def feed() -> None:
        nonlocal rest
        try:
            rest = rest[sink.write(rest) or 0 :]
        except BrokenPipeError:  # it does not want to know
            rest = rest[:0]
        if not rest:
            loop.remove_writer(sink)
            sink.close()

    os.set_blocking(sink.fileno(), False)
    loop.add_writer(sink, feed)
    try:
        feed()
        yield
    finally:
        if not sink.closed:
            loop.remove_writer(sink)


def _read_on(source: FileIO) -> None:
    """Read and drop the output of what was left running, which must not die of a closed pipe while the agent lives."""
    loop = asyncio.get_running_loop()
    file = os.dup(source.fileno())

    def ended() -> bool:
        try:
            return not os.read(file, _CHUNK)
        except BlockingIOError:
            return False

    def drop() -> None:
        if ended():
            loop.remove_reader(file)
            os.close(file)

    if ended():
        os.close(file)
    else:
        loop.add_reader(file, drop)


def _watch(process: "subprocess.Popen[bytes]", leave: bool) -> "asyncio.Future[int | None]":
    """Resolves once ``process`` and, unless it may ``leave`` some, its group are reaped; None where its status is lost.

    Independent of the task that waits for it, so that a cancelled task leaves no zombie.
    """
    loop = asyncio.get_running_loop()
    exited: asyncio.Future[int | None] = loop.create_future()

    def on_exit() -> None:
        if not leave:
            _kill_group(process.pid)  # before the leader is reaped: until then no one else can get the group's number
        status = _status(process)
        _reap_adopted()
        if leave:
            _sessions.discard(process.pid)
            exited.set_result(status)
        else:
            _forget(process.pid)
            _reap_left_behind(process.pid, lambda: exited.set_result(status))

    _sessions.add(process.pid)
    try:
        _call_by_pidfd(process.pid, on_exit)
    except (OSError, AttributeError):  # before Linux 5.3, an old seccomp profile, or a Python built without it
        try:
            _call_by_thread(process.pid, on_exit)
        except RuntimeError as error:
            _kill_group(process.pid)
            process.wait()
            _sessions.discard(process.pid)
            raise BlockingIOError(errno.EAGAIN, f"cannot watch a command: {error}") from error
    return exited


def _call_by_pidfd(pid: int, on_exit: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    pidfd = os.pidfd_open(pid)

    def readable() -> None:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        on_exit()

    try:
        loop.add_reader(pidfd, readable)
    except OSError:
        os.close(pidfd)
        raise


def _call_by_thread(pid: int, on_exit: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()

    def wait() -> None:
        with suppress(ChildProcessError):
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        with suppress(RuntimeError):  # the loop is closed: the agent is leaving
            loop.call_soon_threadsafe(on_exit)

    threading.Thread(target=wait, name=f"command {pid}", daemon=True).start()


def _status(process: "subprocess.Popen[bytes]") -> int | None:
    try:
        found = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    except ChildProcessError:  # where SIGCHLD is ignored, `Popen.wait` would make a success of it
        found = None
    process.wait()
    if found is None:
        return None
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status


def _forget(session: int, tries: int = _REAP_TRIES) -> None:
    """Its killed group may take a moment to die, and must not be taken for a server meanwhile; nobody waits for it."""
    try:
        os.killpg(session, 0)
    except ProcessLookupError:
        tries = 0
    except PermissionError:
        pass
    if tries:
        asyncio.get_running_loop().call_later(_REAP_STEP_SECONDS, _forget, session, tries - 1)
    else:
        _sessions.discard(session)


def _reap_left_behind(group: int, then: Callable[[], None], tries: int = _REAP_TRIES) -> None:
    """Reap the killed group's orphans, which are the agent's own children where it is PID 1 or a subreaper."""
    try:
        while os.waitid(os.P_PGID, group, os.WEXITED | os.WNOHANG):
            pass
    except ChildProcessError:
        tries = 0
    if tries:
        loop = asyncio.get_running_loop()
        loop.call_later(_REAP_STEP_SECONDS, _reap_left_behind, group, then, tries - 1)
    else:
        then()


def _reap_adopted() -> None:
    """As PID 1 the agent inherits every orphan of its pid namespace: reap those that have died."""
    if os.getpid() != 1:
        return
    with suppress(FileNotFoundError):  # a kernel without CONFIG_PROC_CHILDREN
        for pid in map(int, Path("/proc/1/task/1/children").read_text(encoding="ascii").split()):
            if pid not in _sessions:
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # gone, or all of it under another user
        os.killpg(group, signal.SIGKILL)
