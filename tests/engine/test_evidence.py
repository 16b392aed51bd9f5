"""Evidence of real processes: what is kept, that it is bounded and redacted, and that nothing ever waits for it."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.core.redact import redactor
from agent.core.settings import Container
from agent.engine.evidence import MAX_FILE_BYTES, MOST_FOLDERS, Scene, Vault
from agent.runtimes import Instance

SECRET = "hunter2-and-more"
SERVER = """
import socket, sys, threading
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
threading.Thread(target=lambda: threading.Event().wait(), daemon=True).start()
threading.Event().wait()
"""


class Logs:
    """A runtime that has the server's last log lines, or takes its time."""

    def __init__(self, text: str = "", *, hangs: bool = False, breaks: bool = False) -> None:
        self.text, self.hangs, self.breaks = text, hangs, breaks

    async def instance(self) -> Instance | None:
        return None

    async def log_tail(self) -> str:
        if self.hangs:
            await asyncio.Event().wait()
        if self.breaks:
            raise ConnectionResetError("the engine is gone")
        return self.text


@pytest.fixture
def server() -> Iterator[tuple[int, int]]:
    """Pid and port of a process that listens."""
    argv = [sys.executable, "-c", SERVER, "--api-key", SECRET, "TOKEN=abcdef", "http://u:pw-pw@h/"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())
        process.kill()


def scene(runtime: Any = None, **known: Any) -> Scene:
    spec = Container(name="model", port=known.pop("port", None), runtime=runtime)
    given = {"status": lambda: {"state": "hung"}, "history": lambda: {"liveness/http_get": []}, **known}
    return Scene(spec=spec, order={"type": "pre_restart", "reason": "timeout"}, **given)


def kept(where: str) -> dict[str, str]:
    return {path.name: path.read_text() for path in Path(where).iterdir()}


def test_what_is_known_and_what_proc_tells_is_kept_in_one_folder(server: tuple[int, int], tmp_path: Path) -> None:
    pid, port = server
    where = asyncio.run(Vault(str(tmp_path / "new"), str).gather(scene(Logs("the last line\n"), pid=pid), 10))
    assert Path(where).parent == tmp_path / "new"
    assert Path(where).name.startswith("model-2")
    found = kept(where)
    assert json.loads(found["restart.json"])["reason"] == "timeout"
    assert json.loads(found["status.json"]) == {"state": "hung"}
    assert found["log.txt"] == "the last line\n"
    assert "Name:" in found["status.txt"]
    assert found["threads.txt"].count(" state ") == 2
    assert f"port {port} listens, 0 connections" in found["sockets.txt"]
    assert "socket:[" in found["descriptors.txt"]
    assert f"{pid} of {os.getpid()}" in found["processes.txt"]
    assert found["cgroup.txt"]


def test_a_server_that_nobody_names_is_found_by_its_port(server: tuple[int, int], tmp_path: Path) -> None:
    pid, port = server
    found = kept(asyncio.run(Vault(str(tmp_path), str).gather(scene(port=port), 10)))
    assert f"{pid} of " in found["processes.txt"]


def test_with_py_spy_the_python_stacks_are_kept_too(
    server: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid, _ = server
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    stacks = kept(asyncio.run(Vault(str(tmp_path), str).gather(scene(pid=pid), 10)))["python-stacks.txt"]
    assert stacks.startswith(("Python v3.", "py-spy had nothing to say")), stacks
    assert os.geteuid() != 0 or "(threading.py" in stacks


def test_a_stopped_server_is_seen_as_such_and_its_backlog_too(server: tuple[int, int], tmp_path: Path) -> None:
    pid, port = server
    os.kill(pid, signal.SIGSTOP)
    waiting = socket.create_connection(("127.0.0.1", port))
    found = kept(asyncio.run(Vault(str(tmp_path), str).gather(scene(pid=pid), 10)))
    waiting.close()
    assert "State:\tT (stopped)" in found["status.txt"]
    assert f"port {port} listens, 1 connections wait" in found["sockets.txt"]


def test_no_secret_is_kept(server: tuple[int, int], tmp_path: Path) -> None:
    """Neither what `${NAME}` stood for, nor what a command line gives away."""
    pid, _ = server
    known = scene(Logs(f"loaded with {SECRET}"), pid=pid, status=lambda: {"detail": f"https://h/?k={SECRET}"})
    where = asyncio.run(Vault(str(tmp_path), redactor([SECRET])).gather(known, 10))
    everything = "\n".join(kept(where).values())
    assert SECRET not in everything
    for word in ("abcdef", "pw-pw"):
        assert word not in everything
    assert "--api-key [redacted] TOKEN=[redacted] http://u:[redacted]@h/" in everything
    assert not list(Path(where).glob("*environ*"))


def test_a_secret_that_json_writes_otherwise_is_found_all_the_same(tmp_path: Path) -> None:
    secret = 'pa"ss\\w0rd\u00fc\n'
    known = scene(
        status=lambda: {"detail": f"it said {secret}"}, sayings=lambda: {secret: secret},
        measured=lambda: {"progress.json": {"engines": {f"model={secret}": {"busy": 1.0}}}},
    )  # fmt: skip
    found = kept(asyncio.run(Vault(str(tmp_path), redactor([secret])).gather(known, 10)))
    assert json.loads(found["status.json"]) == {"detail": "it said [redacted]"}
    assert json.loads(found["progress.json"]) == {"engines": {"model=[redacted]": {"busy": 1.0}}}
    assert "w0rd" not in "".join(found.values())


def test_command_lines_hide_secrets_that_no_configuration_names(server: tuple[int, int], tmp_path: Path) -> None:
    pid, _ = server
    assert SECRET not in "\n".join(kept(asyncio.run(Vault(str(tmp_path), str).gather(scene(pid=pid), 10))).values())


@pytest.mark.parametrize(
    ("runtime", "word"), [(Logs(hangs=True), "(not there after 0.4 s)"), (Logs(breaks=True), "the engine is gone")]
)
def test_what_hangs_or_breaks_is_noted_and_waited_for_no_longer(runtime: Logs, word: str, tmp_path: Path) -> None:
    began = time.monotonic()
    found = kept(asyncio.run(Vault(str(tmp_path), str).gather(scene(runtime), 0.5)))
    assert time.monotonic() - began < 2
    assert word in found["log.txt"]
    assert "status.json" in found


def test_a_process_that_is_gone_costs_nothing_but_its_files(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    found = kept(asyncio.run(Vault(str(tmp_path), str).gather(scene(pid=gone.pid), 5)))
    assert "No such file" in found["status.txt"]


def test_files_are_cut_and_old_folders_make_room(tmp_path: Path) -> None:
    vault = Vault(str(tmp_path), str)
    for other in ("model-2-20260101T000000Z", "model-notes", "other-20260101T000000Z"):
        (tmp_path / other).mkdir()
    for number in range(MOST_FOLDERS):
        (tmp_path / f"model-202601{number + 1:02}T000000Z").mkdir()
    where = asyncio.run(vault.gather(scene(Logs("x" * (2 * MAX_FILE_BYTES))), 5))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len([name for name in names if name.startswith("model-2026")]) == MOST_FOLDERS
    assert "model-20260101T000000Z" not in names, "the oldest"
    assert {"model-2-20260101T000000Z", "model-notes", "other-20260101T000000Z"} <= set(names), "nobody else's"
    assert (Path(where) / "log.txt").stat().st_size == MAX_FILE_BYTES


def test_two_restarts_of_one_second_have_two_folders(tmp_path: Path) -> None:
    vault = Vault(str(tmp_path), str)
    folders = {asyncio.run(vault.gather(scene(), 5)) for _ in range(3)}
    assert len(folders) == 3


def test_where_nothing_can_be_kept_it_says_so_and_nothing_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert asyncio.run(Vault(str(tmp_path / "file"), str).gather(scene(), 5)) == ""
    assert [record.message for record in caplog.records] == ["evidence.missing"]


def test_a_full_disk_is_told_and_fails_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root: run the tests as root, or in a container with CAP_SYS_ADMIN")
    try:
        where = asyncio.run(Vault(str(disk), str).gather(scene(Logs("x" * 65536)), 5))
        assert "restart.json" in kept(where), "what was written before stays"
        assert [record.message for record in caplog.records] == ["evidence.missing"]
        assert "No space left" in caplog.records[0].__dict__["detail"]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_bug_in_what_is_told_fails_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Any:
        raise ZeroDivisionError("a bug")

    asyncio.run(Vault(str(tmp_path), str).gather(scene(status=broken), 5))
    assert [record.message for record in caplog.records] == ["evidence.error"]
