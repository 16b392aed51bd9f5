"""The gpu check: what NVML tells of the GPUs, and whether a restart of the server can help at all."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import Meta

from agent.core.gpu import FLAG, GPUS, SLOWED, Reading, actions, corroborated, judge, remember, slowdowns
from agent.core.model import Outcome, Result, Target, error, failure, success, warning
from agent.core.remembered import ANSWERS, Answer, Saying, measure, say
from agent.runtimes.nvml import Look, shared, used

_EVENTS: Final = 20  # of the last ones, for evidence


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """Reads recovery actions, XID errors, ECC errors, remapped rows and lost GPUs through NVML (extra `gpu`).

    A GPU that must be reset or drained makes the container not ready and stops restarts, which could not help. An error
    of the process fails the check only beside a failure of the server's own liveness or progress within a minute. All
    else is a warning; so is a machine without NVML. NVML runs in a process of its own, and may hang there.
    """

    devices: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        Meta(description="UUIDs or PCI bus ids; empty: every visible one. Not indices: NVML's are not CUDA's"),
    ] = ()

    default_failure_threshold: ClassVar[int] = 1  # it has corroboration instead
    tries: ClassVar[int] = 1

    def check_options(self) -> list[tuple[str, str]]:
        return [
            (f"devices[{index}]", f"{name!r} is an index: name the GPU by its UUID (nvidia-smi -L) or PCI bus id")
            for index, name in enumerate(self.devices)
            if name.isdecimal()
        ]

    def engage(self) -> None:
        """NVML is listened to from the worker's start: what happened before is lost."""
        shared().acquire()

    def disengage(self) -> None:
        shared().release()

    def late(self, target: Target) -> Result:
        """A driver that hangs says nothing for sure: unknown, and never a failure."""
        return error("gpu", f"NVML did not answer within {target.timeout:g} s; a GPU may hang in its driver")

    async def probe(self, target: Target) -> Result:
        try:
            async with used() as nvml:
                look = await nvml.look()
        except OSError as problem:
            return error("gpu", problem.strerror or str(problem))
        if look.absent:
            return warning("unsupported", look.absent)
        readings, strangers = self._chosen(look)
        if not readings:
            wanted = f"none of {', '.join(strangers)}" if strangers else "no GPU"
            return warning("unsupported", f"NVML finds {wanted}; visible are {', '.join(look.buses) or 'none'}")
        return self._judge(target, look, readings, strangers)

    def _judge(self, target: Target, look: Look, readings: list[Reading], strangers: list[str]) -> Result:
        now, key = asyncio.get_running_loop().time(), f"gpu {target.check}"
        memory = target.seen[key] = remember(target.seen.get(key), readings, look.events, now)
        findings = judge(memory, readings, look.events, now)
        needed = actions(findings)
        gpus = {**target.seen.get(GPUS, {}), **{one.gpu: needed.get(one.gpu, "") for one in readings}}
        target.seen[GPUS] = gpus
        kept = {"readings": readings, "events": look.events[-_EVENTS:], "buses": dict(look.buses), "at": time.time()}
        measure(target, "gpus.json", lambda: kept)
        target.seen[FLAG] = {gpu: action for gpu, action in gpus.items() if action}
        if any(map(slowdowns, readings)):
            target.seen[SLOWED] = now
        told = "; ".join(f"{one.gpu}: {one.text} ({one.kind})" for one in findings)
        say(target, Saying(unready=bool(needed), detail=told if needed else ""))
        if not needed:
            failed = list(_failures(target))
            blamed = next((one for one in findings if one.kind == "process" and corroborated(one, failed)), None)
            if blamed is not None:
                return failure("gpu", f"{blamed.gpu}: {blamed.text}, and the server fails too")
        if findings:
            return warning("gpu", told)
        if strangers:
            return warning("unsupported", f"NVML does not find {', '.join(strangers)}")
        deaf = "" if look.listening else "; NVML tells of no events here, so that XID errors are not seen"
        return success(f"{len(readings)} GPUs are well{deaf}")

    def _chosen(self, look: Look) -> tuple[list[Reading], list[str]]:
        """The readings of the GPUs that are watched, and those of `devices` that are not there."""
        if not self.devices:
            return list(look.readings), []
        wanted = {name: _uuid(name, look.buses) for name in self.devices}
        uuids = set(wanted.values())
        return [one for one in look.readings if one.gpu in uuids], [name for name, uuid in wanted.items() if not uuid]


def _uuid(name: str, buses: Mapping[str, str]) -> str:
    """The UUID of a GPU by its UUID or bus id, "" where there is none."""
    return next((uuid for uuid, bus in buses.items() if name.lower() == uuid.lower() or _slot(name) == _slot(bus)), "")


def _slot(bus: str) -> tuple[str, ...]:
    """0000:3B:00.0, 00000000:3b:00.0 and 3b:00.0 are one place."""
    parts = bus.lower().split(":")
    domain = parts[-3].lstrip("0") if len(parts) > 2 else ""
    return (domain, *parts[-2:])


def _failures(target: Target) -> Iterable[float]:
    """When the container's own liveness and progress checks last failed."""
    answers: Mapping[str, Answer] = target.seen.get(ANSWERS, {})
    return (
        answer.at
        for path, answer in answers.items()
        if path != target.check
        and answer.result.outcome is Outcome.FAILURE
        and (path.startswith("liveness/") or answer.method == "progress")
    )
