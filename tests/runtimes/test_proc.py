"""What /proc tells is read right, whatever a process is called and whenever it vanishes."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.runtimes import proc
from tests.runtimes.support import until

TAIL = "S 7 41 41 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 {threads} 0 {started} 0 0"


@given(name=st.text(st.characters(exclude_categories=["Cs"]), max_size=15), started=st.integers(0, 10**12))
def test_any_name_is_parsed(name: str, started: int) -> None:
    found = proc.parse_stat(f"41 ({name}) {TAIL.format(threads=1, started=started)}")
    assert found == proc.Seen(pid=41, parent=7, started=started, session=41, state="S", name=name)


@pytest.mark.parametrize("state", ["Z", "X", "x"])
def test_a_zombie_is_gone_but_not_while_another_thread_of_it_lives(state: str) -> None:
    line = f"41 (x) {state}" + TAIL[1:]
    assert proc.parse_stat(line.format(threads=1, started=5)) is None
    assert proc.parse_stat(line.format(threads=0, started=5)) is None
    assert proc.parse_stat(line.format(threads=2, started=5)) is not None


@pytest.mark.parametrize("name", ["a) (b", "new\nline", ") S 1 1 1 ", "x" * 40])
def test_a_real_process_of_an_odd_name_is_seen(name: str, tmp_path: Path) -> None:
    program = tmp_path / name
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    with subprocess.Popen([program, "30"]) as process:
        found = proc.seen(process.pid)
        process.kill()
    assert found is not None
    assert (found.pid, found.parent, found.name) == (process.pid, os.getpid(), name[:15])


def test_a_real_zombie_has_no_state_and_no_command_line() -> None:
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert proc.seen(process.pid) is None
        assert proc.command_line(process.pid) == []


async def test_a_process_whose_main_thread_ended_is_still_there() -> None:
    """So a killed server is not taken for gone while a thread of it is stuck in a driver."""
    body = "import ctypes,threading,time; threading.Thread(target=time.sleep,args=(30,)).start(); ctypes.CDLL(None)."
    with subprocess.Popen([sys.executable, "-c", body + f"syscall({_exit_thread()}, 0)"]) as process:  # noqa: ASYNC220
        stat = Path(f"/proc/{process.pid}/stat")
        await until(lambda: ") Z " in stat.read_text())
        assert proc.seen(process.pid) is not None
        process.kill()


def _exit_thread() -> int:
    return {"x86_64": 60, "aarch64": 93}[os.uname().machine]


def test_what_does_not_exist_is_none() -> None:
    assert proc.seen(2**22 + 1) is None
    assert proc.command_line(2**22 + 1) == []
    assert proc.owner(2**22 + 1) is None


def test_the_agent_itself_is_seen_with_its_ancestors() -> None:
    me = proc.seen(os.getpid())
    assert me is not None
    assert me.parent == os.getppid()
    assert os.getppid() in proc.ancestors(os.getpid())
    assert os.getpid() in {one.pid for one in proc.descendants(os.getppid(), proc.everyone().values())}


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_listener_is_found_by_its_port(family: socket.AddressFamily) -> None:
    with socket.create_server(("", 0), family=family) as server:
        inodes = proc.listening(server.getsockname()[1])
        assert inodes == {str(os.fstat(server.fileno()).st_ino)}
        assert proc.holders(inodes) == [os.getpid()]


def test_a_port_that_is_bound_or_connected_only_is_no_listener() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert proc.listening(bound.getsockname()[1]) == set()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert proc.listening(client.getsockname()[1]) == set()


def test_threads_of_the_kernel_are_told_apart() -> None:
    found = [one for one in proc.everyone().values() if one.name == "kthreadd"]
    if not found:
        pytest.skip("no kernel threads are visible in this pid namespace")
    assert found[0].kernel


def test_descendants_stop_at_a_circle() -> None:
    """The parents were read one after the other, so a reused number may close a circle."""
    people = [proc.Seen(pid=2, parent=3, started=1), proc.Seen(pid=3, parent=2, started=2)]
    assert {one.pid for one in proc.descendants(2, people)} == {2, 3}
