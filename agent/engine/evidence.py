"""What is kept of an instance before it is ended: one folder a restart, bounded in time, size and number, redacted.

Gathering never fails a restart and never delays it by more than `evidence_seconds`: what is not there by then is noted
as missing, and whoever still reads a file that hangs does so on a thread of its own.
"""

import asyncio
import logging
import re
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from agent.actions import Order
from agent.core.remembered import measured, sayings
from agent.core.settings import Container as Spec
from agent.runtimes import autopsy, command
from agent.runtimes.aside import aside
from agent.runtimes.processes import Process

if TYPE_CHECKING:
    from agent.engine.guard import Guard

MOST_FOLDERS: Final = 20  # of one container; the oldest go
MAX_FILE_BYTES: Final = 256 * 1024
MAX_BYTES: Final = 64 << 20  # of all folders of one container
WRITING_SHARE: Final = 0.2  # of the time, kept for the disk
PY_SPY: Final = ("py-spy", "dump", "--nonblocking", "--pid")

log = logging.getLogger(__name__)


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """What is known when evidence is gathered; ``order`` is the restart's document (contract 5)."""

    spec: Spec
    order: Mapping[str, str]
    status: Callable[[], Any]  # what /status says of the container, in full
    history: Callable[[], Any]  # the last results of every check
    sayings: Callable[[], Any] = dict  # what its checks say of it as a whole
    measured: Callable[[], Mapping[str, Any]] = dict  # the last scrapes and readings, by the file that each fills
    pid: int | None = None  # of the server, where the runtime knows it


class Vault:
    """One container's folder of evidence; ``redact`` is applied to every text that goes there."""

    def __init__(self, folder: str, redact: Callable[[str], str]) -> None:
        self.folder = Path(folder)
        self.redact = redact
        self._where: Path | None = None

    async def gather(self, scene: Scene, seconds: float) -> str:
        """The new folder's path once it holds what could be had within ``seconds``; "" where nothing could be kept."""
        self._where = None
        try:
            async with asyncio.timeout(seconds):
                await self._gather(scene, seconds)
        except (OSError, ValueError) as problem:  # TimeoutError is one
            text = str(problem) or f"not all of it was there after {seconds:g} s: the disk, or what was asked, hangs"
            log.warning("evidence.missing", extra={"container": scene.spec.name, "detail": self.redact(text)})
        except Exception:
            log.exception("evidence.error", extra={"container": scene.spec.name})
        return "" if self._where is None else str(self._where)

    async def _gather(self, scene: Scene, seconds: float) -> None:
        self._where = where = await aside("evidence", partial(_new_folder, self.folder, scene.spec.name))
        known = {
            "restart.json": scene.order,
            "status.json": scene.status(),
            "history.json": scene.history(),
            "sayings.json": scene.sayings(),
            **scene.measured(),
        }
        await self._keep(where, {name: _as_json(document, self.redact) for name, document in known.items()})
        await self._keep(where, await _within(seconds * (1 - WRITING_SHARE), await _sources(scene)))

    async def _keep(self, where: Path, texts: Mapping[str, str]) -> None:
        redacted = {name: self.redact(text)[:MAX_FILE_BYTES] for name, text in texts.items()}
        await aside("evidence", partial(_write, where, redacted))


async def _sources(scene: Scene) -> dict[str, Awaitable[str]]:
    """What there is to be asked, by the name of the file that it fills."""
    pid = scene.pid or await _visible(scene.spec)
    spy = await aside("evidence", partial(shutil.which, PY_SPY[0])) if pid is not None else None
    found: dict[str, Awaitable[str]] = {}
    tail = getattr(scene.spec.runtime, "log_tail", None)
    if tail is not None:
        found["log.txt"] = tail()
    if pid is not None:
        found |= {f"{name}.txt": aside(("evidence", name), partial(look, pid)) for name, look in autopsy.PARTS.items()}
    if pid is not None and spy is not None:
        found["python-stacks.txt"] = _stacks(spy, pid)
    return found


async def _visible(spec: Spec) -> int | None:
    """The server's process, where no runtime names it and it listens in a pid namespace that the agent shares."""
    if spec.port is None:
        return None
    try:
        async with asyncio.timeout(1.0):
            instance = await Process(port=spec.port).instance()
    except (OSError, TimeoutError):
        return None
    return None if instance is None else instance.pid


async def _stacks(spy: str, pid: int) -> str:
    """The Python stacks of a process that py-spy may read; it does not stop the process for that.

    py-spy begins with the whole command line, where a secret may be: `processes.txt` has it without.
    """
    ended = await command.run((spy, *PY_SPY[1:], str(pid)), cap=MAX_FILE_BYTES)
    told = ended.output.decode(errors="replace")
    _, version, stacks = told.partition("\nPython v")
    return version.lstrip() + stacks if version else f"py-spy had nothing to say (status {ended.returncode})\n"


async def _within(seconds: float, sources: Mapping[str, Awaitable[str]]) -> dict[str, str]:
    """What the sources gave in this time; the others' files say that they did not."""
    tasks = {name: asyncio.ensure_future(source) for name, source in sources.items()}
    if tasks:
        await asyncio.wait(tasks.values(), timeout=seconds)
    found = {}
    for name, task in tasks.items():
        if not task.done():
            task.cancel()
            found[name] = f"(not there after {seconds:g} s)\n"
        else:
            problem = task.exception() if not task.cancelled() else asyncio.CancelledError("given up")
            found[name] = task.result() if problem is None else f"({type(problem).__name__}: {problem})\n"
    return found


def _as_json(document: Any, redact: Callable[[str], str]) -> str:
    """Redacted before it is written: JSON writes some characters of a secret otherwise, and would hide it."""
    plain = _redacted(msgspec.to_builtins(document), redact)
    return msgspec.json.format(msgspec.json.encode(plain), indent=1).decode()


def _redacted(value: Any, redact: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {redact(str(key)): _redacted(child, redact) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(child, redact) for child in value]
    return redact(value) if isinstance(value, str) else value


def _new_folder(base: Path, container: str) -> Path:
    """An empty folder of a name that tells container and time, once the old ones have made room for it."""
    base.mkdir(parents=True, exist_ok=True, mode=0o700)
    _make_room(base, container)
    stamp = datetime.fromtimestamp(time.time(), UTC).strftime("%Y%m%dT%H%M%SZ")
    for number in range(100):
        where = base / (f"{container}-{stamp}" if number == 0 else f"{container}-{stamp}-{number}")
        try:
            where.mkdir(mode=0o700)
        except FileExistsError:
            continue
        return where
    raise FileExistsError(f"{base} holds a hundred folders of this second")


def _make_room(base: Path, container: str) -> None:
    """The oldest folders of this container go, until its newest fit number and size."""
    ours = re.compile(rf"{re.escape(container)}-\d{{8}}T\d{{6}}Z(-\d+)?")
    folders = sorted(
        path for path in base.iterdir() if ours.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
    )
    sizes = [sum(file.stat().st_size for file in path.iterdir()) for path in folders]
    while folders and (len(folders) >= MOST_FOLDERS or sum(sizes) > MAX_BYTES):
        shutil.rmtree(folders.pop(0), ignore_errors=True)
        sizes.pop(0)


def _write(where: Path, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        with (where / name).open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)


async def evidence_of(guard: "Guard", order: Order) -> str:
    """The folder of what can be seen of the guard's instance; "" where its restart block names no place for it."""
    spec, known = guard.container.spec, guard.watch.known
    if spec.restart.evidence_dir is None:
        return ""
    scene = Scene(
        spec=spec,
        order=order.document(),
        status=guard.view,
        history=guard.history,
        sayings=lambda: sayings(guard.container.seen),
        measured=lambda: measured(guard.container.seen),
        pid=known.pid if known else None,
    )
    return await Vault(spec.restart.evidence_dir, guard.redact).gather(scene, spec.restart.evidence_seconds)
