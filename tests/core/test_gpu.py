"""What GPU faults mean: the table of XIDs, the arbiter, and what it takes to blame a process or to call a GPU lost."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.gpu import Event, Finding, Memory, Reading, actions, class_of, corroborated, judge, remember

NOW = 1000.0


def events(*xids: int, at: float = NOW - 10, gpu: str = "a") -> list[Event]:
    return [Event(number, gpu, xid, at) for number, xid in enumerate(xids, 1)]


def kinds(readings: list[Reading], told: list[Event], memory: Memory | None = None) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in judge(memory or Memory(), readings, told, NOW):
        found.setdefault(finding.gpu, []).append(finding.kind)
    return found


@pytest.mark.parametrize(
    ("xid", "kind"),
    [
        *((xid, "process") for xid in (8, 11, 13, 25, 31, 32, 39, 40, 41, 60, 68, 69, 80, 94)),
        *((xid, "reset") for xid in (46, 61, 62, 95, 110, 119, 120, 136, 140, 143, 155, 156, 158)),
        *((xid, "drain") for xid in (64, 79, 151)),
        *((xid, "note") for xid in (43, 45, 63, 74, 92, 93, 121, 137, 141, 144, 150, 154, 157, 160, 161, 7, 9999)),
    ],
)
def test_each_xid_has_its_class_and_an_unknown_one_is_a_note(xid: int, kind: str) -> None:
    (event,) = events(xid)
    assert class_of(event, [event], NOW, gpus=1) == kind


@pytest.mark.parametrize(
    ("what", "xids", "gpus", "kind"),
    [
        ("a double-bit error explained by a contained one", (48, 94), 1, "process"),
        ("by an uncontained one", (48, 95), 1, "reset"),
        ("by a remapped row", (48, 63), 1, "reset"),
        ("by nothing", (48,), 1, "reset"),
        ("a context switch once", (109,), 1, "process"),
        ("and again", (109, 109), 1, "reset"),
        ("the GPU's own processor once", (119,), 1, "reset"),
        ("and again", (119, 120), 1, "drain"),
        ("a link of several GPUs", (74,), 8, "drain"),
        ("a newer link of several GPUs", (149,), 8, "drain"),
    ],
)
def test_some_take_a_look_at_what_came_with_them(what: str, xids: tuple[int, ...], gpus: int, kind: str) -> None:
    told = events(*xids)
    assert class_of(told[0], told, NOW, gpus) == kind, what


def test_a_double_bit_error_waits_for_its_explanation() -> None:
    (event,) = events(48, at=NOW - 4)
    assert class_of(event, [event], NOW, gpus=1) == "note"
    assert class_of(event, [event, Event(2, "a", 94, NOW)], NOW, gpus=1) == "process"


@pytest.mark.parametrize(
    ("recovery", "xid", "found"),
    [
        (None, 95, ["reset"]),
        (None, 79, ["drain"]),
        (0, 95, ["process"]),  # the driver says that a new process can use it at once
        (0, 46, ["process"]),
        (0, 31, ["process"]),
        (0, 43, ["note"]),
        (1, 95, ["reset", "process"]),
        (2, 31, ["drain", "process"]),
        (3, 43, ["drain", "note"]),
        (4, 43, ["drain", "note"]),
        (99, 43, ["drain", "note"]),  # an action of a newer driver is no small one
    ],
)
def test_the_drivers_own_recovery_action_decides_and_the_table_stands_in(
    recovery: int | None, xid: int, found: list[str]
) -> None:
    assert kinds([Reading("a", recovery=recovery)], events(xid)) == {"a": found}


def test_a_gpu_is_lost_after_three_reads_and_ten_seconds() -> None:
    memory = None
    for at, found in ((0.0, "note"), (4.0, "note"), (9.9, "note"), (10.0, "drain")):
        readings = [Reading("a", error=15), Reading("b")]
        memory = remember(memory, readings, [], at)
        assert [(f.gpu, f.kind) for f in judge(memory, readings, [], at)] == [("a", found)]
    memory = remember(memory, [Reading("a"), Reading("b")], [], 11.0)
    assert judge(memory, [Reading("a"), Reading("b")], [], 11.0) == []
    memory = remember(memory, [Reading("a", error=15)], [], 12.0)
    assert judge(memory, [Reading("a", error=15)], [], 12.0)[0].kind == "note", "it begins anew"


def test_two_reads_are_too_few_however_long_they_take() -> None:
    readings = [Reading("a", error=999)]
    memory = remember(remember(None, readings, [], 0.0), readings, [], 60.0)
    assert judge(memory, readings, [], 60.0)[0].kind == "note"


@pytest.mark.parametrize(
    ("reading", "found"),
    [
        ({"error": 16}, ["reset"]),
        ({"error": 4}, ["note"]),
        ({"remap_failed": True, "remap_pending": True}, ["drain"]),
        ({"remap_pending": True}, ["note"]),
        ({"clocks": 0x8 | 0x40}, ["note"]),
        ({"clocks": 0x4}, []),  # a power cap is everyday
        ({"recovery": 0, "uncorrected": 5, "remap_pending": False, "remap_failed": False, "clocks": 0}, []),
        ({}, []),
    ],
)
def test_what_a_gpu_tells_of_itself(reading: dict[str, Any], found: list[str]) -> None:
    readings = [Reading("a", **reading)]
    assert [f.kind for f in judge(remember(None, readings, [], NOW), readings, [], NOW)] == found


def test_uncorrected_errors_count_once_they_rise() -> None:
    memory = remember(None, [Reading("a", uncorrected=7)], [], 0.0)
    memory = remember(memory, [Reading("a")], [], 5.0)  # not told this time
    memory = remember(memory, [Reading("a", uncorrected=8)], [], 10.0)
    readings = [Reading("a", uncorrected=8)]
    assert [(f.kind, f.at) for f in judge(memory, readings, [], 11.0)] == [("process", 10.0)]
    memory = remember(memory, [Reading("a", uncorrected=0)], [], 20.0)  # the GPU was reset
    assert [f.at for f in judge(memory, readings, [], 21.0)] == [10.0]


def test_an_error_of_the_process_becomes_a_note_and_is_forgotten() -> None:
    readings = [Reading("a")]
    assert [f.kind for f in judge(Memory(), readings, events(31, at=NOW - 60), NOW)] == ["process"]
    assert [f.kind for f in judge(Memory(), readings, events(31, at=NOW - 61), NOW)] == ["note"]
    assert judge(Memory(), readings, events(31, at=NOW - 601), NOW) == []


def test_what_a_gpu_needs_is_not_forgotten() -> None:
    assert [f.kind for f in judge(Memory(), [Reading("a")], events(79, at=0.0), NOW + 10**6)] == ["drain"]


def test_a_new_instance_inherits_what_its_gpu_needs_and_not_the_errors_of_its_processes() -> None:
    told = events(31, 79)
    memory = remember(None, [Reading("a")], told, NOW)
    assert kinds([Reading("a")], told, memory) == {"a": ["drain"]}
    later = [*told, Event(3, "a", 13, NOW)]
    assert kinds([Reading("a")], later, memory) == {"a": ["drain", "process"]}


@pytest.mark.parametrize(
    ("failures", "blamed"), [([], False), ([NOW - 60], True), ([NOW + 60], True), ([NOW - 60.1, NOW + 60.1], False)]
)
def test_a_process_is_blamed_only_beside_a_failing_server(failures: list[float], blamed: bool) -> None:
    assert corroborated(Finding("a", "process", "XID 31", NOW), failures) is blamed


def test_each_gpu_is_told_its_worst_action() -> None:
    readings = [Reading("a", recovery=1, remap_failed=True), Reading("b", recovery=1), Reading("c")]
    assert actions(judge(Memory(), readings, events(31, gpu="c"), NOW)) == {"a": "drain", "b": "reset"}


@given(
    xids=st.lists(st.tuples(st.integers(0, 200), st.floats(0, NOW)), max_size=20),
    recovery=st.none() | st.integers(0, 7),
    gpus=st.integers(1, 8),
)
def test_no_xid_alone_ever_overrules_a_driver_that_says_that_all_is_well(
    xids: list[tuple[int, float]], recovery: int | None, gpus: int
) -> None:
    told = [Event(number, "0", xid, at) for number, (xid, at) in enumerate(xids, 1)]
    readings = [Reading(str(gpu), recovery=recovery) for gpu in range(gpus)]
    found = judge(Memory(), readings, told, NOW)
    assert [f.kind for f in found] == sorted((f.kind for f in found), key=["drain", "reset", "process", "note"].index)
    if recovery == 0:
        assert actions(found) == {}
    elif recovery is not None:
        assert set(actions(found)) == {str(gpu) for gpu in range(gpus)}
