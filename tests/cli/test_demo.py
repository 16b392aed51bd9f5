"""`demo`: both processes come, the model server comes again, and nothing stays."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli import main
from tests.cli.support import unused_port

PORT, MODEL_PORT = unused_port(), unused_port()


@pytest.fixture
def demo(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A demo whose temporary files are ours to look at; killed with all it started where a test fails."""
    words = ["demo", f"--port={PORT}", f"--model-port={MODEL_PORT}", "--load-seconds=0"]
    child = subprocess.Popen(
        [sys.executable, "-u", "-m", "agent", *words],
        env={"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    too_long = threading.Timer(30, child.kill)  # so that reading on from a silent demo ends
    too_long.start()
    yield child
    too_long.cancel()
    if child.poll() is None:
        child.terminate()
    if child.stdout is not None:
        child.stdout.close()
    child.wait(10)


def wait_until_ready() -> int:
    return main(["wait", "--for", "ready", "--timeout", "20", "--url", f"http://127.0.0.1:{PORT}"])


def post(path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", MODEL_PORT, timeout=5)
    try:
        connection.request("POST", path, b"hello")
        return connection.getresponse().status
    finally:
        connection.close()


def read_until(child: "subprocess.Popen[str]", words: str) -> str:
    """The line that holds these words."""
    assert child.stdout is not None
    for line in child.stdout:
        if words in line:
            return line
    raise AssertionError(f"the demo ended without saying {words!r}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_crashed_server_is_started_again_and_ctrl_c_leaves_nothing(
    demo: "subprocess.Popen[str]", number: signal.Signals, tmp_path: Path
) -> None:
    read_until(demo, "Ctrl-C ends both")
    assert wait_until_ready() == 0
    assert post("/predict") == 200
    if number is signal.SIGINT:
        assert post("/crash") == 202
        assert "(exit status 1)" in read_until(demo, "starting it again")
    (pid_file,) = tmp_path.glob("*/model.pid")
    model = int(pid_file.read_text())
    demo.send_signal(number)
    read_until(demo, "both are gone")
    assert demo.wait(10) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(model, 0)
    for port in (PORT, MODEL_PORT):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--port", "--model-port"])
def test_a_port_in_use_is_told_with_the_option_that_chooses_another(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = {"--port": unused_port(), "--model-port": unused_port()} | {option: port}
        assert main(["demo", *(f"{name}={number}" for name, number in words.items())]) == 1
    assert capsys.readouterr().err == (
        f"health-agent demo: 127.0.0.1:{port} is in use; end what uses it, or choose another with {option}\n"
    )


def test_the_two_ports_must_differ(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", f"--port={PORT}", f"--model-port={PORT}"]) == 2
    assert "must differ" in capsys.readouterr().err
