"""What GPU faults mean: whose restart helps, and where none does (pure).

From NVIDIA's XID catalogue and its notes on recovery actions. An error of the process is never the process's for sure:
a neighbour on the GPU may have caused it, so it takes a failing server beside it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

Class = Literal["", "note", "process", "reset", "drain"]
"""``process``: restarting the server helps. ``reset``, ``drain``: no restart does."""
CLASSES: Final[tuple[Class, ...]] = ("", "note", "process", "reset", "drain")  # the worst last

FLAG: Final = "gpu_action_required"
"""Key of `Target.seen`: {gpu: "reset" or "drain"} of the GPUs that no restart helps. The brake `gpu` reads it."""

GPUS: Final = "gpus"
"""Key of `Target.seen`: the same of every GPU that is watched, "" for those that need nothing; for the metrics."""

SLOWED: Final = "gpu_slowed_at"
"""Key of `Target.seen`: when the hardware was last seen to hold a GPU's clocks down; `progress` waits longer then."""

SLOWER: Final = 2.0  # how much longer: to halve the clocks is the least that a hardware slowdown does
SLOWED_SECONDS: Final = 60.0  # for how long it counts

CORROBORATED_SECONDS: Final = 60.0  # between an error of the process and a failure of its server
COMPANION_SECONDS: Final = 5.0  # a double-bit error is explained by what comes with it
LOST_SECONDS: Final = 10.0  # a GPU is lost once reads have failed for so long,
LOST_READS: Final = 3  # and so often
NOTED_SECONDS: Final = 600.0  # how long a note is told

LOST: Final = frozenset({6, 15, 28, 9, 18, 999})
"""NVML errors about a GPU that was there: not found, lost; and of a driver or library that no longer fits, or that the
container has lost: then only another container helps, which is for the platform to make."""

RESET_REQUIRED: Final = 16

RECOVERY: Final[Mapping[int, Class]] = {
    0: "", 1: "reset", 2: "drain", 3: "drain", 4: "drain", 5: "drain", 6: "reset", 7: "drain",
}  # fmt: skip
"""NVML's field 230: none, reset, reboot, drain P2P, drain and reset, recover IMEX, bus reset, system reboot."""

_SLOWED: Final = {0x8: "hardware slowdown", 0x40: "thermal slowdown", 0x80: "power brake"}

_XIDS: Final[Mapping[Class, frozenset[int]]] = {
    "process": frozenset({8, 11, 13, 25, 31, 32, 39, 40, 41, 60, 68, 69, 80, 94}),
    "reset": frozenset({46, 61, 62, 95, 110, 136, 140, 143, 155, 156, 158}),
    "drain": frozenset({64, 79, 151}),
}
_EXPLAINS_48: Final = frozenset({63, 64, 95, 140})
_LINKS: Final = frozenset({74, *range(144, 151)})  # NVLink: a single GPU can do without
_GSP: Final = frozenset({119, 120})


class Event(msgspec.Struct, frozen=True, gc=False):
    """One XID that NVML told of; ``number`` counts all of them, ``at`` in seconds on the event loop's clock."""

    number: int
    gpu: str
    xid: int
    at: float


class Reading(msgspec.Struct, frozen=True, gc=False):
    """What one look at one GPU found; None where the GPU or its driver does not tell."""

    gpu: str
    error: int | None = None  # NVML's, where the GPU could not be read
    recovery: int | None = None  # field 230, the arbiter where it is told
    uncorrected: int | None = None  # ECC errors since the driver was loaded
    remap_pending: bool | None = None
    remap_failed: bool | None = None
    clocks: int | None = None  # reasons why they are held down, a mask


class Lost(msgspec.Struct, frozen=True, gc=False):
    """Since when a GPU cannot be read, and on how many looks."""

    since: float
    reads: int


class Memory(msgspec.Struct, frozen=True):
    """What is remembered of an instance. Errors of the process up to event ``before`` are an earlier one's."""

    before: int = -1
    uncorrected: dict[str, int] = msgspec.field(default_factory=dict)  # at the first look
    rose: dict[str, float] = msgspec.field(default_factory=dict)  # when they were last seen to rise
    lost: dict[str, Lost] = msgspec.field(default_factory=dict)


class Finding(msgspec.Struct, frozen=True):
    """What is to be said of one GPU; ``at`` is when an error of the process came."""

    gpu: str
    kind: Class
    text: str
    at: float = 0.0


def remember(before: Memory | None, readings: Iterable[Reading], events: Sequence[Event], now: float) -> Memory:
    """After one look at every GPU that is watched."""
    memory = before or Memory(before=events[-1].number if events else -1)
    uncorrected, rose, lost = dict(memory.uncorrected), dict(memory.rose), {}
    for one in readings:
        if one.error in LOST:
            was = memory.lost.get(one.gpu, Lost(now, 0))
            lost[one.gpu] = replace(was, reads=was.reads + 1)
        if one.uncorrected is not None:
            if one.uncorrected > uncorrected.get(one.gpu, one.uncorrected):
                rose[one.gpu] = now
            uncorrected[one.gpu] = one.uncorrected
    return Memory(memory.before, uncorrected, rose, lost)


def judge(memory: Memory, readings: Sequence[Reading], events: Sequence[Event], now: float) -> list[Finding]:
    """What each GPU has, the worst of it first; nothing of those that are well."""
    found = [
        finding
        for one in readings
        for finding in (*_by_state(memory, one, now), *_by_events(memory, one, events, now, len(readings)))
    ]
    return sorted(found, key=lambda finding: -CLASSES.index(finding.kind))


def corroborated(finding: Finding, failures: Iterable[float]) -> bool:
    """Whether the server failed about when an error of its process came; ``failures`` are times of failed answers."""
    return any(abs(failed - finding.at) <= CORROBORATED_SECONDS for failed in failures)


def _by_state(memory: Memory, one: Reading, now: float) -> Iterable[Finding]:
    lost = memory.lost.get(one.gpu)
    if lost is not None:
        sure = lost.reads >= LOST_READS and now - lost.since >= LOST_SECONDS
        yield Finding(one.gpu, "drain" if sure else "note", f"cannot be read (NVML error {one.error})")
    elif one.error == RESET_REQUIRED:
        yield Finding(one.gpu, "reset", "NVML says that it must be reset")
    elif one.error is not None:
        yield Finding(one.gpu, "note", f"cannot be read (NVML error {one.error})")
    if one.recovery is not None and (kind := RECOVERY.get(one.recovery, "drain")):
        yield Finding(one.gpu, kind, f"recovery action {one.recovery}")
    if one.remap_failed:
        yield Finding(one.gpu, "drain", "a memory row could not be remapped")
    elif one.remap_pending:
        yield Finding(one.gpu, "note", "a memory row is remapped at the next reset")
    if one.gpu in memory.rose:
        yield from _recent(Finding(one.gpu, "process", "uncorrected ECC errors", memory.rose[one.gpu]), now)
    reasons = slowdowns(one)
    if reasons:
        yield Finding(one.gpu, "note", ", ".join(reasons))


def slowdowns(one: Reading) -> list[str]:
    """Why the hardware holds a GPU's clocks down, in words; a power cap is usual, and none (gpu.md 2.3)."""
    return [text for bit, text in _SLOWED.items() if (one.clocks or 0) & bit]


def slower(slowed_at: float | None, now: float) -> float:
    """How much longer than usual a server may take that was last seen on a slowed GPU ``slowed_at``."""
    return SLOWER if slowed_at is not None and now - slowed_at <= SLOWED_SECONDS else 1.0


def _by_events(memory: Memory, one: Reading, events: Sequence[Event], now: float, gpus: int) -> Iterable[Finding]:
    mine = [event for event in events if event.gpu == one.gpu]
    for event in mine:
        kind = class_of(event, mine, now, gpus)
        if kind in ("reset", "drain") and one.recovery is not None:
            kind = "process"  # field 230 decides, and a restart is what is left
        if kind in ("reset", "drain"):
            yield Finding(one.gpu, kind, f"XID {event.xid}", event.at)
        elif event.number > memory.before:
            yield from _recent(Finding(one.gpu, kind, f"XID {event.xid}", event.at), now)


def _recent(finding: Finding, now: float) -> Iterable[Finding]:
    """An error of the process is worth a note for a while once it is too old to have done any harm."""
    age = now - finding.at
    if age <= CORROBORATED_SECONDS:
        yield finding
    elif age <= NOTED_SECONDS:
        yield replace(finding, kind="note")


def class_of(event: Event, mine: Sequence[Event], now: float, gpus: int) -> Class:
    """What an XID calls for; ``mine`` are all of its GPU, of ``gpus`` that are watched. Unknown ones are notes."""
    repeats = sum(other.xid == event.xid for other in mine)
    if event.xid == 48:
        near = {other.xid for other in mine if abs(other.at - event.at) <= COMPANION_SECONDS}
        if 94 in near:
            return "process"
        return "reset" if near & _EXPLAINS_48 or now - event.at > COMPANION_SECONDS else "note"
    if event.xid == 109:
        return "reset" if repeats > 1 else "process"
    if event.xid in _GSP:
        return "drain" if sum(other.xid in _GSP for other in mine) > 1 else "reset"
    if event.xid in _LINKS:
        return "drain" if gpus > 1 else "note"
    return next((kind for kind, xids in _XIDS.items() if event.xid in xids), "note")


def actions(findings: Iterable[Finding]) -> dict[str, Literal["reset", "drain"]]:
    """The GPUs that no restart helps, and what each needs."""
    found: dict[str, Literal["reset", "drain"]] = {}
    for finding in findings:  # the worst of a GPU first
        if finding.kind in ("reset", "drain"):
            found.setdefault(finding.gpu, finding.kind)
    return found
