"""A service.json with the agent put in: a second container, which the server's checks ask."""

import json
from copy import deepcopy
from typing import Any

import pytest

from agent.config import ConfigError, Options, find_sources, load
from agent.core.settings import Config
from agent.render import Rendered, RenderError
from tests.render.support import SERVICE, loaded, rendered, told

STARTUP = {"http_get": {"path": "/health", "port": 8000}, "period_seconds": 5, "failure_threshold": 120}


def service(**container: Any) -> dict[str, Any]:
    document: dict[str, Any] = deepcopy(SERVICE)
    document["containers"][0] |= container
    return document


def containers(made: Rendered) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(made.text)["containers"]
    return found


def configured(made: Rendered, **environ: str) -> Config:
    """What the agent makes of its container's variables."""
    given = {one["name"]: one["value"] for one in containers(made)[-1]["env"]} | environ
    return load(find_sources([], given, "/nonexistent"), given).config


def test_the_servers_checks_ask_the_agent() -> None:
    document = service(startup_check=STARTUP, readiness_check={"tcp_socket": {"port": 8000}})
    server = containers(rendered("eas", document))[0]
    assert server["startup_check"] == {
        "http_get": {"path": "/startupz/container-0", "port": 9809},
        "period_seconds": 5,
        "timeout_seconds": 2,
        "success_threshold": 1,
        "failure_threshold": 131,
    }
    assert server["readiness_check"] == {
        "http_get": {"path": "/ready/container-0", "port": 9809},
        "period_seconds": 5,
        "timeout_seconds": 2,
        "success_threshold": 1,
        "failure_threshold": 2,
    }
    assert server["liveness_check"] == {
        "http_get": {"path": "/healthz/container-0", "port": 9809},
        "period_seconds": 10,
        "timeout_seconds": 3,
        "success_threshold": 1,
        "failure_threshold": 9,
    }


def test_the_agent_is_the_second_container_and_checks_what_eas_checked() -> None:
    document = service(startup_check=STARTUP)
    made = rendered("eas", document)
    agent = containers(made)[1]
    assert (agent["command"], agent["port"]) == ("health-agent run --serve-on-config-error", 9809)
    assert configured(made).containers == loaded(json.dumps(document)).config.containers
    assert [one["name"] for one in agent["env"]] == [
        "HEALTH_AGENT_SERVER__PORT", "HEALTH_AGENT_CONTAINER", "HEALTH_AGENT_TARGET_PORT",
        "HEALTH_AGENT_STARTUP_CHECK", "HEALTH_AGENT_LIVENESS_CHECK",
    ]  # fmt: skip


def test_everything_else_stays_as_it_was() -> None:
    made = json.loads(rendered("eas", SERVICE).text)
    before: Any = deepcopy(SERVICE)
    del before["containers"][0]["liveness_check"]
    for key in ("startup_check", "liveness_check"):
        del made["containers"][0][key]
    assert made.pop("containers")[:1] == before.pop("containers")
    assert made == before


def test_several_servers_share_one_agent() -> None:
    document = service()
    document["containers"].append({"name": "tokenizer", "port": 7000, "readiness_check": {"tcp_socket": {}}})
    made = rendered("eas", document)
    assert [one.name for one in configured(made).containers] == ["container-0", "tokenizer"]
    assert containers(made)[1]["readiness_check"]["http_get"]["path"] == "/ready/tokenizer"
    assert [one["name"] for one in containers(made)[2]["env"]] == ["HEALTH_AGENT_SERVER__PORT", "HEALTH_AGENT_CONFIG"]


def test_what_variables_can_not_say_one_by_one_is_a_document_in_one() -> None:
    over = "log: {format: text}\ncontainers: [{name: container-0, host: '${POD_IP}', restart: {dry_run: true}}]"
    made = rendered("eas", SERVICE, over)
    config = configured(made, POD_IP="127.0.0.1")
    assert (config.log.format, config.containers[0].host, config.containers[0].restart.dry_run) == (
        "text", "127.0.0.1", True,
    )  # fmt: skip
    assert told(made) == ["W-RENDER-SECRET"]


def test_a_number_that_is_a_reference_stays_one() -> None:
    over = "containers:\n  - name: container-0\n    liveness_check:\n      period_seconds: ${PERIOD}\n"
    made = rendered("eas", SERVICE, over)
    assert configured(made, PERIOD="7").containers[0].liveness[0].period_seconds == 7


def test_the_pages_wording_of_thresholds_is_written_where_it_is_read() -> None:
    """There success_threshold counts failures."""
    made = rendered("eas", SERVICE, options=Options(threshold_semantics="eas-page"))
    check = containers(made)[0]["liveness_check"]
    assert (check["success_threshold"], check["failure_threshold"]) == (9, 1)
    assert configured(made).containers[0].liveness[0].failure_threshold == 1  # as the page reads the sample's 1


def test_what_was_rendered_is_left_as_it_is() -> None:
    once = rendered("eas", SERVICE)
    again = rendered("eas", once.text)
    assert again.text == once.text
    assert told(again) == ["W-RENDER-UNCHANGED"]


def test_commands_can_not_be_run_in_another_container() -> None:
    document = service(readiness_check={"exec": {"command": ["cat", "/tmp/ready"]}})
    with pytest.raises(ConfigError, match="--exec-in agent"):
        rendered("eas", document)
    made = rendered("eas", document, options=Options(exec_in="agent"))
    assert configured(made).containers[0].readiness[0].options.command == ("cat", "/tmp/ready")


@pytest.mark.parametrize(
    ("port", "message"), [(8080, "EAS engine's own"), (9090, "EAS engine's own"), (8000, "is container-0's")]
)
def test_a_port_that_is_taken_is_refused(port: int, message: str) -> None:
    document = service(liveness_check={"http_get": {"path": "/", "port": 8001}})
    with pytest.raises(RenderError, match=f"{message}.*--port"):
        rendered("eas", document, port=port)


def test_eas_restarts_and_nothing_else_does() -> None:
    over = "containers: [{name: container-0, runtime: {process: {port: 8000}}, restart: {action: {signal: {}}}}]"
    with pytest.raises(RenderError, match="EAS has no process runtime"):
        rendered("eas", SERVICE, over)


def test_an_undocumented_health_check_moves_as_readiness() -> None:
    document = service(health_check={"tcp_socket": {"port": 8000}})
    server = containers(rendered("eas", document))[0]
    assert "health_check" not in server
    assert server["readiness_check"]["http_get"]["path"] == "/ready/container-0"
