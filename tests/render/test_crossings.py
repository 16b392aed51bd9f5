"""What differs between two formats that describe the same server: each on its way into each of the others."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.config import Options, find_sources, load
from agent.core.settings import Config
from agent.render import Rendered, RenderError, Settings, render
from tests.render.support import (
    COMPOSE,
    DEPLOYMENT,
    NATIVE,
    SERVICE,
    agent_config,
    loaded,
    of_kind,
    pod,
    rendered,
    told,
)  # fmt: skip

SOURCES = {"native": NATIVE, "kubernetes": DEPLOYMENT, "compose": COMPOSE, "eas": SERVICE}
TARGETS: list[Any] = ["kubernetes", "compose", "eas"]


def service(made: Rendered) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(made.text)["containers"]
    return found


def services(made: Rendered) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(made.text)["services"]
    return found


def configured(target: str, made: Rendered) -> Config:
    """What the agent makes of its configuration, wherever it stands."""
    if target == "kubernetes":
        return agent_config(made)
    if target == "compose":
        text = services(made)["health-agent"]["environment"]["HEALTH_AGENT_CONFIG"]
        return loaded(text.replace("$$", "$")).config
    given = {one["name"]: one["value"] for one in service(made)[-1]["env"]}
    return load(find_sources([], given, "/nonexistent"), given).config


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("source", SOURCES)
def test_from_everywhere_to_everywhere_the_agent_looks_at_the_same(source: str, target: Any) -> None:
    """By name where the servers are hosts of their own, on loopback where they share its network."""
    given = SOURCES[source]
    made = rendered(target, given, server_images={} if source == target else {"": "x"})
    before = loaded(given if isinstance(given, str) else json.dumps(given)).config.containers
    after = configured(target, made).containers
    assert [(one.name, one.port) for one in after] == [(one.name, one.port) for one in before]
    for ours, theirs in zip(after, before, strict=True):
        assert ours.checks() == theirs.checks()
        assert ours.host == (ours.name if target == "compose" else "127.0.0.1")
    assert rendered(target, made.text).text == made.text


@pytest.mark.parametrize("target", ["kubernetes", "eas"])
def test_other_hosts_of_a_project_are_in_the_same_pod_now(target: Any) -> None:
    text = """\
services:
  model:
    image: model
    x-health-agent:
      liveness_check: {http_get: {path: /, port: 8000, host: model}, timeout_seconds: 5}
      readiness_check: {http_get: {path: /, port: 8001, host: 10.1.2.3}}
      restart:
        depends_on: [{tcp_socket: {host: redis, port: 6379}}]
        action: {webhook: {url: "http://redis:80/restart?of=redis"}}
  redis: {image: redis}
x-health-agent: {allow_hosts: [10.1.2.3, redis]}
"""
    (one,) = configured(target, rendered(target, text)).containers
    assert one.liveness[0].options.host == "127.0.0.1"
    assert one.readiness[0].options.host == "10.1.2.3"
    assert one.restart.depends_on[0].options.host == "127.0.0.1"
    assert one.restart.action.url == "http://127.0.0.1:80/restart?of=redis"


def test_a_service_json_s_script_goes_on_being_a_shell_s() -> None:
    given: dict[str, Any] = {**SERVICE, "containers": [{**SERVICE["containers"][0]}]}  # type: ignore[index, dict-item]
    del given["containers"][0]["command"]
    given["containers"][0]["script"] = "cd /app && exec python app1.py $VAR_NAME"
    expected = ["/bin/sh", "-c", given["containers"][0]["script"]]
    assert pod(rendered("kubernetes", given))["containers"][0]["command"] == expected
    entrypoint = services(rendered("compose", given))["container-0"]["entrypoint"]
    assert entrypoint == [*expected[:2], expected[2].replace("$", "$$")]


def test_arguments_without_their_program_are_told_on_the_way_to_eas() -> None:
    assert "W-RENDER-COMMAND" in told(rendered("eas", DEPLOYMENT))
    whole = DEPLOYMENT.replace("args: [--model", "command: [vllm, serve], args: [--model").replace(
        "          command: [vllm, serve], args:", "          command: [vllm, serve]\n          args:"
    )
    made = rendered("eas", whole)
    assert "W-RENDER-COMMAND" not in told(made)
    assert service(made)[0]["command"] == "vllm serve --model Qwen/Qwen3-0.6B"


def test_what_a_workload_has_beside_its_servers_is_told() -> None:
    text = DEPLOYMENT.replace("spec:\n  selector", "spec:\n  replicas: 3\n  selector", 1)
    text += "---\napiVersion: v1\nkind: Service\nmetadata: {name: llm}\nspec: {ports: [{port: 80}]}\n"
    notes = list(map(str, rendered("compose", text).notes))
    assert "W-RENDER-LEFT-OUT: model: not carried over: volumes, initContainers (fetch), replicas" in notes
    assert "W-RENDER-LEFT-OUT: not carried over: Service llm" in notes


@pytest.mark.parametrize("target", ["compose", "eas"])
def test_two_workloads_with_a_container_of_one_name_are_rendered_one_by_one(target: Any) -> None:
    other = DEPLOYMENT.replace("name: llm,", "name: other,")
    with pytest.raises(RenderError, match="Deployment llm and Deployment other both have a container model"):
        rendered(target, f"{DEPLOYMENT}---\n{other}")


@pytest.mark.parametrize("target", ["compose", "eas"])
def test_the_pods_that_a_workload_has_made_are_no_other_servers(target: Any) -> None:
    """`kubectl get all -o yaml` lists them too."""
    pod_ = {"apiVersion": "v1", "kind": "Pod", **yaml.safe_load(DEPLOYMENT)["spec"]["template"]}
    pod_["metadata"] = {
        "name": "llm-5d8f", "labels": {"app.kubernetes.io/managed-by": "Helm"},
        "ownerReferences": [{"kind": "Deployment", "name": "llm", "controller": True}],
    }  # fmt: skip
    made = rendered(target, f"{DEPLOYMENT}---\n{yaml.safe_dump(pod_)}")
    assert [one.name for one in configured(target, made).containers] == ["model", "proxy"]


@pytest.mark.parametrize("target", ["kubernetes", "eas"])
def test_composes_dollars_and_references_do_not_go_verbatim_elsewhere(target: Any) -> None:
    text = COMPOSE.replace(
        "    restart:",
        """\
    command: [serve, --price, "5$$", "--key=${KEY}"]
    environment: {A: "$$5", B: "${B:-x}", C: "${C}y"}
    restart:""",
    ).replace("8000:8000", "${PORT:-8000}")
    made = rendered(target, text)
    notes = list(map(str, made.notes))
    assert "W-RENDER-VARIABLE: model: its B, C come from elsewhere: see to them" in notes
    assert "W-RENDER-VARIABLE: model: references that nobody fills here, in command, ports: write them out" in notes
    server = pod(made)["containers"][0] if target == "kubernetes" else service(made)[0]
    assert {"name": "A", "value": "$5"} in server["env"]
    assert "--price" in str(server)
    assert "5$$" not in str(server)


def test_a_pods_own_references_are_told_where_nobody_fills_them() -> None:
    text = DEPLOYMENT.replace("Qwen/Qwen3-0.6B", "$(LEVEL)")
    assert "W-RENDER-VARIABLE: model: references that nobody fills here, in args: write them out" in map(
        str, rendered("compose", text).notes
    )
    assert "W-RENDER-VARIABLE" not in told(rendered("compose", text.replace("$(", "$$(")))


def test_a_variable_that_is_required_is_required_where_the_agent_runs() -> None:
    text = COMPOSE.replace("path: /health", 'path: "/${KEY:?no key}"')
    made = rendered("compose", text)
    assert services(made)["health-agent"]["environment"]["KEY"] == "${KEY}"
    assert "path: /$${KEY}" in made.text


def test_a_project_has_its_name_from_compose_alone() -> None:
    with pytest.raises(RenderError, match="docker compose -p NAME"):
        rendered("compose", SERVICE, name="x")
    assert "container-0" in services(rendered("compose", SERVICE))


def test_a_pod_template_gets_the_agent_too() -> None:
    spec = yaml.safe_load(DEPLOYMENT)["spec"]["template"]
    text = yaml.safe_dump({"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "t"}, "template": spec})
    made = rendered("kubernetes", text)
    names = [one["name"] for one in of_kind("PodTemplate", made)["template"]["spec"]["initContainers"]]
    assert names == ["fetch", "health-agent"]


def test_the_agent_is_put_into_the_hosts_network_without_a_word() -> None:
    text = COMPOSE.replace("restart: unless-stopped", "network_mode: host").replace('    ports: ["8000:8000"]\n', "")
    assert rendered("compose", text).warnings == []


def test_a_service_of_an_included_file_has_no_place_in_this_one(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(COMPOSE)
    whole = tmp_path / "compose.yaml"
    block = "x-health-agent: {readiness_check: {tcp_socket: {port: 1}}}"
    whole.write_text(f"include: [other.yaml]\nservices: {{web: {{image: web, {block}}}}}\n")
    with pytest.raises(RenderError, match=r"model is none of web: .* docker compose config > whole.yaml"):
        render("compose", find_sources([str(whole)], {}), {}, Options(), Settings())
