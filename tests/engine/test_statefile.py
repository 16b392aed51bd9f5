"""The state file: atomic, tolerant of whatever it finds, and its times mean the same to the next process."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.core.spared import Spared
from agent.core.verdict import Record
from agent.engine.statefile import MAX_BYTES, Hold, Memory, StateFile
from agent.runtimes.aside import aside
from tests.virtual import run_virtual, virtual_loop

MEMORY = Memory(
    instance=3, identity="pid 41 started 183223.4", started=True, spent=(10.0, 20.5), given_up_at=30.0,
    backoff_delay=20.0, backoff_since=20.5,
    hold=Hold(since=25.0, check="liveness/answers", reason="timeout", action="signal", acted_at=26.0),
)  # fmt: skip
SECOND = 1.0


def spared(when: float = 1.7e9) -> Spared:
    return Spared(
        time=when, last=when + 60, times=3, why="dry_run", action="signal", check="liveness/answers", reason="timeout",
        detail="no answer within 5 s", failures=9, failing_since=when - 30, failure_threshold=3, period_seconds=10.0,
        timeout_seconds=5.0, slowest_seconds=0.7, ended="recovered", ended_at=when + 90,
    )  # fmt: skip


def saved(path: Path, memories: dict[str, Memory]) -> None:
    asyncio.run(StateFile(str(path)).save(memories))


def nearly(memory: Memory, other: Memory, *, within: float = 0.1) -> bool:
    """Times pass through two clocks: equal within a tenth of a second."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items()}
        if isinstance(value, list):
            return [plain(each) for each in value]
        return value

    one, two = plain(msgspec.to_builtins(memory)), plain(msgspec.to_builtins(other))
    return flat(one).keys() == flat(two).keys() and all(
        value == pytest.approx(flat(two)[key], abs=within) if isinstance(value, float) else value == flat(two)[key]
        for key, value in flat(one).items()
    )


def flat(tree: Any, path: str = "") -> dict[str, Any]:
    """Every leaf of a document by its path."""
    if isinstance(tree, dict):
        return {k: v for key, each in tree.items() for k, v in flat(each, f"{path}.{key}").items()}
    if isinstance(tree, list | tuple):
        return {k: v for n, each in enumerate(tree) for k, v in flat(each, f"{path}[{n}]").items()}
    return {path: tree}


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    saved(path, {"model": MEMORY, "other": Memory()})
    loaded = StateFile(str(path)).load()
    assert loaded.keys() == {"model", "other"}
    assert nearly(loaded["model"], MEMORY)
    assert loaded["other"] == Memory()
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"], "nothing is left beside it"


@given(
    st.builds(
        Memory,
        instance=st.integers(1, 1000),
        identity=st.text(max_size=20),
        started=st.booleans(),
        spent=st.lists(st.floats(0, 1e6), max_size=5).map(tuple),
        given_up_at=st.none() | st.floats(0, 1e6),
        backoff_delay=st.floats(0, 300),
        backoff_since=st.none() | st.floats(0, 1e6),
        hold=st.none()
        | st.builds(
            Hold,
            since=st.floats(0, 1e6),
            check=st.text(max_size=5),
            reason=st.text(max_size=5),
            action=st.text(max_size=5),
            acted_at=st.none() | st.floats(0, 1e6),
        ),
        kills=st.integers(0, 50),
        killed_at=st.none() | st.floats(0, 1e6),
        correlated_since=st.none() | st.floats(0, 1e6),
        maintenance_until=st.none() | st.floats(0, 1e6),
        maintenance_ready=st.sampled_from(["keep", "false"]),
        drain_until=st.none() | st.floats(0, 1e6),
        restarts=st.lists(
            st.builds(
                Record,
                time=st.floats(0, 2e9),
                action=st.text(max_size=5),
                reason=st.text(max_size=5),
                check=st.text(max_size=5),
                evidence=st.none() | st.text(max_size=5),
                also=st.lists(st.text(max_size=5), max_size=3),
                ended=st.none() | st.floats(0, 2e9),
            ),
            max_size=3,
        ).map(tuple),
        spared=st.lists(st.builds(spared), max_size=3).map(tuple),
    )
)
def test_any_memory_survives(tmp_path_factory: pytest.TempPathFactory, memory: Memory) -> None:
    path = tmp_path_factory.mktemp("state") / "state.json"
    saved(path, {"model": memory})
    assert nearly(StateFile(str(path)).load()["model"], memory)


def test_a_long_history_of_many_containers_gives_way_before_the_file_grows_too_long_to_be_read(tmp_path: Path) -> None:
    """The newest is kept, and budgets and holds always."""
    path = tmp_path / "state.json"
    history = tuple(spared(1.7e9 + n) for n in range(100))
    saved(path, {f"model-{n}": replace(MEMORY, spared=history) for n in range(400)})
    assert path.stat().st_size <= MAX_BYTES // 2
    loaded = StateFile(str(path)).load()
    assert len(loaded) == 400
    assert loaded["model-7"].hold is not None
    kept = loaded["model-7"].spared
    assert 0 < len(kept) < 100
    assert kept[-1].time == history[-1].time
    saved(path, {"model": replace(MEMORY, spared=history)})
    assert len(StateFile(str(path)).load()["model"].spared) == 100, "and one alone keeps all of it"


def test_the_file_of_an_earlier_version_is_understood(tmp_path: Path) -> None:
    """What it did not know yet begins empty."""
    path = tmp_path / "state.json"
    saved(path, {"model": MEMORY})
    document = json.loads(path.read_text())
    old = {key: document["containers"]["model"][key] for key in ("instance", "spent", "hold", "backoff_since")}
    path.write_text(json.dumps({**document, "containers": {"model": old}}))
    loaded = StateFile(str(path)).load()["model"]
    assert (loaded.instance, loaded.restarts, loaded.spared, loaded.kills) == (3, (), (), 0)
    assert loaded.hold is not None


def test_without_a_path_nothing_is_remembered() -> None:
    nowhere = StateFile(None)
    asyncio.run(nowhere.save({"model": MEMORY}))
    assert nowhere.load() == {}


def test_the_first_start_finds_nothing_and_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert StateFile(str(tmp_path / "state.json")).load() == {}
    assert caplog.records == []


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\x00\xff", b"{", b"[]", b'{"version": 1}', b"null",
        b'{"version": 2, "boot_id": "", "boottime": 0, "unix": 0, "containers": {}}',
        b'{"version": 1, "boot_id": "", "boottime": 0, "unix": 0, "containers": {"model": {"spent": ["soon"]}}}',
        b'{"version": 1, "boot_id": "", "boottime": 0, "unix": 0, "containers": {"model": {"hold": {}}}}',
        b'{"a": ' * 5000, b" " * ((1 << 20) + 1),
        b'{"version": 1, "boot_id": "\xff\xfe", "boottime": 0, "unix": 0, "containers": {}}',
    ],
)  # fmt: skip
def test_a_foreign_or_broken_file_is_set_aside_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(content)
    assert StateFile(str(path)).load() == {}
    assert (tmp_path / "state.json.broken").read_bytes() == content
    assert not path.exists()
    assert [record.getMessage() for record in caplog.records] == ["state.broken"]


def test_a_directory_in_its_place_is_told_and_survived(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "state.json"
    path.mkdir()
    assert StateFile(str(path)).load() == {}
    saved(path, {"model": MEMORY})
    assert {record.getMessage() for record in caplog.records} == {"state.unreadable", "state.unwritable"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


def test_a_missing_folder_is_told_once_and_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        file = StateFile(str(tmp_path / "missing" / "state.json"))
        for _ in range(3):
            await file.save({"model": MEMORY})
        (tmp_path / "missing").mkdir()
        await file.save({"model": MEMORY})
        assert nearly(file.load()["model"], MEMORY), "and is healed by its coming"

    asyncio.run(work())
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "state.unwritable"
    ]


LIMITED = """
import asyncio, resource, signal, sys
from agent.engine.statefile import Memory, StateFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
asyncio.run(StateFile(sys.argv[1]).save({"model": Memory(identity="x" * 500)}))
print("still here")
"""


def test_a_full_disk_leaves_the_old_content_and_nothing_beside_it(tmp_path: Path) -> None:
    """No more room half-way through: what the last save left is still there, whole."""
    path = tmp_path / "state.json"
    saved(path, {"model": MEMORY})
    before = path.read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout == "still here\n"
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


def test_saves_that_overlap_leave_the_last_one(tmp_path: Path) -> None:
    path = tmp_path / "state.json"

    async def work() -> None:
        file = StateFile(str(path))
        await asyncio.gather(*(file.save({"model": Memory(instance=n)}) for n in range(1, 21)))

    asyncio.run(work())
    assert StateFile(str(path)).load()["model"].instance == 20


def test_a_cancelled_save_never_tears_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The agent's end cancels a save whose thread is writing still; the next save must not meet it half-way."""
    path = tmp_path / "state.json"
    big = {f"container-{n}": MEMORY for n in range(200)}

    async def work() -> None:
        file = StateFile(str(path))
        for instance in range(1, 41):
            task = asyncio.create_task(file.save({**big, "old": Memory(instance=instance)}))
            for _ in range(instance % 4 + 1):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await file.save({**big, "model": Memory(instance=instance)})
            document = json.loads(path.read_bytes())
            assert document["containers"]["model"]["instance"] == instance

    asyncio.run(work())
    assert [record.getMessage() for record in caplog.records] == []
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


# -- times -----------------------------------------------------------------------------------------------------


def rewritten(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_after_a_reboot_times_are_moved_by_the_wall_clock(tmp_path: Path) -> None:
    """An hour passed, on another boot whose clock began anew: what was 60 s ago is now an hour and 60 s ago."""
    path, now = tmp_path / "state.json", time.monotonic()
    saved(path, {"model": Memory(spent=(now - 60,), backoff_since=now - 60, given_up_at=now)})
    boottime = json.loads(path.read_text())["boottime"]
    containers = json.loads(path.read_text())["containers"]
    shifted = {"spent": [t + 5e6 for t in containers["model"]["spent"]]}
    shifted |= {key: containers["model"][key] + 5e6 for key in ("backoff_since", "given_up_at")}
    rewritten(
        path, boot_id="another", boottime=boottime + 5e6, unix=time.time() - 3600,
        containers={"model": {**containers["model"], **shifted}},
    )  # fmt: skip
    memory = StateFile(str(path)).load()["model"]
    assert memory.spent[0] == pytest.approx(now - 60 - 3600, abs=SECOND)
    assert memory.given_up_at == pytest.approx(now - 3600, abs=SECOND)


def test_a_wall_clock_that_went_back_makes_nothing_younger_than_when_it_was_written(tmp_path: Path) -> None:
    path, now = tmp_path / "state.json", time.monotonic()
    saved(path, {"model": Memory(spent=(now - 60,))})
    rewritten(path, boot_id="another", unix=time.time() + 1e6)
    assert StateFile(str(path)).load()["model"].spent[0] == pytest.approx(now - 60, abs=SECOND)


def test_within_one_boot_the_wall_clock_does_not_matter(tmp_path: Path) -> None:
    path, now = tmp_path / "state.json", time.monotonic()
    saved(path, {"model": Memory(spent=(now - 60,))})
    rewritten(path, unix=0.0)
    assert StateFile(str(path)).load()["model"].spent[0] == pytest.approx(now - 60, abs=SECOND)


def test_the_instances_of_another_boot_are_not_those_of_this_one(tmp_path: Path) -> None:
    """Process ids begin anew: what looks the same is not; what was spent is spent, and a hold is one still."""
    path = tmp_path / "state.json"
    saved(path, {"model": MEMORY})
    rewritten(path, boot_id="another")
    memory = StateFile(str(path)).load()["model"]
    assert (memory.identity, memory.started) == ("", False)
    assert (memory.instance, len(memory.spent), memory.backoff_delay) == (3, 2, 20.0)
    assert memory.hold is not None


# -- a file system that hangs ------------------------------------------------------------------------------------------


def hanging(path: Path) -> None:
    """A pipe that nobody reads, or writes: to open it waits for ever, as on a mount that is gone."""
    os.mkfifo(path)


def at_work() -> int:
    return sum(thread.name == "aside state file" for thread in threading.enumerate())


def freed(path: Path) -> None:
    """The mount is back: whoever waits for the pipe goes on, and has gone when this returns."""
    end = time.monotonic() + 5
    while at_work() and time.monotonic() < end:
        for way in (os.O_WRONLY, os.O_RDONLY):
            with contextlib.suppress(OSError):  # nobody is at the other end yet, or the pipe is gone
                os.close(os.open(path, way | os.O_NONBLOCK))
        time.sleep(0.005)
    assert not at_work()


def test_a_state_that_can_not_be_read_in_time_is_told_and_does_not_stop_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state.json"
    hanging(path)

    async def work() -> float:
        assert await StateFile(str(path)).recall() == {}
        return asyncio.get_running_loop().time()

    assert run_virtual(work) == 5.0
    assert [record.getMessage() for record in caplog.records] == ["state.unreadable"]
    freed(path)


def test_what_is_recalled_is_what_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    saved(path, {"model": MEMORY})
    assert nearly(asyncio.run(StateFile(str(path)).recall())["model"], MEMORY)
    assert asyncio.run(StateFile(None).recall()) == {}


def test_a_save_that_hangs_is_waited_for_five_seconds_and_only_the_newest_follows_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, beside = tmp_path / "state.json", tmp_path / ".state.json.new"
    hanging(beside)

    async def work() -> None:
        file, loop = StateFile(str(path)), virtual_loop()
        await file.save({"model": Memory(instance=1)})
        assert loop.time() == 5.0
        await asyncio.gather(*(file.save({"model": Memory(instance=n)}) for n in range(2, 20)))
        assert loop.time() == 10.0
        assert at_work() == 1, "one writes, whoever waits"
        assert [r.__dict__["detail"] for r in caplog.records] == ["not written within 5 s: the file system hangs"]
        # Not on the loop's own pool: its end would be awaited in virtual time.
        await aside("test", lambda: freed(beside))
        for _ in range(200):  # what waited is written now
            found = StateFile(str(path)).load()
            if found and found["model"].instance == 19:
                break
            await aside("test", lambda: time.sleep(0.02))
        assert StateFile(str(path)).load()["model"].instance == 19

    run_virtual(work)


# -- a process that is killed while it writes --------------------------------------------------------------------------


WRITER = """
import asyncio, sys
from agent.engine.statefile import Memory, StateFile
async def main():
    file = StateFile(sys.argv[1])
    await file.save({"model": Memory(instance=1, identity="x" * 20000)})
    print("writing", flush=True)
    for instance in range(2, 1_000_000):
        await file.save({"model": Memory(instance=instance, identity="x" * 20000)})
asyncio.run(main())
"""


@pytest.mark.parametrize("milliseconds", [0, 1, 3, 7, 20])
def test_a_process_killed_while_it_writes_leaves_the_old_or_the_new_content(tmp_path: Path, milliseconds: int) -> None:
    path = tmp_path / "state.json"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        try:
            process.wait(timeout=milliseconds / 1000)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
    memory = StateFile(str(path)).load()["model"]
    assert memory.instance >= 1
    assert len(memory.identity) == 20000
    saved(path, {"model": MEMORY})
    assert nearly(StateFile(str(path)).load()["model"], MEMORY)


def test_what_killed_processes_left_beside_it_does_not_pile_up(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    for _ in range(2):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.kill()
        assert len(list(tmp_path.iterdir())) <= 2
    saved(path, {"model": MEMORY})
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]
