"""`wait`: patient with an agent that is not there yet, and clear about what was missing."""

import pytest

from agent.cli import main
from tests.cli.support import Listener, unused_port

FAILING = (503, "[+]model/started ok\n[-]model/readiness/http_get failed: reason withheld\nready check failed\n")


@pytest.mark.parametrize(("state", "path"), [("ready", "/ready"), ("live", "/healthz"), ("started", "/startupz")])
def test_it_asks_the_endpoint_of_the_state(state: str, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Listener({f"{path}?verbose": [(200, "ok")], f"{path}/model?verbose": [(200, "ok")]}) as agent:
        assert main(["wait", "--for", state, "--url", agent.url]) == 0
        assert main(["wait", "--for", state, "--url", agent.url, "--container", "model"]) == 0
    assert capsys.readouterr().out.startswith(f"{state} after 0.")


def test_it_goes_on_asking_until_the_answer_is_yes() -> None:
    with Listener({"/ready?verbose": [FAILING, (200, "ok")]}) as agent:
        assert main(["wait", "--for", "ready", "--url", agent.url, "--timeout", "10"]) == 0
        assert len(agent.asked) == 2


def test_when_the_time_is_over_it_tells_what_is_failing(capsys: pytest.CaptureFixture[str]) -> None:
    with Listener({"/ready?verbose": [FAILING]}) as agent:
        assert main(["wait", "--for", "ready", "--url", agent.url, "--timeout", "0"]) == 1
    told = capsys.readouterr()
    assert told.err.startswith("health-agent wait: not ready after ")
    assert told.err.endswith(": [-]model/readiness/http_get failed: reason withheld\n")
    assert told.out == ""


def test_an_agent_that_never_came_is_told_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://127.0.0.1:{unused_port()}"
    assert main(["wait", "--for", "live", "--url", url, "--timeout", "0.1"]) == 1
    assert "is the agent running?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [[], ["--for", "fine"], ["--for", "ready", "--timeout", "-1"], ["--for", "ready", "--url", "x"]]
)
def test_wrong_usage_is_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wait", *words]) == 2
    assert capsys.readouterr().err
