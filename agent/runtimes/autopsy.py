"""What /proc and the cgroup tell of a process that is about to be ended: one function a file, each bounded in size.

Every function blocks and may hang in the kernel (`agent.runtimes.aside`); what can't be read says why in one line.
Neither the environment nor memory is read, and what looks like a secret on a command line is left out.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from agent.core.redact import REDACTED
from agent.runtimes import proc

MAX_BYTES: Final = 64 * 1024  # of one file of /proc
MOST_THREADS: Final = 64
MOST_DESCRIPTORS: Final = 256
SOCKET_STATES: Final = {
    "01": "ESTABLISHED", "02": "SYN_SENT", "03": "SYN_RECV", "04": "FIN_WAIT1", "05": "FIN_WAIT2", "06": "TIME_WAIT",
    "07": "CLOSE", "08": "CLOSE_WAIT", "09": "LAST_ACK", "0A": "LISTEN", "0B": "CLOSING",
}  # fmt: skip
CGROUP_FILES: Final = (
    "memory.current", "memory.max", "memory.events", "memory.pressure", "cpu.stat", "cpu.max", "cpu.pressure",
    "io.pressure", "pids.current", "pids.max", "memory.usage_in_bytes", "memory.limit_in_bytes", "memory.oom_control",
)  # fmt: skip
"""Of both versions: what is not there is passed over."""

_SECRET_WORD: Final = re.compile(r"(?i)(key|token|secret|passw|credential|auth)")
_URL_PASSWORD: Final = re.compile(r"(://[^/\s:@]*):[^@\s/]+@")


def status(pid: int) -> str:
    """Its state, memory, threads, signals and limits."""
    return f"{_read(f'/proc/{pid}/status')}\n{_read(f'/proc/{pid}/limits')}\n{_read(f'/proc/{pid}/oom_score')}"


def threads(pid: int) -> str:
    """Where each thread waits in the kernel: state, wchan, system call and, for root, the kernel's stack."""
    try:
        tasks = sorted(os.listdir(f"/proc/{pid}/task"), key=int)  # noqa: PTH208 - names
    except OSError as problem:
        return _why(problem)
    told = [_thread(pid, task) for task in tasks[:MOST_THREADS]]
    if len(tasks) > MOST_THREADS:
        told.append(f"... and {len(tasks) - MOST_THREADS} more threads")
    return "\n".join(told)


def _thread(pid: int, task: str) -> str:
    where = f"/proc/{pid}/task/{task}"
    stat = _read(f"{where}/stat").rpartition(")")[2].split()
    line = f"{task} {_read(f'{where}/comm')} state {stat[0] if stat else '?'} in {_read(f'{where}/wchan') or '-'}"
    call = f"  system call {_read(f'{where}/syscall')}"
    stack = "\n".join(f"  {frame}" for frame in _read(f"{where}/stack").splitlines())
    return f"{line}\n{call}\n{stack}"


def family(pid: int) -> str:
    """The process and everything below it: pid, parent, state, command."""
    people = proc.everyone()
    ours = [one for one in [people.get(pid), *proc.descendants(pid, people.values())] if one is not None]
    return "\n".join(
        f"{one.pid} of {one.parent} {one.state} {' '.join(bare(proc.command_line(one.pid))) or one.name}"
        for one in ours
    )


def bare(words: list[str]) -> list[str]:
    """A command line without what looks like a secret: `--api-key X`, `TOKEN=X`, a URL's password."""
    told: list[str] = []
    hide = False
    for word in words:
        name, equals, _ = word.partition("=")
        if hide and not word.startswith("-"):
            told.append(REDACTED)
        elif equals and _SECRET_WORD.search(name):
            told.append(f"{name}={REDACTED}")
        else:
            told.append(_URL_PASSWORD.sub(rf"\1:{REDACTED}@", word))
        hide = word.startswith("-") and not equals and bool(_SECRET_WORD.search(word))
    return told


def descriptors(pid: int) -> str:
    """How many it has open, and what they are."""
    folder = f"/proc/{pid}/fd"
    try:
        numbers = sorted(os.listdir(folder), key=int)  # noqa: PTH208 - names
    except OSError as problem:
        return _why(problem)
    links = [_link(f"{folder}/{number}") for number in numbers[:MOST_DESCRIPTORS]]
    kinds = Counter(link.partition(":")[0] if ":" in link else "file" for link in links)
    head = (
        f"{len(numbers)} open; of the first {len(links)}: {', '.join(f'{n} {kind}' for kind, n in kinds.most_common())}"
    )
    return "\n".join([head, *(f"{number} -> {link}" for number, link in zip(numbers, links, strict=False))])


def sockets(pid: int) -> str:
    """Its network namespace's TCP sockets: how many in which state, and the queues of those that listen."""
    lines = [
        fields
        for table in ("tcp", "tcp6")
        for fields in map(str.split, _read(f"/proc/{pid}/net/{table}", 16 * MAX_BYTES).splitlines()[1:])
        if len(fields) > 4
    ]
    states = Counter(SOCKET_STATES.get(fields[3], fields[3]) for fields in lines)
    told = [f"{number} {state}" for state, number in states.most_common()]
    for fields in lines:
        if SOCKET_STATES.get(fields[3]) == "LISTEN":
            waiting = int(fields[4].rpartition(":")[2], 16)
            told.append(
                f"port {int(fields[1].rpartition(':')[2], 16)} listens, {waiting} connections wait to be accepted"
            )
    return "\n".join(told) or "no TCP socket can be seen"


def cgroup(pid: int) -> str:
    """Memory, CPU and process limits of its cgroup, and how it fares with them."""
    told = []
    for line in _read(f"/proc/{pid}/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        for root in _roots(controllers, path):
            for name in CGROUP_FILES:
                text = _read(f"{root}/{name}") if os.path.exists(f"{root}/{name}") else ""  # noqa: PTH110 - as cheap as it gets
                if text:
                    told.append(f"{name}: {text.replace(chr(10), '; ')}")
    return "\n".join(dict.fromkeys(told)) or "no cgroup can be seen"


def _roots(controllers: str, path: str) -> list[str]:
    """Where a cgroup's files may be: seen from outside, or from inside a container, where its own is the root."""
    base = "/sys/fs/cgroup"
    if not controllers:
        return [base + path.rstrip("/"), base]
    wanted = {"memory", "cpu", "pids"} & set(controllers.split(","))
    return [f"{base}/{controllers}{tail}" for tail in (path.rstrip("/"), "")] if wanted else []


PARTS: Final[Mapping[str, Callable[[int], str]]] = {
    "status": status,
    "threads": threads,
    "processes": family,
    "descriptors": descriptors,
    "sockets": sockets,
    "cgroup": cgroup,
}
"""Name of the evidence's file to what fills it."""


def _read(path: str, limit: int = MAX_BYTES) -> str:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as problem:
        return _why(problem)
    try:
        return os.read(file, limit).decode(errors="replace").rstrip("\n\0")
    except OSError as problem:
        return _why(problem)
    finally:
        os.close(file)


def _link(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115 - hundreds of them
    except OSError as problem:
        return _why(problem)


def _why(problem: OSError) -> str:
    return f"({problem.strerror or problem})"
