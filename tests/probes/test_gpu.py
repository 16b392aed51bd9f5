"""The gpu check against a scripted driver: a real shared library, loaded by the real bindings in the real process."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.core.gpu import FLAG, GPUS, SLOWED
from agent.core.model import Check, CheckType, Outcome, Result, Target, failure, success
from agent.core.remembered import Answer, note_answer, sayings
from agent.engine.worker import look
from agent.probes.gpu import Gpu
from agent.runtimes import command
from agent.runtimes.nvml import CHILD, Nvml, shared
from tests.runtimes.nvml_stand_in import Driver, built

FIRST, SECOND = "GPU-00000000", "GPU-00000001"


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def driver(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """A driver with one GPU that is well."""
    monkeypatch.setenv("LD_LIBRARY_PATH", str(library.parent))
    monkeypatch.setenv("NVML_STAND_IN", str(tmp_path))
    return Driver(tmp_path)


@pytest.fixture
async def engaged(driver: Driver) -> AsyncIterator[None]:
    """As a worker does: NVML is listened to all the while."""
    Gpu().engage()
    yield
    Gpu().disengage()
    await shared().ended()


def a_target() -> Target:
    return Target("model", "127.0.0.1", timeout=5, check="liveness/gpu")


async def looked(target: Target | None = None, seconds: float = 5, **options: Any) -> Result:
    check = Check(name="gpu", type=CheckType.LIVENESS, method="gpu", options=Gpu(**options), timeout_seconds=seconds)
    return await look(check, target or a_target())


async def verdict(target: Target | None = None, **options: Any) -> tuple[str, str]:
    result = await looked(target, **options)
    return str(result.outcome), result.reason


WELL, GPU, ABSENT, UNKNOWN = ("success", "ok"), ("warning", "gpu"), ("warning", "unsupported"), ("error", "gpu")


# -- where there is nothing to see -------------------------------------------------------------------------------------


async def test_without_the_library_it_is_a_warning_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    if Path("/dev/nvidiactl").exists():  # noqa: ASYNC240 - one look
        pytest.skip("there is a real NVML here")
    result = await looked()
    assert (result.outcome, result.reason) == (Outcome.WARNING, "unsupported")
    assert "NVML" in result.detail


def test_without_the_bindings_the_process_says_how_to_install_them() -> None:
    without_packages = [sys.executable, "-I", "-S", CHILD]
    with subprocess.Popen(without_packages, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert b"pip install 'model-health-agent[gpu]'" in child.stdout.readline()
        assert child.wait(5) == 0


@pytest.mark.parametrize("code", [9, 18, 999])
async def test_a_driver_that_is_not_there_from_the_start_is_a_warning(driver: Driver, code: int) -> None:
    driver.set(init=code)
    target = a_target()
    assert await verdict(target) == ABSENT
    assert not target.seen.get(FLAG)


async def test_gpus_that_are_not_there_are_a_warning_that_tells_which_are(driver: Driver) -> None:
    result = await looked(devices=("GPU-elsewhere",))
    assert (result.reason, result.outcome) == ("unsupported", Outcome.WARNING)
    assert "none of GPU-elsewhere; visible are GPU-00000000" in result.detail
    assert await verdict(devices=("GPU-elsewhere", FIRST)) == ABSENT


async def test_a_machine_without_any_gpu_is_a_warning(driver: Driver) -> None:
    driver.set(count=0)
    assert await verdict() == ABSENT


# -- what it reads -----------------------------------------------------------------------------------------------------


async def test_a_gpu_that_is_well_is_a_success_and_known_to_the_metrics(driver: Driver) -> None:
    target = a_target()
    assert await verdict(target) == WELL
    assert (target.seen[GPUS], target.seen[FLAG]) == ({FIRST: ""}, {})
    assert not any(said.unready for said in sayings(target.seen).values())


@pytest.mark.parametrize(
    ("script", "action"),
    [
        ({"gpu0_recovery": 1}, "reset"),
        ({"gpu0_recovery": 2}, "drain"),
        ({"gpu0_recovery": 4}, "drain"),
        ({"gpu0_error": 16}, "reset"),
        ({"gpu0_remap_failed": 1}, "drain"),
    ],
)
async def test_a_gpu_that_no_restart_helps_takes_readiness_away_until_it_is_well_again(
    driver: Driver, engaged: None, script: dict[str, int], action: str
) -> None:
    """A warning and no failure: the check kills nothing, the brake holds whatever else would."""
    target = a_target()
    driver.set(**script)
    assert await verdict(target) == GPU
    assert (target.seen[FLAG], target.seen[GPUS]) == ({FIRST: action}, {FIRST: action})
    assert [said.unready for said in sayings(target.seen).values()] == [True]
    driver.set(**dict.fromkeys(script, 0))
    assert await verdict(target) == WELL
    assert (target.seen[FLAG], target.seen[GPUS]) == ({}, {FIRST: ""})
    assert [said.unready for said in sayings(target.seen).values()] == [False]


@pytest.mark.parametrize(("clocks", "slowed"), [(0x8, True), (0x40, True), (0x80, True), (0x4, False), (0, False)])
async def test_what_the_hardware_slows_is_known_to_the_rule_of_progress(
    driver: Driver, clocks: int, slowed: bool
) -> None:
    """A power cap is everyday."""
    target = a_target()
    driver.set(gpu0_clocks=clocks)
    await verdict(target)
    assert (SLOWED in target.seen) is slowed


@pytest.mark.parametrize("script", [{"gpu0_remap_pending": 1}, {"gpu0_clocks": 0x48}, {"gpu0_error": 15}])
async def test_what_only_deserves_a_note_is_a_warning_that_changes_nothing(
    driver: Driver, script: dict[str, int]
) -> None:
    """One read that finds no GPU is not yet a lost one."""
    target = a_target()
    driver.set(**script)
    assert await verdict(target) == GPU
    assert not target.seen[FLAG]


async def test_what_a_gpu_does_not_support_says_nothing(driver: Driver) -> None:
    driver.set(gpu0_recovery=-1, gpu0_remaps=0, events=3)
    result = await looked()
    assert result.outcome is Outcome.SUCCESS
    assert "XID errors are not seen" in result.detail


@pytest.mark.parametrize("name", ["gpu-00000001", "0000:3c:00.0", "3C:00.0", "00000000:3C:00.0"])
async def test_gpus_are_chosen_by_uuid_or_bus_id(driver: Driver, name: str) -> None:
    driver.set(count=2, gpu0_recovery=1)
    target = a_target()
    assert await verdict(target, devices=(name,)) == WELL
    assert target.seen[GPUS] == {SECOND: ""}
    assert await verdict() == GPU


def test_an_index_is_refused() -> None:
    assert [path for path, _ in Gpu(devices=("0", FIRST)).check_options()] == ["devices[0]"]


async def test_errors_of_ecc_count_from_where_they_stood(driver: Driver, engaged: None) -> None:
    target = a_target()
    driver.set(gpu0_ecc=7)
    assert await verdict(target) == WELL
    driver.set(gpu0_ecc=8)
    assert await verdict(target) == GPU


# -- XID errors --------------------------------------------------------------------------------------------------------


async def heard(target: Target) -> Result:
    """The first look after the event was told."""
    async with asyncio.timeout(5):
        while (result := await looked(target)).outcome is Outcome.SUCCESS:  # noqa: ASYNC110 - it must be asked
            await asyncio.sleep(0.02)
    return result


def answered(target: Target, path: str, result: Result, ago: float, method: str = "http_get") -> None:
    note_answer(target.seen, path, Answer(method, result, asyncio.get_running_loop().time() - ago))


async def test_an_error_of_the_process_is_a_warning_while_its_server_is_well(driver: Driver, engaged: None) -> None:
    """It may be the neighbour's."""
    target = a_target()
    assert await verdict(target) == WELL
    answered(target, "liveness/answers", success(), 1)
    driver.xid(31)
    assert (await heard(target)).outcome is Outcome.WARNING
    assert not target.seen[FLAG]


@pytest.mark.parametrize(
    ("path", "method", "ago", "outcome"),
    [
        ("liveness/answers", "http_get", 30, Outcome.FAILURE),
        ("readiness/progress", "progress", 30, Outcome.FAILURE),
        ("readiness/models", "http_get", 30, Outcome.WARNING),
        ("liveness/answers", "http_get", 70, Outcome.WARNING),
        ("liveness/gpu", "gpu", 1, Outcome.WARNING),  # its own word is no second one
    ],
)
async def test_it_is_a_failure_beside_one_of_the_servers_own(  # noqa: PLR0917 - its cases
    driver: Driver, engaged: None, path: str, method: str, ago: float, outcome: Outcome
) -> None:
    target = a_target()
    assert await verdict(target) == WELL
    answered(target, path, failure("timeout"), ago, method)
    driver.xid(31)
    result = await heard(target)
    assert (result.outcome, result.reason) == (outcome, "gpu")


async def test_a_new_instance_does_not_pay_for_the_errors_of_the_last(driver: Driver, engaged: None) -> None:
    target = a_target()
    assert await verdict(target) == WELL
    driver.xid(31)
    await heard(target)
    target.seen = {}
    answered(target, "liveness/answers", failure("timeout"), 0)
    assert await verdict(target) == WELL


async def test_a_fallen_gpu_is_drained_even_where_the_driver_knows_no_recovery_action(
    driver: Driver, engaged: None
) -> None:
    """And a new instance changes nothing about it."""
    target = a_target()
    driver.set(gpu0_recovery=-1)
    assert await verdict(target) == WELL
    driver.xid(79)
    await heard(target)
    assert target.seen[FLAG] == {FIRST: "drain"}
    target.seen = {}
    assert await verdict(target) == GPU
    assert target.seen[FLAG] == {FIRST: "drain"}


# -- a process of its own ----------------------------------------------------------------------------------------------


def children() -> list[int]:
    own = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in own if str(CHILD) in Path(f"/proc/{pid}/cmdline").read_text()]


async def test_the_process_lives_as_long_as_somebody_needs_it(driver: Driver) -> None:
    assert children() == []
    Gpu().engage()
    assert await verdict() == WELL
    (pid,) = children()
    assert await verdict() == WELL
    assert children() == [pid], "the same one"
    assert pid in command.sessions(), "it is never taken for the server"
    Gpu().disengage()
    await shared().ended()
    assert children() == []
    assert await verdict() == WELL, "who looks once needs no more than that"
    assert children() == []


async def test_a_driver_that_hangs_is_unknown_in_time_and_holds_up_nobody(driver: Driver, engaged: None) -> None:
    assert await verdict() == WELL
    driver.set(gpu0_hangs=1)
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    beating = asyncio.create_task(beat())
    result = await looked(seconds=0.3)
    assert (str(result.outcome), result.reason) == UNKNOWN
    assert beats > 15
    assert await verdict(seconds=0.2) == UNKNOWN, "the question still stands"
    driver.set(gpu0_hangs=0)
    assert await verdict() == WELL
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)


async def test_a_process_that_hangs_for_too_long_is_killed_and_started_anew(driver: Driver) -> None:
    nvml = Nvml(stuck_seconds=0.2)
    nvml.acquire()
    assert (await nvml.look()).readings
    (first,) = children()
    driver.set(gpu0_hangs=1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await nvml.look()
    driver.set(gpu0_hangs=0)
    await until_looked(nvml)
    assert children() != [first]
    nvml.release()
    await nvml.ended()


async def until_looked(nvml: Nvml) -> None:
    """The killed process has to end first."""
    async with asyncio.timeout(5):
        while True:
            try:
                assert (await nvml.look()).readings
            except OSError:
                await asyncio.sleep(0.02)
            else:
                return


async def test_a_killed_process_is_unknown_once_and_replaced(driver: Driver, engaged: None) -> None:
    assert await verdict() == WELL
    (pid,) = children()
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(5):
        while children() == [pid] or await verdict() == UNKNOWN:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    assert await verdict() == WELL
    assert len(children()) == 1


async def test_nvml_that_is_lost_after_it_has_worked_is_a_gpu_that_cannot_be_read(driver: Driver) -> None:
    """Only another container helps then; that takes three looks in ten seconds (see the rule's own tests)."""
    nvml = Nvml(again_seconds=0.0)
    nvml.acquire()
    assert (await nvml.look()).readings[0].error is None
    driver.set(init=999)
    os.kill(children()[0], signal.SIGKILL)
    async with asyncio.timeout(5):
        while True:
            try:
                found = await nvml.look()
            except OSError:
                await asyncio.sleep(0.02)
                continue
            if found.readings and found.readings[0].error is not None:
                break
    assert (found.readings[0].gpu, found.readings[0].error, found.absent) == (FIRST, 999, "")
    driver.set(init=0)
    await until_looked(nvml)
    nvml.release()
    await nvml.ended()


async def test_a_gpu_that_is_no_longer_found_cannot_be_read_either(driver: Driver) -> None:
    driver.set(count=2)
    nvml = Nvml()
    nvml.acquire()
    assert [one.error for one in (await nvml.look()).readings] == [None, None]
    driver.set(count=1)
    os.kill(children()[0], signal.SIGKILL)
    await until_looked(nvml)
    assert [(one.gpu, one.error) for one in (await nvml.look()).readings] == [(FIRST, None), (SECOND, 28)]
    nvml.release()
    await nvml.ended()


def test_the_process_ends_with_the_agent_even_while_the_driver_hangs(driver: Driver) -> None:
    driver.set(gpu0_hangs=1)
    with subprocess.Popen([sys.executable, "-I", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline()
        child.stdin.write(b"1\n")
        child.stdin.close()
        assert child.wait(5) == 0


@pytest.fixture(autouse=True)
def _no_child_is_left() -> Iterator[None]:
    yield
    assert children() == []
