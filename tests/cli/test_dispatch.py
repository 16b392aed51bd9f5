"""The command itself: finding a command, help, statuses, and leaving quietly."""

import signal
import subprocess
import sys
from importlib import import_module

import pytest

from agent import __version__
from agent.cli import COMMANDS, main
from tests.cli.support import Listener, health_agent


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    listed = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")}
    assert set(COMMANDS) <= listed


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example_of_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: health-agent {name}")
    assert "examples:\n" in text
    assert name in text.partition("examples:\n")[2] or name == "run"


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "healthcheck"])
def test_no_option_can_be_shortened(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Or an option of a later version would change what today's scripts mean."""
    assert main([name, "--hel"]) == 2
    assert capsys.readouterr().err


def test_a_misspelt_command_is_corrected(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["valdiate", "x.yaml"]) == 2
    assert "did you mean 'validate'?" in capsys.readouterr().err


def test_without_a_command_the_options_are_those_of_run() -> None:
    found = health_agent("--config", "/nowhere/config.yaml")
    assert found.returncode == 2
    assert found.stderr.startswith("/nowhere/config.yaml: cannot be read: No such file or directory")


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"health-agent {__version__}\n"


def test_a_reader_that_has_had_enough_ends_it_silently() -> None:
    """`health-agent schema | head -1`: no traceback, and the status a shell gives for SIGPIPE."""
    child = subprocess.Popen(
        [sys.executable, "-m", "agent", "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={}
    )
    assert child.stdout is not None
    child.stdout.close()
    assert child.stderr is not None
    assert child.stderr.read() == b""
    child.stderr.close()
    assert child.wait(10) == 141


def test_a_full_disk_is_told_in_a_line() -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123  (a device is no path to speak of)
        child = subprocess.run(
            [sys.executable, "-m", "agent", "schema"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert child.returncode == 1
    assert child.stderr == b"health-agent: standard output can't be written: No space left on device\n"


def test_ctrl_c_leaves_no_traceback() -> None:
    with Listener({"/ready?verbose": [(503, "")]}) as agent:
        child = subprocess.Popen(
            [sys.executable, "-m", "agent", "wait", "--for", "ready", "--url", agent.url], stderr=subprocess.PIPE
        )
        agent.first_asked.wait(10)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=10)
    assert child.returncode == 130
    assert err == b""


def test_every_module_in_the_table_is_a_command() -> None:
    for module, _ in COMMANDS.values():
        assert callable(import_module(module).main)
