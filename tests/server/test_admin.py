"""The admin listener: who is let in, what is done for them, and that everybody else learns nothing."""

import asyncio
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agent.core.settings import Admin
from agent.server import admin
from agent.server.listen import ListenError
from tests.server.known import DEAD, RESTART, SECRET, Obedient, container

TOKEN = "a-token-of-the-operator"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Operator:
    """A client of the listener."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def say(self, path: str, method: str = "POST", **headers: str) -> tuple[int, Any]:
        async with self.session.request(method, path, headers=headers or None) as answer:
            assert answer.headers["Cache-Control"] == "no-store"
            return answer.status, None if method == "HEAD" else await answer.json()


@asynccontextmanager
async def on_socket(agent: Obedient, path: Path) -> AsyncIterator[Operator]:
    listener = await admin.start(agent, agent, Admin(socket=str(path)))
    try:
        async with aiohttp.ClientSession("http://agent", connector=aiohttp.UnixConnector(str(path))) as session:
            yield Operator(session)
    finally:
        await listener.close()


@asynccontextmanager
async def on_loopback(agent: Obedient, token_file: Path) -> AsyncIterator[Operator]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    listener = await admin.start(agent, agent, Admin(port=port, token_file=str(token_file)))
    try:
        async with aiohttp.ClientSession(f"http://{listener.address}") as session:
            yield Operator(session)
    finally:
        await listener.close()


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short path: a unix socket's may have 107 bytes."""
    return tmp_path_factory.mktemp("a")


@pytest.mark.parametrize(
    ("path", "order"),
    [
        ("/-/reload", ("reload",)),
        ("/containers/model/restart", ("restart", "model")),
        ("/containers/model/maintenance?seconds=600", ("maintain", "model", 600.0, "keep")),
        ("/containers/model/maintenance?seconds=1.5&ready=false", ("maintain", "model", 1.5, "false")),
        ("/containers/model/maintenance?seconds=0", ("maintain", "model", 0.0, "keep")),
        ("/containers/model/drain", ("drain", "model", 300.0)),
        ("/containers/model/drain?seconds=20", ("drain", "model", 20.0)),
        ("/containers/model/probe", ("probe", "model")),
    ],
)
async def test_an_order_is_carried_out_and_answered_with_the_container_in_full(
    path: str, order: tuple[Any, ...], home: Path
) -> None:
    agent = Obedient(container(restarts=(RESTART,)))
    async with on_socket(agent, home / "s") as operator:
        status, said = await operator.say(path)
    assert (status, said["ok"], agent.orders) == (200, True, [order])
    if order != ("reload",):
        assert said["container"]["restarts"][0]["evidence"] == RESTART.evidence
        assert SECRET not in str(said)


@pytest.mark.parametrize(
    ("path", "code", "word"),
    [
        ("/containers/other/restart", 404, "there are: model"),
        ("/containers/model/reboot", 404, "/containers/NAME/restart"),
        ("/elsewhere", 404, "/-/reload"),
        ("/containers/model/maintenance", 400, "?seconds=600"),
        ("/containers/model/maintenance?seconds=600&ready=yes", 400, "keep or false"),
        ("/containers/model/drain?seconds=-1", 400, "no number from 0 to 604800"),
        ("/containers/model/drain?seconds=nan", 400, "no number"),
        ("/containers/model/drain?seconds=1e9", 400, "no number"),
    ],
)
async def test_what_makes_no_order_is_told_what_would_be_one(path: str, code: int, word: str, home: Path) -> None:
    agent = Obedient()
    async with on_socket(agent, home / "s") as operator:
        status, said = await operator.say(path)
    assert (status, said["ok"], agent.orders) == (code, False, [])
    assert word in said["error"]


async def test_a_refusal_says_why(home: Path) -> None:
    agent = Obedient()
    agent.refusal = f"a restart is under way ({SECRET})"
    async with on_socket(agent, home / "s") as operator:
        assert await operator.say("/containers/model/restart") == (
            409, {"ok": False, "error": "a restart is under way (***)"},
        )  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_nothing_but_post_is_taken(method: str, home: Path) -> None:
    agent = Obedient()
    async with on_socket(agent, home / "s") as operator:
        assert (await operator.say("/containers/model/restart", method))[0] == 405
    assert agent.orders == []


async def test_status_has_the_details_that_the_public_listener_withholds(home: Path) -> None:
    agent = Obedient(DEAD)
    async with on_socket(agent, home / "s") as operator:
        _, whole = await operator.say("/status")
        _, one = await operator.say("/status?container=model")
    assert "connect to 127.0.0.1:8000" in whole["containers"][0]["checks"][1]["detail"]
    assert "results" in one["containers"][0]["checks"][0]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"X-Token": TOKEN},
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_without_the_token_nobody_gets_further_than_403(
    headers: dict[str, str], method: str, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (home / "token").write_text(f"{TOKEN}\n")
    agent = Obedient()
    async with on_loopback(agent, home / "token") as operator:
        assert (await operator.say("/containers/model/restart", method, **headers))[0] == 403
        assert (await operator.say("/containers/nobody/restart", method, **headers))[0] == 403
        assert (await operator.say("/containers/model/restart", **BEARER))[0] == 200
    assert agent.orders == [("restart", "model")]
    assert TOKEN not in caplog.text


async def test_the_token_may_be_rotated_and_without_one_nobody_is_let_in(home: Path) -> None:
    token = home / "token"
    token.write_text(TOKEN)
    agent = Obedient()
    async with on_loopback(agent, token) as operator:
        token.write_text("another one")
        assert (await operator.say("/-/reload", **BEARER))[0] == 403
        assert (await operator.say("/-/reload", Authorization="bearer another one"))[0] == 200
        token.write_text("\n")
        assert (await operator.say("/-/reload", Authorization="Bearer "))[0] == 403
        token.unlink()
        assert (await operator.say("/-/reload", **BEARER))[0] == 403
        os.mkfifo(token)  # nobody writes to it: it must not hold the answer up
        assert (await operator.say("/-/reload", **BEARER))[0] == 403
    assert agent.orders == [("reload",)]


async def test_the_socket_is_the_agents_users_own_and_goes_with_it(home: Path) -> None:
    path = home / "s"
    async with on_socket(Obedient(), path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


async def test_a_socket_that_a_killed_agent_left_is_replaced(home: Path) -> None:
    path = home / "s"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with on_socket(Obedient(), path) as operator:
        assert (await operator.say("/-/reload"))[0] == 200


async def test_what_is_in_the_way_is_named_and_left_alone(home: Path) -> None:
    path = home / "s"
    async with on_socket(Obedient(), path):
        with pytest.raises(ListenError, match="another agent listens there"):
            await admin.start(Obedient(), Obedient(), Admin(socket=str(path)))
    path.write_text("a file")
    with pytest.raises(ListenError, match="is no socket"):
        await admin.start(Obedient(), Obedient(), Admin(socket=str(path)))
    assert path.read_text() == "a file"
    with pytest.raises(ListenError, match=r"admin\.socket must name a file in a folder"):
        await admin.start(Obedient(), Obedient(), Admin(socket=str(home / "missing" / "s")))


async def test_a_client_that_says_nothing_more_does_not_hold_the_close_up(home: Path) -> None:
    path = home / "s"
    listener = await admin.start(Obedient(), Obedient(), Admin(socket=str(path)))
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(b"POST /-/reload HTTP/1.1\r\nHost: agent\r\n\r\nPOST /-/rel")
    await reader.readuntil(b"\r\n\r\n")
    async with asyncio.timeout(5):
        await listener.close()
    writer.close()
