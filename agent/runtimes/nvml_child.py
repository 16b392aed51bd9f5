"""Reads NVML in a process of its own, which may hang in the driver and be killed: `python nvml_child.py`.

A number on a line of standard input asks for one look, which is answered by a line of JSON: {"look": NUMBER, "gpus":
[...]}. Events come as they happen: {"xid": 31, "gpu": UUID}. The first line is {"gpus": [[UUID, PCI BUS ID], ...],
"events": true}, or {"failed": CODE, "why": TEXT}, after which it ends. It ends with its standard input too.

It imports nothing of the agent: what it costs in memory is an interpreter, NVML's bindings and the driver's library.
"""

import json
import os
import queue
import sys
import threading
import time
from typing import Any, Final

RECOVERY_ACTION: Final = 230
EVENT_TYPES: Final = 0x8 | 0x2  # critical XID errors, double-bit ECC errors
XID_EVENT: Final = 0x8
WAIT_MILLISECONDS: Final = 1000
STRIKES: Final = 3  # failed waits in a row, after which nobody listens any more
UNREADABLE: Final = frozenset({6, 15, 16, 28, 999})  # of a GPU itself, not of what it can tell
CLOCKS: Final = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")  # new, old
NO_BINDINGS: Final = -1
TIMEOUT: Final = 10

_writing = threading.Lock()


def say(told: dict[str, Any]) -> None:
    with _writing:
        try:
            os.write(1, json.dumps(told).encode() + b"\n")
        except OSError:  # nobody reads any more
            os._exit(0)


def main() -> int:
    asked: queue.SimpleQueue[int] = queue.SimpleQueue()
    threading.Thread(target=listen, args=(asked,), daemon=True).start()
    try:
        import pynvml
    except ImportError:
        say({"failed": NO_BINDINGS, "why": "nvidia-ml-py is not installed: pip install 'model-health-agent[gpu]'"})
        return 0
    try:
        pynvml.nvmlInit()
        gpus = found(pynvml)
    except pynvml.NVMLError as problem:
        say({"failed": problem.value, "why": f"NVML: {problem}"})
        return 0
    events = registered(pynvml, gpus)
    say({"gpus": [[gpu["gpu"], gpu["bus"]] for gpu in gpus], "events": events is not None})
    if events is not None:
        threading.Thread(target=report, args=(pynvml, events, gpus), daemon=True).start()
    while True:
        number = asked.get()
        say({"look": number, "gpus": [look(pynvml, gpu) for gpu in gpus]})


def listen(asked: "queue.SimpleQueue[int]") -> None:
    """The agent's questions; without an agent there is nothing to do, even while a call to the driver hangs."""
    for line in sys.stdin:
        if line.strip().isdigit():
            asked.put(int(line))
    os._exit(0)


def found(nvml: Any) -> list[dict[str, Any]]:
    """The GPUs that are there; their order is NVML's, which is nobody else's."""
    gpus = []
    for index in range(nvml.nvmlDeviceGetCount()):
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        gpus.append(
            {
                "handle": handle,
                "gpu": text(nvml.nvmlDeviceGetUUID(handle)),
                "bus": text(nvml.nvmlDeviceGetPciInfo(handle).busId),
            }
        )
    return gpus


def text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def look(nvml: Any, gpu: dict[str, Any]) -> dict[str, Any]:
    """What one GPU tells now; what it does not support is left out."""
    handle = gpu["handle"]
    told: dict[str, Any] = {"gpu": gpu["gpu"]}

    def ask(key: str, call: Any, *arguments: Any) -> Any:
        if "error" in told:
            return None
        try:
            value = call(handle, *arguments)
        except nvml.NVMLError as problem:
            if problem.value in UNREADABLE:
                told["error"] = problem.value
            return None
        if key:
            told[key] = value
        return value

    fields = ask("", nvml.nvmlDeviceGetFieldValues, [RECOVERY_ACTION])
    if fields is not None and fields[0].nvmlReturn == 0:
        told["recovery"] = int(fields[0].value.uiVal)
    ask("uncorrected", nvml.nvmlDeviceGetTotalEccErrors, 1, 0)
    rows = ask("", nvml.nvmlDeviceGetRemappedRows)
    if rows is not None:
        told["remap_pending"], told["remap_failed"] = bool(rows[2]), bool(rows[3])
    for name in CLOCKS:
        if "clocks" not in told and hasattr(nvml, name):
            ask("clocks", getattr(nvml, name))
    return told


def registered(nvml: Any, gpus: list[dict[str, Any]]) -> Any:
    """The set of events that the GPUs are registered with, first of all: earlier events are lost. None: no GPU is."""
    try:
        events = nvml.nvmlEventSetCreate()
    except nvml.NVMLError:
        return None
    heard = 0
    for gpu in gpus:
        try:
            nvml.nvmlDeviceRegisterEvents(gpu["handle"], EVENT_TYPES, events)
        except nvml.NVMLError:
            continue
        heard += 1
    return events if heard else None


def report(nvml: Any, events: Any, gpus: list[dict[str, Any]]) -> None:
    """Events for ever; waiting is the library's, and lets the other threads run."""
    strikes = 0
    while strikes < STRIKES:
        try:
            event = nvml.nvmlEventSetWait_v2(events, WAIT_MILLISECONDS)
        except nvml.NVMLError as problem:
            if problem.value == TIMEOUT:
                strikes = 0
                continue
            strikes += 1
            time.sleep(1)
            events = registered(nvml, gpus) or events
            continue
        strikes = 0
        if event.eventType == XID_EVENT:
            say({"xid": int(event.eventData), "gpu": whose(nvml, event, gpus)})
    say({"events": False})


def whose(nvml: Any, event: Any, gpus: list[dict[str, Any]]) -> str:
    try:
        return text(nvml.nvmlDeviceGetUUID(event.device))
    except nvml.NVMLError:  # it may be lost by now; of one GPU there is no doubt
        return str(gpus[0]["gpu"]) if len(gpus) == 1 else ""


if __name__ == "__main__":
    sys.exit(main())
