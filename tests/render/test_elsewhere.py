"""From one format to another: what is known of the server is carried over, and what is not is told."""

import json
from typing import Any

import pytest
import yaml

from agent.config import ConfigError
from agent.render import RenderError
from tests.render.support import (
    COMPOSE,
    DEPLOYMENT,
    NATIVE,
    SERVICE,
    agent_config,
    loaded,
    named,
    of_kind,
    pod,
    rendered,
    told,
)  # fmt: skip


def test_a_native_document_becomes_a_deployment() -> None:
    made = rendered("kubernetes", NATIVE, name="llm", server_images={"": "vllm/vllm-openai:v0.11.0"})
    deployment = of_kind("Deployment", made)
    assert deployment["metadata"]["name"] == "llm"
    assert (
        deployment["spec"]["selector"]["matchLabels"].items()
        <= deployment["spec"]["template"]["metadata"]["labels"].items()
    )
    (server,) = pod(made)["containers"]
    assert (server["name"], server["image"]) == ("model", "vllm/vllm-openai:v0.11.0")
    assert server["ports"] == [{"containerPort": 8000}]
    assert server["startupProbe"]["failureThreshold"] == 131
    assert agent_config(made).containers == loaded(NATIVE).config.containers
    assert told(made) == []
    assert rendered("kubernetes", made.text).text == made.text


def test_an_image_that_nobody_named_is_told() -> None:
    made = rendered("kubernetes", NATIVE)
    assert told(made) == ["W-RENDER-IMAGE"]
    assert pod(made)["containers"][0]["image"] == "model"


def test_each_server_can_be_given_its_image() -> None:
    two = NATIVE + "  - {name: tokenizer, readiness_check: {tcp_socket: {port: 7000}}}\n"
    made = rendered("kubernetes", two, server_images={"": "a", "tokenizer": "b"})
    assert [one["image"] for one in pod(made)["containers"]] == ["a", "b"]


def test_a_service_json_becomes_a_deployment() -> None:
    made = rendered("kubernetes", SERVICE)
    assert of_kind("Deployment", made)["metadata"]["name"] == "test"
    (server,) = pod(made)["containers"]
    assert server["command"] == ["/data/eas/ENV/bin/python", "/data/eas/app1.py"]
    assert server["env"] == [{"name": "VAR_NAME", "value": "var_value"}]
    assert agent_config(made).containers == loaded(json.dumps(SERVICE)).config.containers


def test_a_deployment_becomes_a_compose_project() -> None:
    """The servers were one pod and are hosts now; a literal `$` is doubled; what has no place there is told."""
    made = rendered("compose", DEPLOYMENT.replace('value: "3"', 'value: "$3"'))
    services = yaml.safe_load(made.text)["services"]
    assert list(services) == ["model", "proxy", "exporter", "health-agent"]
    assert services["model"] == {
        "image": "vllm/vllm-openai",
        "command": ["--model", "Qwen/Qwen3-0.6B"],
        "environment": {"LEVEL": "$$3", "DEBUG": "no"},
        "ports": ["8000:8000"],
        "restart": "unless-stopped",
    }
    text = services["health-agent"]["environment"]["HEALTH_AGENT_CONFIG"].replace("$$", "$")
    assert [one.host for one in loaded(text).config.containers] == ["model", "proxy"]
    assert "W-RENDER-LEFT-OUT: model: not carried over: volumes, initContainers (fetch)" in map(str, made.notes)
    assert rendered("compose", made.text).text == made.text


def test_a_compose_project_becomes_a_deployment() -> None:
    text = COMPOSE.replace("image: redis", "image: redis, command: redis-server --save 60 1, environment: [TOKEN, A=b]")
    made = rendered("kubernetes", text)
    model, redis = pod(made)["containers"]
    assert model["ports"] == [{"containerPort": 8000}]
    assert redis["args"] == ["redis-server", "--save", "60", "1"]
    assert redis["env"] == [{"name": "A", "value": "b"}]
    assert "W-RENDER-VARIABLE: redis: its TOKEN come from elsewhere: see to them" in map(str, made.notes)


def test_a_native_document_becomes_a_service_json() -> None:
    made = rendered("eas", NATIVE, server_images={"": "x"})
    document: dict[str, Any] = json.loads(made.text)
    assert document["metadata"]["name"] == "model"
    server, agent = document["containers"]
    assert (server["image"], server["port"]) == ("x", 8000)
    assert server["startup_check"]["http_get"] == {"path": "/startupz/model", "port": 9809}
    assert named("HEALTH_AGENT_CONTAINER", agent["env"])["value"] == "model"
    assert rendered("eas", made.text).text == made.text


def test_an_address_in_the_pod_is_no_address_in_a_project() -> None:
    text = NATIVE.replace("path: /v1/models", "path: /v1/models, host: 127.0.0.1")
    services = yaml.safe_load(rendered("compose", text, server_images={"": "x"}).text)["services"]
    config = loaded(services["health-agent"]["environment"]["HEALTH_AGENT_CONFIG"]).config
    assert config.containers[0].host == config.containers[0].readiness[0].options.host == "model"


def test_only_a_native_document_is_laid_over_another() -> None:
    with pytest.raises(ConfigError, match=r"input1:1: .*only a native document can be laid over another"):
        rendered("kubernetes", NATIVE, SERVICE)


@pytest.mark.parametrize(
    ("target", "runtime", "message"),
    [
        ("compose", "kubernetes: {}", r"runtime\.kubernetes: there is no API server"),
        ("kubernetes", "docker: {container: x}", r"runtime\.docker: a pod has no engine.s socket"),
    ],
)
def test_a_runtime_that_is_not_there_is_refused(target: Any, runtime: str, message: str) -> None:
    with pytest.raises(RenderError, match=message):
        rendered(target, f"{NATIVE}    runtime: {{{runtime}}}\n", server_images={"": "x"})


def test_a_listener_on_any_port_can_not_be_asked() -> None:
    with pytest.raises(RenderError, match="--port"):
        rendered("kubernetes", "server: {port: 0}\n" + NATIVE)
    assert "port: 9900" in rendered("kubernetes", "server: {port: 0}\n" + NATIVE, port=9900).text
