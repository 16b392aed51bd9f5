"""What a cgroup's cpu.stat says of time not given to its processes, and when that impairs the agent."""

from typing import Final

import msgspec

SHARE: Final = 0.5
"""The agent is impaired where its cgroup was held back for at least so much of the time ..."""
LATE_SECONDS: Final = 0.05
"""... and its own event loop was late by more than half a beat meanwhile.

The second, since the cgroup may be the model server's too, whose many threads are throttled while the agent's is not.
"""


class Look(msgspec.Struct, frozen=True):
    """Throttled seconds so far as the cgroup tells, at ``when`` on any clock, seconds."""

    when: float
    throttled: float


def throttled_seconds(cpu_stat: str) -> float | None:
    """Seconds a cgroup has been throttled so far, of either version; None where its cpu.stat does not tell."""
    for line in cpu_stat.splitlines():
        key, _, value = line.partition(" ")
        scale = _SCALES.get(key)
        if scale is not None and value.strip().isdecimal():
            return int(value) / scale
    return None


_SCALES: Final = {"throttled_usec": 1e6, "throttled_time": 1e9}  # version 2 and version 1


def is_throttled(before: Look, now: Look, late: float) -> bool:
    """Whether the agent is impaired; ``late`` is the worst lateness of its event loop between the two looks."""
    passed = now.when - before.when
    return passed > 0 and late > LATE_SECONDS and (now.throttled - before.throttled) >= SHARE * passed


def where(cgroups: str, mounts: str) -> list[str]:
    """Files that may be the cpu.stat of the process with these /proc/self/cgroup and /proc/self/mountinfo.

    Version 1 first where both are mounted: its controller is then the one that limits. Without a cgroup namespace the
    path is the host's, and what is mounted may be only the part below it.
    """
    own = dict(_own(cgroups))
    found: list[str] = []
    for kind, root, place, options in _mounted(mounts):
        controller = "cpu" if kind == "cgroup" and "cpu" in options.split(",") else ""
        if (kind == "cgroup2" or controller) and controller in own:
            below = own[controller].removeprefix(root.rstrip("/")) if own[controller].startswith(root) else ""
            files = [f"{place}{below.rstrip('/')}/cpu.stat", f"{place}/cpu.stat"]
            found = files + found if controller else found + files
    return list(dict.fromkeys(found))


def _own(cgroups: str) -> list[tuple[str, str]]:
    """(controller, path) of each line; the controller of version 2 is ""."""
    found = []
    for line in cgroups.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        found += [(controller, path) for controller in controllers.split(",")]
    return found


def _mounted(mounts: str) -> list[tuple[str, str, str, str]]:
    """(type, root, mount point, super options) of each line of a mountinfo (proc(5))."""
    found = []
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields, more = before.split(" "), after.split(" ")
        if len(fields) >= 5 and len(more) >= 3:
            found.append((more[0], fields[3], fields[4], more[2]))
    return found
