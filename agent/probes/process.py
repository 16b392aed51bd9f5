"""The process check: the server's process and its workers, as /proc shows them."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import Meta

from agent.core.model import EXHAUSTED, Result, Target, error, failure, success, warning
from agent.core.settings import Port, Seconds
from agent.runtimes import proc
from agent.runtimes.aside import aside
from agent.runtimes.processes import Process

_STOPPED: Final = "T"  # by a signal; a debugger's "t" is one's own doing, and so is the look of py-spy
_Text = Annotated[str, Meta(min_length=1)]


class ProcessCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Fails where the server's process is gone, a zombie or stopped, or workers of it are missing.

    Exactly one of command_contains, pid_file and port says which process it is. Needs a shared pid namespace, or both
    in one container. Nothing is asked of the server.
    """

    command_contains: Annotated[
        _Text | None,
        Meta(description="text of its command line; of several the oldest, the master of its workers"),
    ] = None
    pid_file: Annotated[_Text | None, Meta(description="file whose first word is its process id")] = None
    listens_on: Annotated[Port | None, Meta(description="TCP port that it listens on")] = msgspec.field(
        default=None, name="port"
    )
    stopped_after_seconds: Annotated[
        Seconds, Meta(description="it, or a process below it, may be stopped (SIGSTOP) for so long")
    ] = 10.0
    workers: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="so many children at least; null: none are expected")
    ] = None
    max_rss_bytes: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="resident memory of it and all below it, shared pages counted for each; null: no limit"),
    ] = None
    max_fds_fraction: Annotated[
        Annotated[float, Meta(gt=0, le=1)] | None,
        Meta(description="of the file descriptors that it, or a process below it, may open; null: no limit"),
    ] = None

    default_failure_threshold: ClassVar[int] = 1  # what /proc says is not late, nor lost on the way
    dials: ClassVar[bool] = False  # its port is where the server listens, not where the check connects

    def check_options(self) -> list[tuple[str, str]]:
        return self._finder.check_options()

    @property
    def _finder(self) -> Process:
        return Process(command_contains=self.command_contains, pid_file=self.pid_file, port=self.listens_on)

    async def probe(self, target: Target) -> Result:
        target.in_runtime = True  # a read of /proc that hangs says nothing of the server
        try:
            found = await self._finder.found()
            if found is None:
                return failure("gone", "no such process, or only its zombie")
            family = await aside(("family", found.pid), partial(_family, found))
            return await aside(("process", found.pid), partial(self._judge, family, self._stopped(target, family)))
        except OSError as problem:
            if problem.errno in EXHAUSTED:
                raise
            return error("runtime", problem.strerror or str(problem))

    def _stopped(self, target: Target, family: Sequence[proc.Seen]) -> proc.Seen | None:
        """Who has been stopped for too long; since when each one is, is remembered of the instance."""
        now = asyncio.get_running_loop().time()
        key = f"stopped {target.check}"
        before: dict[tuple[int, int], float] = target.seen.get(key, {})
        stopped = {one.age_key: one for one in family if one.state == _STOPPED}
        target.seen[key] = since = {one: before.get(one, now) for one in stopped}
        return next((one for key, one in stopped.items() if now - since[key] >= self.stopped_after_seconds), None)

    def _judge(self, family: Sequence[proc.Seen], stopped: proc.Seen | None) -> Result:
        """``family`` is the server and all below it. Blocks: reads /proc."""
        server = family[0]
        children = sum(one.parent == server.pid for one in family)
        if stopped is not None:
            return failure("stopped", f"process {stopped.pid} ({stopped.name}) is stopped")
        if self.workers is not None and children < self.workers:
            return failure("gone", f"{children} of {self.workers} workers below process {server.pid}")
        if self.max_rss_bytes is not None:
            resident = sum(proc.resident_bytes(one.pid) for one in family)
            if resident > self.max_rss_bytes:
                return failure("expectation", f"max_rss_bytes: {resident} bytes are resident")
        if self.max_fds_fraction is not None:
            counts = [proc.descriptors(one.pid) for one in family]
            if counts[0] is None:
                return warning(
                    "unsupported", "max_fds_fraction: the agent may not see its descriptors; run both as the same user"
                )
            used, allowed = max(filter(None, counts), key=lambda count: count[0] / max(1, count[1]))
            if used > self.max_fds_fraction * allowed:
                return failure("expectation", f"max_fds_fraction: {used} of {allowed} file descriptors are open")
        return success(f"process {server.pid} with {children} children")


def _family(server: proc.Seen) -> list[proc.Seen]:
    """The server and every process below it, as they are now."""
    people = proc.everyone()
    return [people.get(server.pid, server), *proc.descendants(server.pid, people.values())]
