"""`admin` and `drain` against a real admin listener: orders, refusals, and how the listener is found."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from agent.cli import main
from agent.core.settings import Admin
from agent.server import admin
from tests.cli.support import unused_port
from tests.server.known import DEAD, Obedient, container

TOKEN = "the-operators-token"


class Running:
    """An admin listener on a loop of its own."""

    def __init__(self, settings: Admin, *views: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.agent = asyncio.run_coroutine_threadsafe(self._make(views), self.loop).result(10)
        self.listener = asyncio.run_coroutine_threadsafe(
            admin.start(self.agent, self.agent, settings), self.loop
        ).result(10)

    async def _make(self, views: tuple[Any, ...]) -> Obedient:
        return Obedient(*views)

    def change(self, **fields: Any) -> None:
        self.loop.call_soon_threadsafe(
            lambda: self.agent.containers.update({n: replace(v, **fields) for n, v in self.agent.containers.items()})
        )

    def end(self) -> None:
        asyncio.run_coroutine_threadsafe(self.listener.close(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@pytest.fixture
def socket_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("s") / "a")


@pytest.fixture
def running(socket_path: str) -> Iterator[Running]:
    found = Running(Admin(socket=socket_path), container(in_flight=0))
    yield found
    found.end()


@pytest.mark.parametrize(
    ("words", "order"),
    [
        (["restart"], ("restart", "model")),
        (["restart", "--container", "model"], ("restart", "model")),
        (["maintenance", "--for", "600", "--ready", "false"], ("maintain", "model", 600.0, "false")),
        (["maintenance", "--for", "0"], ("maintain", "model", 0.0, "keep")),
        (["drain"], ("drain", "model", 300.0)),
        (["drain", "--for", "7.5"], ("drain", "model", 7.5)),
        (["probe"], ("probe", "model")),
        (["reload"], ("reload",)),
    ],
)
def test_an_order_reaches_the_agent(
    words: list[str], order: tuple[Any, ...], running: Running, socket_path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["admin", *words, "--admin", socket_path]) == 0
    assert running.agent.orders == [order]
    said = capsys.readouterr().out
    assert said == ("reload: done\n" if words == ["reload"] else f"{words[0]}: model is ready\n")


def test_a_refusal_is_the_agents_own_word_and_1(
    running: Running, socket_path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    running.agent.refusal = "a restart is under way"
    assert main(["admin", "restart", "--admin", socket_path]) == 1
    assert capsys.readouterr().err == "health-agent admin: a restart is under way\n"
    assert main(["admin", "probe", "--container", "other", "--admin", socket_path]) == 1
    assert capsys.readouterr().err == "health-agent admin: no container is named other; there are: model\n"


def test_status_shows_checks_with_their_details(socket_path: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = Running(Admin(socket=socket_path), DEAD, container("other"))
    try:
        assert main(["admin", "status", "--admin", socket_path]) == 0
        text = capsys.readouterr().out
        assert main(["admin", "status", "--admin", socket_path, "--container", "model", "--format", "json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert main(["admin", "restart", "--admin", socket_path]) == 1
        assert "say which container: model, other" in capsys.readouterr().err
    finally:
        found.end()
    assert "liveness/answers" in text
    assert "connect to 127.0.0.1:8000" in text
    assert [one["name"] for one in told["containers"]] == ["model"]


def test_the_configuration_tells_where_the_listener_is(
    tmp_path: Path, running: Running, socket_path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"admin": {"socket": socket_path}, "containers": [{"name": "model", "port": 1}]}))
    assert main(["admin", "restart", "--config", str(config)]) == 0
    config.write_text("containers: [{name: model, port: 1}]")
    assert main(["admin", "restart", "--config", str(config)]) == 2
    assert "no admin listener is configured: give --admin SOCKET" in capsys.readouterr().err
    config.write_text("containers: [{nmae: model}]")
    assert main(["drain", "--config", str(config)]) == 2
    assert "did you mean 'name'?" in capsys.readouterr().err


def test_on_loopback_the_token_file_opens_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    token, wrong, port = tmp_path / "token", tmp_path / "wrong", unused_port()
    token.write_text(f"{TOKEN}\n")
    wrong.write_text("another")
    found = Running(Admin(port=port, token_file=str(token)))
    url = f"http://127.0.0.1:{port}"
    try:
        assert main(["admin", "reload", "--admin", url, "--token-file", str(token)]) == 0
        assert main(["admin", "reload", "--admin", url, "--token-file", str(wrong)]) == 1
        assert main(["admin", "reload", "--admin", url]) == 1
        assert capsys.readouterr().err.count("Bearer TOKEN") == 2
        assert main(["admin", "reload", "--admin", url, "--token-file", str(tmp_path / "none")]) == 1
        assert "can't be read: No such file" in capsys.readouterr().err
        wrong.write_text(f"{TOKEN}\nsecond\n")
        assert main(["admin", "reload", "--admin", url, "--token-file", str(wrong)]) == 1
        told = capsys.readouterr().err
        assert "more than one line" in told
        assert TOKEN not in told
        token.write_text("Schl\u00fcssel")
        assert main(["admin", "reload", "--admin", url, "--token-file", str(token)]) == 0
    finally:
        found.end()
    assert found.agent.orders == [("reload",)] * 2


@pytest.mark.parametrize(
    ("place", "code", "word"),
    [
        ("/nowhere/a.sock", 1, "there is no socket /nowhere/a.sock"),
        ("http://127.0.0.1:1", 1, "nothing listens on http://127.0.0.1:1"),
        ("ftp://h/", 2, "neither a socket's path nor http://HOST:PORT"),
        ("http://u:p@h/", 2, "neither a socket's path"),
        ("http://[::1", 2, "neither a socket's path"),
    ],
)
def test_a_listener_that_is_not_there_is_told(
    place: str, code: int, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["admin", "reload"], ["drain"]):
        assert main([*command, "--admin", place]) == code
        assert word in capsys.readouterr().err


def test_maintenance_without_an_end_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["admin", "maintenance", "--admin", "/nowhere"]) == 2
    assert "--for SECONDS" in capsys.readouterr().err


def test_drain_returns_once_nothing_is_in_flight(
    running: Running, socket_path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    running.change(in_flight=3)
    timer = threading.Timer(0.7, running.change, kwargs={"in_flight": 0})
    timer.start()
    assert main(["drain", "--timeout", "20", "--admin", socket_path]) == 0
    timer.join()
    assert running.agent.orders == [("drain", "model", 80.0)]
    assert capsys.readouterr().out.startswith("drained after ")


@pytest.mark.parametrize(
    ("in_flight", "word"), [(2, "2 in flight at model"), (None, "does not tell what is in flight")]
)
def test_drain_returns_when_the_time_is_over(
    in_flight: float | None, word: str, running: Running, socket_path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    running.change(in_flight=in_flight)
    assert main(["drain", "--timeout", "0.3", "--container", "model", "--admin", socket_path]) == 0
    said = capsys.readouterr().out
    assert said.startswith("the time is over after 0.")
    assert word in said
