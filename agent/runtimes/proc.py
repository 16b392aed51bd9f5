"""What /proc tells about the processes that the agent can see. Every function blocks; a vanished process is normal."""

import os
from collections.abc import Collection, Iterable
from typing import Final

import msgspec

TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_DEAD: Final = frozenset("ZXx")
_LISTEN: Final = "0A"
_KTHREAD: Final = 0x00200000
_ELSEWHERE: Final = (FileNotFoundError, ProcessLookupError, PermissionError)  # gone, or another user's


class Seen(msgspec.Struct, frozen=True):
    """One process as /proc/PID/stat tells it; ``started`` in clock ticks on CLOCK_BOOTTIME's scale."""

    pid: int
    parent: int
    started: int
    session: int = 0
    state: str = "S"
    name: str = ""
    kernel: bool = False

    @property
    def age_key(self) -> tuple[int, int]:
        """Sorts the oldest first."""
        return self.started, self.pid


def parse_stat(text: str) -> Seen | None:
    """The process behind a stat line, or None for one that is dead but for its zombie.

    The name stands in parentheses and may hold spaces, parentheses and line ends, so fields count from the last one.
    """
    head, _, tail = text.rpartition(")")
    pid, _, name = head.partition(" (")
    fields = tail.split()
    state, threads = fields[0], int(fields[17])
    if state in _DEAD and threads <= 1:  # the main thread may have ended before the others: that process still lives
        return None
    return Seen(
        pid=int(pid),
        parent=int(fields[1]),
        started=int(fields[19]),
        session=int(fields[3]),
        state=state,
        name=name,
        kernel=bool(int(fields[6]) & _KTHREAD),
    )


def seen(pid: int) -> Seen | None:
    """The live process ``pid``, or None."""
    text = _read(f"/proc/{pid}/stat", 4096)
    return parse_stat(text) if text else None


def pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - names, thousands of them


def everyone() -> dict[int, Seen]:
    """Every live process."""
    found = (seen(pid) for pid in pids())
    return {one.pid: one for one in found if one is not None}


def command_line(pid: int) -> list[str]:
    """Its arguments; empty for kernel threads, zombies and processes that are gone."""
    text = _read(f"/proc/{pid}/cmdline", 65536)
    return text.rstrip("\0").split("\0") if text else []


def resident_bytes(pid: int) -> int:
    """Its resident memory, pages that it shares with others included; 0 where it is gone."""
    fields = _read(f"/proc/{pid}/statm", 256).split()
    return int(fields[1]) * _PAGE if len(fields) > 1 else 0


def descriptors(pid: int) -> tuple[int, int] | None:
    """How many file descriptors it has open, and may have; None where the agent may not look, or it is gone."""
    limits = _read(f"/proc/{pid}/limits", 4096)
    allowed = next((line.split()[3] for line in limits.splitlines() if line.startswith("Max open files")), "")
    try:
        return (len(os.listdir(f"/proc/{pid}/fd")), int(allowed)) if allowed.isdigit() else None  # noqa: PTH208 - as above
    except _ELSEWHERE:
        return None


def owner(pid: int) -> int | None:
    """The user it runs as."""
    try:
        return os.stat(f"/proc/{pid}").st_uid  # noqa: PTH116 - one call
    except OSError:
        return None


def ancestors(pid: int) -> set[int]:
    """``pid``'s parent, its parent, and so on."""
    found: set[int] = set()
    one = seen(pid)
    while one is not None and one.parent not in found and one.parent != 0:
        found.add(one.parent)
        one = seen(one.parent)
    return found


def descendants(pid: int, people: Iterable[Seen]) -> list[Seen]:
    """Those of ``people`` whose line of parents leads to ``pid``."""
    children: dict[int, list[Seen]] = {}
    for one in people:
        children.setdefault(one.parent, []).append(one)
    found: list[Seen] = []
    rest = [pid]
    while rest:
        young = children.pop(rest.pop(), [])
        found += young
        rest += [one.pid for one in young]
    return found


def listening(port: int) -> set[str]:
    """The inodes of the sockets that listen on TCP ``port`` in the agent's network namespace."""
    return {
        fields[9]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for fields in map(str.split, _read_all(table).splitlines()[1:])
        if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port
    }


def holders(inodes: Collection[str]) -> list[int]:
    """The processes that hold one of these sockets open, of those whose descriptors the agent may read."""
    links = {f"socket:[{inode}]" for inode in inodes}
    return [pid for pid in pids() if _holds(pid, links)]


def _holds(pid: int, links: set[str]) -> bool:
    folder = f"/proc/{pid}/fd"
    try:
        numbers = os.listdir(folder)  # noqa: PTH208 - names, thousands of them
    except _ELSEWHERE:
        return False
    for number in numbers:
        try:
            if os.readlink(f"{folder}/{number}") in links:  # noqa: PTH115 - as above
                return True
        except _ELSEWHERE:
            continue
    return False


def _read(path: str, limit: int) -> str:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except _ELSEWHERE:
        return ""
    try:
        return os.read(file, limit).decode(errors="surrogateescape")
    except _ELSEWHERE:
        return ""
    finally:
        os.close(file)


def _read_all(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123 - as above
            return file.read()
    except FileNotFoundError:  # a kernel without IPv6
        return ""
