"""The Compose projects of deploy/, as a real docker-compose reads them."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.config import SourceRef, load
from tests.deploy.programs import ROOT, output, program

COMPOSE = ROOT / "deploy" / "compose"
PROJECTS = sorted(path.parent.name for path in COMPOSE.glob("*/compose.yaml"))

project = pytest.mark.parametrize("name", PROJECTS)


@pytest.fixture(scope="module")
def compose() -> str:
    return program("docker-compose")


def resolved(compose: str, name: str) -> dict[str, Any]:
    """The project with its variables replaced."""
    folder = COMPOSE / name
    text = output(compose, "--file", folder / "compose.yaml", "config", cwd=folder, DOCKER_GROUP_ID="998")
    document: dict[str, Any] = yaml.safe_load(text)
    return document


@project
def test_compose_accepts_it(name: str, compose: str) -> None:
    services = resolved(compose, name)["services"]
    assert {"model", "health-agent"} <= services.keys()
    agent = services["health-agent"]
    assert (agent["read_only"], agent["cap_drop"], agent["security_opt"]) == (
        True, ["ALL"], ["no-new-privileges:true"],
    )  # fmt: skip
    published = [port if isinstance(port, str) else json.dumps(port) for port in agent["ports"]]
    assert any("127.0.0.1" in port and "9809" in port for port in published)


@project
def test_the_agent_understands_what_compose_hands_it(name: str, compose: str) -> None:
    """Its variable, or the file that is mounted for it; state is kept where the agent may write."""
    agent = resolved(compose, name)["services"]["health-agent"]
    text = agent["environment"].get("HEALTH_AGENT_CONFIG")
    source = SourceRef("HEALTH_AGENT_CONFIG", content=text.replace("$$", "$").encode()) if text else None
    config = load([source or SourceRef("compose.yaml", str(COMPOSE / name / "compose.yaml"))], {}).config
    assert [one.name for one in config.containers] == ["model"]
    assert config.state_file is not None
    mounts = [str(volume) for volume in agent["volumes"]]
    assert any(str(Path(config.state_file).parent) in mount for mount in mounts)


@project
def test_a_socket_is_mounted_only_where_the_action_needs_it(name: str, compose: str) -> None:
    services = resolved(compose, name)["services"]
    holders = [key for key, service in services.items() if "docker.sock" in json.dumps(service.get("volumes", []))]
    assert holders == ([] if name in {"network", "signal"} else ["health-agent"])
    for key in holders:
        assert services[key]["group_add"] == ["998"]


def test_without_the_sockets_group_compose_says_what_is_missing(compose: str, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text((COMPOSE / "companion" / "compose.yaml").read_text(encoding="utf-8"))
    with pytest.raises(AssertionError, match=r"the group of /var/run/docker\.sock"):
        output(compose, "config", cwd=tmp_path, DOCKER_GROUP_ID="")


def test_the_monitoring_project_mounts_what_is_there(compose: str) -> None:
    for service in ("prometheus", "grafana"):
        for volume in yaml.safe_load((COMPOSE / "monitoring" / "compose.yaml").read_text())["services"][service][
            "volumes"
        ]:
            assert (COMPOSE / "monitoring" / volume.partition(":")[0]).is_dir()
