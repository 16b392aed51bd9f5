"""The agent's own cgroup: how long it was throttled so far."""

from pathlib import Path

from agent.core.throttling import throttled_seconds, where


def own_cpu_stat() -> Path | None:
    """The cpu.stat that tells of throttling; None outside a limited cgroup, or where it can't be seen. Blocking."""
    try:
        cgroups = Path("/proc/self/cgroup").read_text(encoding="utf-8", errors="replace")
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return next((file for file in map(Path, where(cgroups, mounts)) if throttled(file) is not None), None)


def throttled(cpu_stat: Path) -> float | None:
    """Seconds the cgroup has been throttled so far; None where the file does not tell. Blocking."""
    try:
        return throttled_seconds(cpu_stat.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
