"""What the kernel tells of the container that the agent itself runs in.

Neither the host name nor the files that Docker mounts over /etc/hosts tell: in a shared network namespace
(`network_mode: service:NAME`) both are the other container's. A cgroup's path names the container, but a private cgroup
namespace hides it. The writable layer of the root file system is the container's alone, where the engine tells it.
"""

import errno
import os
import re
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from agent.runtimes import proc
from agent.runtimes.aside import aside

_ID: Final = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_GIVEN: Final = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Of the agent's container; "" where the kernel does not tell."""

    cgroup: str = ""  # the container by its cgroup
    layer: str = ""  # its writable layer
    network: str = ""  # the container that it has its network from: itself, or another one
    command: tuple[str, ...] = ()  # of the process that the container was started with


async def evidence() -> Evidence:
    """Gathered once: none of it changes while the agent lives."""
    return await aside(object(), gather)


@cache
def gather() -> Evidence:
    """Blocking: reads /proc."""
    mounts = _text("/proc/self/mountinfo")
    return Evidence(
        cgroup=cgroup_of(_text("/proc/self/cgroup")),
        layer=layer_of(mounts),
        network=network_of(mounts),
        command=tuple(proc.command_line(_first())),
    )


def ends_with_another() -> bool:
    """Whether the agent lives in another container's pid namespace, and dies with that one's first process. Blocking.

    Whoever was put into its own container's later (docker exec) is as parentless there, but in the same cgroup.
    """
    return _first() != 1 and _text("/proc/1/cgroup") != _text("/proc/self/cgroup")


def dies_with(pid: int) -> bool:
    """Whether the agent ends when ``pid``'s container does, whose pid namespace it lives in. Blocking.

    In a namespace that a third container owns, one that sleeps, neither the server nor the agent is in its cgroup.
    """
    return ends_with_another() and _text("/proc/1/cgroup") == _text(f"/proc/{pid}/cgroup")


def cgroup_of(text: str) -> str:
    """The innermost container that /proc/self/cgroup names."""
    found = [match for line in text.splitlines() for match in _ID.findall(line)]
    return found[-1] if found else ""


def layer_of(mounts: str) -> str:
    """The writable layer of the root file system, of /proc/self/mountinfo."""
    for fields in map(str.split, mounts.splitlines()):
        if len(fields) > 9 and fields[4] == "/" and "-" in fields:
            options = ",".join(fields[fields.index("-") + 3 :])
            found = re.search(r"(?:^|,)upperdir=([^,]+)", options)
            return found[1] if found else ""
    return ""


def network_of(mounts: str) -> str:
    """The container whose folder /etc/hosts and its like are mounted from."""
    for fields in map(str.split, mounts.splitlines()):
        if len(fields) > 4 and fields[4] in _GIVEN:
            found = re.search(rf"containers/({_ID.pattern})/", fields[3])
            if found:
                return found[1]
    return ""


def _first() -> int:
    """The process at the top of the agent's line of parents: its container's first one, or the system's."""
    above = proc.ancestors(os.getpid())
    top = [pid for pid in above if (one := proc.seen(pid)) is not None and one.parent == 0]
    return top[0] if top else os.getpid()


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace")
    except OSError as problem:
        if problem.errno in (errno.EMFILE, errno.ENFILE):
            raise
        return ""
