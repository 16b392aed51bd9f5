"""The pair of deploy/eas for real: the Flask model and the agent as service.json starts it, on loopback."""

import json
import shlex
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.config import Options, SourceRef
from agent.render import Settings, render
from tests.acceptance.agents import COMMAND
from tests.acceptance.kubelet import Kubelet
from tests.acceptance.model_servers import Kind, install
from tests.acceptance.processes import Running, always, eventually, free_port

EAS = Path(__file__).parents[2] / "deploy" / "eas"
SOURCE = EAS.parent / "sources" / "service.json"
FLASK = Kind("flask", "flask==3.1.3", "/", "/", lambda _: [])
LOAD_SECONDS = 3.0  # longer than the agent and the platform together need to act on a failure
CONTAINER = "container-0"
QUICK = {"period_seconds": 1, "timeout_seconds": 1, "failure_threshold": 2}
"""The least that EAS takes; the deployed file's checks would take minutes."""


def quick_service(server_port: int, agent_port: int) -> dict[str, Any]:
    """What `render eas` makes of the source, on these ports and with quick checks."""
    document = json.loads(SOURCE.read_text(encoding="utf-8").replace("8000", str(server_port)))
    for check in ("startup_check", "readiness_check", "liveness_check"):
        document["containers"][0][check] |= QUICK
    document["containers"][0]["startup_check"]["failure_threshold"] = 30
    source = SourceRef("service.json", content=json.dumps(document).encode())
    made: dict[str, Any] = json.loads(render("eas", [source], {}, Options(), Settings(port=agent_port)).text)
    return made


class Pair:
    """The containers of a service.json as processes: the agent, and one instance of the server after the other."""

    def __init__(self, service: dict[str, Any], home: Path) -> None:
        self.home = home
        self.server, agent = service["containers"]
        program, *arguments = shlex.split(agent["command"])
        assert program == COMMAND.name
        environ = {variable["name"]: variable["value"] for variable in agent["env"]}
        self.port = agent["port"]
        self.agent = Running([COMMAND, *arguments], home / "agent.log", environ)
        self.instances: list[Running] = []

    def start(self) -> Running:
        """Another instance of the server, on the port that its container names."""
        script = EAS / Path(shlex.split(self.server["command"])[-1]).name
        environ = {"PORT": str(self.server["port"]), "MODEL_LOAD_SECONDS": str(LOAD_SECONDS)}
        self.instances.append(Running([FLASK.python(), script], self.home / "server.log", environ))
        return self.instances[-1]

    def close(self) -> None:
        for running in (*self.instances, self.agent):
            running.kill()


@pytest.fixture
def pair(tmp_path: Path, announce: Callable[[str], None]) -> Iterator[Pair]:
    install(FLASK, announce)
    made = Pair(quick_service(free_port(), free_port()), tmp_path)
    yield made
    made.close()


def test_a_hung_model_is_restarted_exactly_once_and_is_ready_again(pair: Pair) -> None:
    """EAS asks the agent alone: it is told when the model is ready, once that it hangs, and nothing while it loads."""
    platform = Kubelet(pair.port, pair.start, container=CONTAINER)
    platform.play(lambda: platform.ready, within=40, what=f"ready at first\n{pair.agent.output()}")
    assert platform.restarts == []

    platform.server.send(signal.SIGSTOP)  # it accepts connections and never answers
    told = lambda: platform.ask(f"/healthz/{CONTAINER}") == 503  # noqa: E731  named for its reader
    eventually(told, within=20, what="the agent asks for a restart", story=pair.agent.output)
    assert platform.ask(f"/ready/{CONTAINER}") == 503
    platform.play(lambda: platform.restarts == ["liveness"], within=20, what="the platform restarts it")
    platform.play(lambda: platform.ready, within=40, what=f"ready again\n{pair.agent.output()}")

    always(lambda: not told(), during=2, what="the agent is content")
    assert platform.restarts == ["liveness"]
    assert len(pair.instances) == 2


def test_what_is_deployed_is_what_was_tried() -> None:
    """deploy/eas/service.json has the same two containers; only numbers, ports and the image are its own."""
    deployed = json.loads((EAS / "service.json").read_text(encoding="utf-8"))["containers"]
    tried = quick_service(8000, 9809)["containers"]
    assert deployed[0] == {**tried[0], "startup_check": deployed[0]["startup_check"]}
    assert deployed[0]["startup_check"] == {**tried[0]["startup_check"], "failure_threshold": 131}
    assert deployed[1] == {**tried[1], "image": deployed[1]["image"], "env": deployed[1]["env"]}
    assert [one["name"] for one in deployed[1]["env"]] == [one["name"] for one in tried[1]["env"]]
    assert deployed[0]["command"].endswith("/app.py")
