"""`report`: each restart that was wanted and not done, with what would have changed it."""

import json

import pytest

from agent.cli import main
from agent.core.spared import Spared
from agent.server import status
from tests.cli.support import Listener, unused_port
from tests.server.known import RESTART, Known, container

SPARED = Spared(
    time=1_700_000_000.0, last=1_700_000_100.0, times=2, why="dry_run", action="signal", check="liveness/answers",
    reason="timeout", failures=7, failing_since=1_700_000_000.0, failure_threshold=3, timeout_seconds=5.0,
    slowest_seconds=4.6, ended="recovered", ended_at=1_700_000_120.0,
)  # fmt: skip


def answers(*spared: Spared) -> dict[str, list[tuple[int, str]]]:
    known = Known(container(spared=spared, restarts=(RESTART,)))
    whole, one = (status.answer(known, name, full=False).body for name in (None, "model"))
    return {
        "/status": [(200, bytes(whole).decode())],  # type: ignore[arg-type]
        "/status?container=model": [(200, bytes(one).decode())],  # type: ignore[arg-type]
    }


def test_each_failing_is_told_with_what_would_have_changed_it(capsys: pytest.CaptureFixture[str]) -> None:
    with Listener(answers(SPARED)) as agent:
        assert main(["report", "--url", agent.url]) == 0
        text = capsys.readouterr().out
        assert main(["report", "--url", agent.url, "--format", "json"]) == 0
        told = json.loads(capsys.readouterr().out)["containers"][0]
    assert text.startswith("model: 1 times a restart was wanted and not done; 1 restarts on record\n")
    for word in ("liveness/answers  timeout  held back by dry_run  2 x signal", "failure_threshold above 7 (it is 3)"):
        assert word in text
    assert (told["name"], told["spared"][0]["why"], len(told["restarts"])) == ("model", "dry_run", 1)
    assert "timeout_seconds is 5" in told["spared"][0]["advice"]


def test_a_quiet_week_is_told_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    with Listener(answers()) as agent:
        assert main(["report", "--url", agent.url]) == 0
        assert main(["report", "--url", agent.url, "--container", "other"]) == 1
    told = capsys.readouterr()
    assert told.out == "model: nothing was wanted and not done; 1 restarts on record\n"
    assert told.err == "health-agent report: no container is named other; there are: model\n"


def test_no_agent_is_1_and_no_url_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--url", f"http://127.0.0.1:{unused_port()}"]) == 1
    assert main(["report", "--url", "x"]) == 2
    with Listener({"/status": [(200, "<html>")]}) as stranger:
        assert main(["report", "--url", stranger.url]) == 1
    assert "is it the agent's port?" in capsys.readouterr().err


def test_an_agent_without_containers_is_an_agent(capsys: pytest.CaptureFixture[str]) -> None:
    """Its configuration is wrong, and it serves for all that."""
    with Listener({"/status": [(200, '{"containers": [], "agent": {}}')]}) as agent:
        assert main(["report", "--url", agent.url]) == 0
        assert capsys.readouterr().out == "no containers\n"
        assert main(["report", "--container", "llm", "--url", agent.url]) == 1
    assert "no container is named llm; there are none" in capsys.readouterr().err
