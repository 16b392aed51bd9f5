"""`status`: a table of what the agent thinks, and a status that scripts can use."""

import json
import signal
import subprocess
import sys

import pytest

from agent.cli import main
from agent.server import status
from tests.cli.support import Listener, unused_port
from tests.server.known import DEAD, RESTART, Known, container


def said(*views: object) -> str:
    return json.dumps(json.loads(status.answer(Known(*views), None, full=False).body))  # type: ignore[arg-type]


def test_a_ready_container_is_shown_with_its_checks_and_0(capsys: pytest.CaptureFixture[str]) -> None:
    with Listener({"/status": [(200, said(container(restarts=(RESTART,), budget_remaining=4)))]}) as agent:
        assert main(["status", "--url", agent.url]) == 0
    text = capsys.readouterr().out
    assert text.startswith("model: ready (live, started, ready); budget 4 left, backoff 0 s\n")
    for word in ("liveness   answers", "signal  answers  refused  succeeded"):
        assert word in text


def test_a_dead_one_is_1_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    with Listener({"/status": [(200, said(DEAD, container("other")))]}) as agent:
        assert main(["status", "--url", agent.url]) == 1
        text = capsys.readouterr().out
        assert main(["status", "--url", agent.url, "--container", "other", "--format", "json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert main(["status", "--url", agent.url, "--container", "none"]) == 1
        assert capsys.readouterr().err == "health-agent status: no container is named none; there are: model, other\n"
    assert "Failure    failure  refused  3" in text
    assert [one["name"] for one in told["containers"]] == ["other"]


@pytest.mark.parametrize("answer", [(404, "not here"), (200, "<html>"), (200, "[]"), (200, '{"containers": 1}')])
def test_what_is_no_agent_is_told(answer: tuple[int, str], capsys: pytest.CaptureFixture[str]) -> None:
    with Listener({"/status": [answer]}) as stranger:
        assert main(["status", "--url", stranger.url]) == 1
    assert "is it the agent's port?" in capsys.readouterr().err


def test_no_answer_is_1_and_no_url_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--url", f"http://127.0.0.1:{unused_port()}"]) == 1
    assert "is the agent running?" in capsys.readouterr().err
    assert main(["status", "--url", "nonsense"]) == 2


def test_watching_goes_on_until_ctrl_c() -> None:
    with Listener({"/status": [(200, said(container())), (200, said(DEAD))]}) as agent:
        words = ["status", "--watch", "--interval", "0.1", "--url", agent.url]
        child = subprocess.Popen([sys.executable, "-m", "agent", *words], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        lines = iter(child.stdout.readline, "")
        assert any(line.startswith("model: ready") for line in lines)
        assert any(line.startswith("model: down") for line in lines)
        child.send_signal(signal.SIGINT)
        child.stdout.read()
        child.stdout.close()
        assert child.wait(10) == 130
