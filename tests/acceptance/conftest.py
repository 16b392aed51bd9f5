"""Fixtures of the acceptance tests: real model servers, the installed command, and nothing left running afterwards."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.agents import Agent
from tests.acceptance.engine import IMAGE, docker, need_engine
from tests.acceptance.model_servers import KINDS, MOSEC, Kind, ModelServer, install

StartServer = Callable[..., ModelServer]
StartAgent = Callable[..., Agent]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is an acceptance test, named or not."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.acceptance)


@pytest.fixture(scope="session")
def announce(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Prints a line that is seen although pytest captures output."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{line}", flush=True)  # noqa: T201  that is what it is for

    return say


@pytest.fixture(scope="session")
def image() -> str:
    """The image of this checkout, on a real engine; by its id, since another checkout may take the name over."""
    need_engine()
    return docker("build", "--quiet", "--tag", IMAGE, ".", timeout=300)


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest, announce: Callable[[str], None]) -> Kind:
    """Each real server program in turn, installed."""
    found: Kind = request.param
    install(found, announce)
    return found


@pytest.fixture
def mosec(announce: Callable[[str], None]) -> Kind:
    """The quicker of the two, installed, for what one real server shows as well as two."""
    install(MOSEC, announce)
    return MOSEC


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Starts a model server; it is gone when the test is over, whoever restarted it meanwhile."""
    servers: list[ModelServer] = []

    def start(kind: Kind, **options: Any) -> ModelServer:
        servers.append(ModelServer(kind, tmp_path / f"server-{len(servers)}", **options))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def start_agent(tmp_path: Path) -> Iterator[StartAgent]:
    """Starts the agent on a document."""
    agents: list[Agent] = []

    def start(document: dict[str, Any], *arguments: str) -> Agent:
        home = tmp_path / f"agent-{len(agents)}"
        home.mkdir()
        agents.append(Agent(home, document, *arguments))
        return agents[-1]

    yield start
    for agent in agents:
        agent.running.kill()
