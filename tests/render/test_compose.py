"""A Compose file with the agent put in: one service more, the checks moved into it, all else as it was."""

from typing import Any

import pytest
import yaml

from agent.config import ConfigError
from agent.core.settings import Config
from agent.render import Rendered, RenderError
from tests.render.support import COMPOSE, loaded, rendered, told

SIGNAL = """\
services:
  model:
    image: model
    user: "1000"
    x-health-agent:
      port: 8000
      runtime: {process: {command_contains: serve.py}}
      liveness_check: {http_get: {path: /health}, timeout_seconds: 5}
      restart: {action: {signal: {}}}
x-health-agent: {state_file: /var/lib/health-agent/state.json}
"""


def project(made: Rendered) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(made.text)
    return document


def agent_of(made: Rendered) -> dict[str, Any]:
    service: dict[str, Any] = project(made)["services"]["health-agent"]
    return service


def configured(made: Rendered, **environ: str) -> Config:
    """What the agent makes of its variable, once Compose has read the file: `$$` is a `$` there."""
    text = agent_of(made)["environment"]["HEALTH_AGENT_CONFIG"]
    assert "\n" in text  # by which the agent knows that it is a document and no path
    return loaded(text.replace("$$", "$"), environ).config


def test_the_agent_is_a_service_that_looks_at_the_others_by_name() -> None:
    """It stays in its own network namespace: one that it shared would die with the server."""
    made = rendered("compose", COMPOSE)
    assert configured(made).containers == loaded(COMPOSE).config.containers
    assert configured(made).containers[0].host == "model"
    agent = agent_of(made)
    assert agent["command"] == ["run", "--serve-on-config-error"]
    assert agent["environment"]["HEALTH_AGENT_SERVER__PORT"] == "9809"
    assert agent["ports"] == ["127.0.0.1:9809:9809"]
    assert (agent["read_only"], agent["cap_drop"]) == (True, ["ALL"])
    assert agent["security_opt"] == ["no-new-privileges:true"]
    assert not agent.keys() & {"network_mode", "pid", "user", "volumes", "group_add"}


def test_everything_else_stays_as_it_was() -> None:
    before, after = yaml.safe_load(COMPOSE), project(rendered("compose", COMPOSE))
    del after["services"]["health-agent"]
    del before["services"]["model"]["x-health-agent"]
    assert after == before


def test_what_was_rendered_is_left_as_it_is() -> None:
    for document in (COMPOSE, SIGNAL):
        once = rendered("compose", document)
        again = rendered("compose", once.text)
        assert again.text == once.text
        assert told(again) == ["W-RENDER-UNCHANGED"]


def test_a_server_that_nobody_restarts_is_told() -> None:
    """Docker never restarts a container for its health."""
    assert told(rendered("compose", COMPOSE)) == ["W-RENDER-NO-ACTION"]
    assert told(rendered("compose", SIGNAL)) == []


def test_references_stay_for_compose_and_for_the_agent() -> None:
    """A secret is a variable of the agent, which Compose fills; it never becomes part of the document."""
    text = """\
services:
  model:
    image: ${IMAGE:-model}
    x-health-agent:
      port: ${PORT:-8000}
      liveness_check:
        http_get:
          path: /$NAME/$$HOME
          http_headers: [{name: A, value: "Bearer ${TOKEN}"}, {name: B, value: "$${TOKEN}"}]
      readiness_check: {exec: {command: "echo ${TOKEN} x"}}
"""
    environ = {"TOKEN": "hunter22", "NAME": "qwen3", "PORT": "9000"}
    made = rendered("compose", text, environ=environ)
    assert "hunter22" not in made.text
    assert "qwen3" not in made.text
    assert project(made)["services"]["model"]["image"] == "${IMAGE:-model}"
    variables = agent_of(made)["environment"]
    assert (variables["TOKEN"], variables["NAME"], variables["PORT"]) == ("${TOKEN}", "${NAME}", "${PORT:-}")
    ours, theirs = configured(made, **environ).containers[0], loaded(text, environ).config.containers[0]
    assert (ours.port, ours.checks()) == (theirs.port, theirs.checks())
    options = ours.liveness[0].options
    assert (options.path, options.http_headers[0].value) == ("/qwen3/$HOME", "Bearer hunter22")
    assert options.http_headers[1].value == "${TOKEN}"
    assert configured(made, TOKEN="x", NAME="y", PORT="").containers[0].port == 8000


def test_references_that_the_agent_does_not_know_are_refused() -> None:
    with pytest.raises(RenderError, match=r"input0:8: .*knows \$\{NAME\} and \$\{NAME:-default\} only"):
        rendered("compose", COMPOSE.replace("path: /health", 'path: "/${A:+b}"'))


def test_a_signal_needs_the_servers_processes_and_its_user() -> None:
    made = rendered("compose", SIGNAL)
    services = project(made)["services"]
    assert {name: service["pid"] for name, service in services.items() if "pid" in service} == {
        "model": "service:processes",
        "health-agent": "service:processes",
    }
    assert services["processes"]["entrypoint"] == ["sleep", "infinity"]
    assert services["health-agent"]["user"] == "1000"
    assert services["health-agent"]["volumes"] == ["health-agent-state:/var/lib/health-agent"]
    assert project(made)["volumes"] == {"health-agent-state": None}


def test_a_root_server_is_not_found_by_its_port() -> None:
    """Seen on a real engine: whose socket it is the kernel tells only those who may trace the server."""
    text = SIGNAL.replace("command_contains: serve.py", "port: 8000")
    assert told(rendered("compose", text)) == []
    assert told(rendered("compose", text.replace('user: "1000"', "init: true"))) == ["W-RENDER-PORT"]


def test_a_process_namespace_that_is_shared_already_is_joined() -> None:
    services = project(rendered("compose", SIGNAL.replace('user: "1000"', "pid: host")))["services"]
    assert services["health-agent"]["pid"] == "host"
    assert services["health-agent"]["user"] == "0"
    assert "processes" not in services


@pytest.mark.parametrize(
    ("networks", "expected"),
    [("[back]", ["back"]), ("{back: {aliases: [x]}, front: }", ["back", "front"]), ("[default]", None)],
)
def test_the_agent_joins_the_servers_networks(networks: str, expected: list[str] | None) -> None:
    made = rendered("compose", COMPOSE.replace("restart: unless-stopped", f"networks: {networks}"))
    assert agent_of(made).get("networks") == expected


def test_the_agent_joins_the_default_network_too_where_another_server_is_on_it() -> None:
    block = "x-health-agent: {port: 6379, readiness_check: {tcp_socket: {}}}"
    text = COMPOSE.replace("restart: unless-stopped", "networks: [back]").replace(
        "image: redis", f"image: redis, {block}"
    )
    assert agent_of(rendered("compose", text))["networks"] == ["back", "default"]


def test_a_server_may_live_in_the_agents_network() -> None:
    """Which stays when the server is restarted; the ports are published by whoever owns it."""
    made = rendered("compose", COMPOSE.replace("restart: unless-stopped", "network_mode: service:health-agent"))
    services = project(made)["services"]
    assert services["health-agent"]["ports"] == ["8000:8000", "127.0.0.1:9809:9809"]
    assert "ports" not in services["model"]
    assert configured(made).containers[0].host == "127.0.0.1"


def test_on_the_hosts_network_the_agent_is_there_too() -> None:
    text = COMPOSE.replace("restart: unless-stopped", "network_mode: host").replace(
        "port: 8000", "port: 8000, host: 127.0.0.1"
    )
    text = text.replace("      port: 8000, host: 127.0.0.1", "      port: 8000\n      host: 127.0.0.1")
    made = rendered("compose", text)
    assert agent_of(made)["network_mode"] == "host"
    assert "ports" not in agent_of(made)
    assert configured(made).containers[0].host == "127.0.0.1"


@pytest.mark.parametrize("mode", ["none", "service:redis", "container:x"])
def test_a_server_out_of_reach_is_refused(mode: str) -> None:
    text = COMPOSE.replace("restart: unless-stopped", f"network_mode: {mode}").replace("port: 8000", "port: 8000")
    with pytest.raises(RenderError, match="network_mode: service:health-agent"):
        rendered("compose", text)


def test_without_a_block_there_is_nothing_to_render() -> None:
    with pytest.raises(ConfigError, match="no service to look after"):
        rendered("compose", "services: {model: {image: model}}")


def test_a_command_in_the_server_needs_a_runtime() -> None:
    text = COMPOSE.replace("http_get: {path: /health}", "exec: {command: [cat, /x], in: container}")
    with pytest.raises(ConfigError, match="nothing here can run a command in the container"):
        rendered("compose", text)


def test_a_file_may_be_laid_over_it_that_names_no_stranger() -> None:
    made = rendered("compose", COMPOSE, "containers: [{name: model, restart: {dry_run: true}}]")
    assert configured(made).containers[0].restart.dry_run
    with pytest.raises(RenderError, match="other is none of model, redis"):
        rendered("compose", COMPOSE, "containers: [{name: other, readiness_check: {tcp_socket: {port: 1}}}]")


def test_the_docker_action_needs_the_engines_socket_and_its_group() -> None:
    """The agent has no other rights and is not root: the group is all that lets it in."""
    block = "x-health-agent:\n      restart: {action: {docker: {}}}\n"
    made = rendered("compose", COMPOSE.replace("x-health-agent:\n", block))
    agent = agent_of(made)
    assert agent["group_add"] == ["${DOCKER_GROUP_ID:?the group of /var/run/docker.sock (stat -c %g)}"]
    assert agent["volumes"] == ["/var/run/docker.sock:/var/run/docker.sock"]
    assert "DOCKER_GROUP_ID=$(stat" in made.text  # the command, in a comment
    container = configured(made).containers[0]
    assert (container.restart.action_name, container.runtime.service) == ("docker", "model")
    assert container == loaded(COMPOSE.replace("x-health-agent:\n", block)).config.containers[0]
    assert told(made) == []
    assert rendered("compose", made.text).text == made.text


def test_a_healthcheck_of_composes_own_stays_and_its_verdict_is_asked_for() -> None:
    """The engine goes on running it; the agent reads what came of it."""
    block = "healthcheck: {test: [CMD, probe]}\n    x-health-agent:\n      runtime: {docker: {}}\n"
    text = COMPOSE.replace("x-health-agent:\n", block)
    made = rendered("compose", text)
    assert project(made)["services"]["model"]["healthcheck"] == {"test": ["CMD", "probe"]}
    assert configured(made).containers == loaded(text).config.containers
    assert configured(made).containers[0].readiness[0].method == "engine_health"
