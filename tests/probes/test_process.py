"""The process check on real processes: gone, a zombie, stopped, workers missing, too much memory, too many files."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from agent.core.model import Check, CheckType, Result, Target
from agent.engine.worker import look
from agent.probes.process import ProcessCheck
from agent.runtimes import proc
from tests.runtimes.support import ended, isolated, until

from .support import closed_port

MASTER = (
    "import subprocess, sys, time\n"
    "for _ in range(int(sys.argv[2])):\n"
    "    subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "time.sleep(60)"
)


class Family:
    """A server process with so many workers."""

    def __init__(self, workers: int) -> None:
        self.mark = f"server-{secrets.token_hex(8)}"
        self.process = subprocess.Popen([sys.executable, "-c", MASTER, self.mark, str(workers)], start_new_session=True)
        self.pid = self.process.pid

    def check(self, **options: Any) -> ProcessCheck:
        return ProcessCheck(command_contains=self.mark, **options)

    def workers(self) -> list[int]:
        return [one.pid for one in proc.everyone().values() if one.parent == self.pid]

    async def ready(self, count: int) -> None:
        await until(lambda: len([pid for pid in self.workers() if proc.command_line(pid)[-1:] != ["1"]]) == count)

    def end(self) -> None:
        os.killpg(self.pid, signal.SIGKILL)
        self.process.wait(10)


@pytest.fixture
def start() -> Iterator[Any]:
    with ExitStack() as stack:

        def start(workers: int = 0) -> Family:
            family = Family(workers)
            stack.callback(family.end)
            return family

        yield start


async def look_at(method: ProcessCheck, target: Target | None = None) -> Result:
    check = Check(name="process", type=CheckType.LIVENESS, method="process", options=method, timeout_seconds=5)
    return await look(check, target or Target("model", "127.0.0.1", check="liveness/process"))


async def verdict(method: ProcessCheck, target: Target | None = None) -> tuple[str, str]:
    result = await look_at(method, target)
    return str(result.outcome), result.reason


OK, GONE, STOPPED = ("success", "ok"), ("failure", "gone"), ("failure", "stopped")


async def test_a_server_that_runs_is_well_until_it_is_gone_and_its_zombie_is_no_server(start: Any) -> None:
    server = start()
    await until(lambda: proc.command_line(server.pid))
    assert await verdict(server.check()) == OK
    server.process.kill()
    await ended(server.pid)
    assert await verdict(server.check()) == GONE


async def test_it_is_found_by_its_pid_file_and_by_its_port(start: Any, tmp_path: Path) -> None:
    server = start()
    (tmp_path / "pid").write_text(str(server.pid))
    assert await verdict(ProcessCheck(pid_file=str(tmp_path / "pid"))) == OK
    assert await verdict(ProcessCheck(pid_file=str(tmp_path / "none"))) == GONE
    assert await verdict(ProcessCheck(listens_on=closed_port())) == GONE


@pytest.mark.parametrize("who", ["the server", "a worker"])
async def test_a_stopped_process_fails_once_it_has_been_stopped_for_long_enough(start: Any, who: str) -> None:
    """A worker too: the server's own health endpoint goes on saying 200 then."""
    server = start(2)
    await server.ready(2)
    pid = server.pid if who == "the server" else server.workers()[0]
    method, target = server.check(stopped_after_seconds=0.3), Target("model", "127.0.0.1", check="liveness/process")
    assert await verdict(method, target) == OK
    os.kill(pid, signal.SIGSTOP)
    await until(lambda: (one := proc.seen(pid)) is not None and one.state == "T")
    assert await verdict(method, target) == OK, "not yet"
    await asyncio.sleep(0.35)
    assert await verdict(method, target) == STOPPED
    os.kill(pid, signal.SIGCONT)
    await until(lambda: (one := proc.seen(pid)) is not None and one.state != "T")
    assert await verdict(method, target) == OK
    os.kill(pid, signal.SIGSTOP)
    await until(lambda: (one := proc.seen(pid)) is not None and one.state == "T")
    assert await verdict(method, target) == OK, "stopped anew: its time begins anew"
    assert await verdict(server.check(stopped_after_seconds=0)) == STOPPED
    os.kill(pid, signal.SIGCONT)


async def test_workers_that_are_missing_are_counted(start: Any) -> None:
    server = start(2)
    await server.ready(2)
    assert await verdict(server.check(workers=2)) == OK
    os.kill(server.workers()[0], signal.SIGKILL)
    await until(lambda: len(server.workers()) == 1)  # the other one is a zombie: nobody waits for it
    result = await look_at(server.check(workers=2))
    assert (str(result.outcome), result.reason) == GONE
    assert "1 of 2 workers" in result.detail
    assert await verdict(server.check()) == OK, "none were asked for"


async def test_memory_is_summed_over_the_server_and_what_is_below_it(start: Any) -> None:
    server = start(2)
    await server.ready(2)
    alone = proc.resident_bytes(server.pid)
    assert alone > 1 << 20
    assert await verdict(server.check(max_rss_bytes=alone + 100_000)) == ("failure", "expectation")
    assert await verdict(server.check(max_rss_bytes=100 * alone)) == OK


async def test_descriptors_are_a_fraction_of_what_may_be_open(start: Any) -> None:
    server = start()
    await until(lambda: proc.command_line(server.pid))
    os.kill(server.pid, signal.SIGSTOP)  # between the two looks it opens and closes nothing
    await until(lambda: proc.everyone()[server.pid].state == "T")
    counted = proc.descriptors(server.pid)
    assert counted is not None
    used, allowed = counted
    assert used == len(list(Path(f"/proc/{server.pid}/fd").iterdir()))  # noqa: ASYNC240 - /proc
    os.kill(server.pid, signal.SIGCONT)
    await until(lambda: proc.everyone()[server.pid].state != "T")
    assert await verdict(server.check(max_fds_fraction=1.0)) == OK
    assert await verdict(server.check(max_fds_fraction=used / allowed / 2)) == ("failure", "expectation")


SAY = (
    "from agent.core.model import Target\n"
    "from agent.probes.process import ProcessCheck\n"
    "found = asyncio.run(ProcessCheck({options}).probe(Target('model', '127.0.0.1', check='x')))\n"
    "print(found.outcome, found.reason, found.detail)\n"
)


def test_processes_beyond_the_pid_namespace_are_an_error_with_its_remedy() -> None:
    body = SAY.format(options="command_contains='no such server'")
    ran = isolated("unshare", "--pid", "--fork", "--mount-proc", body=body)
    assert ran.stdout.startswith("error runtime the agent sees no process but its own: share the pid namespace"), ran


def test_another_users_descriptors_are_a_warning_with_its_remedy(open_folder: Path) -> None:
    """The server is this test's own process, and whoever looks is nobody."""
    (open_folder / "pid").write_text(str(os.getpid()))
    body = SAY.format(options=f"pid_file='{open_folder}/pid', max_fds_fraction=0.5")
    ran = isolated("setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all", body=body)
    assert ran.stdout.startswith("warning unsupported max_fds_fraction: the agent may not see"), ran


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may read, unlike those of the tests."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


async def test_a_lack_of_descriptors_of_the_agents_own_is_an_error(start: Any) -> None:
    server = start()
    await until(lambda: proc.command_line(server.pid))
    body = (
        "import resource\n"
        "from agent.core.model import Check, CheckType, Target\n"
        "from agent.engine.worker import look\n"
        "from agent.probes.process import ProcessCheck\n"
        f"method = ProcessCheck(command_contains={server.mark!r})\n"
        "check = Check(name='p', type=CheckType.LIVENESS, method='process', options=method)\n"
        "async def work():\n"
        "    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n"
        "    target = Target('model', '127.0.0.1')\n"
        "    found = await look(check, target)\n"
        "    print(found.outcome, found.reason, target.impaired)\n"
        "asyncio.run(work())\n"
    )
    ran = subprocess.run(  # noqa: ASYNC221
        [sys.executable, "-c", f"import asyncio\n{body}"], capture_output=True, text=True, timeout=20, check=False
    )
    assert ran.stdout == "error internal True\n", ran


@pytest.mark.parametrize(
    ("options", "told"), [({}, "none is given"), ({"listens_on": 1, "pid_file": "x"}, "not pid_file and port")]
)
def test_exactly_one_way_to_find_it_is_needed(options: dict[str, Any], told: str) -> None:
    (problem,) = ProcessCheck(**options).check_options()
    assert problem == ("", f"exactly one of command_contains, pid_file and port is needed, {told}")


def test_one_failure_is_enough_by_default() -> None:
    assert ProcessCheck.default_failure_threshold == 1
