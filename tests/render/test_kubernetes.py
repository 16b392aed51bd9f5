"""A Kubernetes workload with the agent put in: what changes, and that nothing else does."""

from copy import deepcopy
from typing import Any

import pytest
import yaml

from agent.config import ConfigError, Options
from agent.render import RenderError
from tests.render.support import DEPLOYMENT, agent_config, loaded, manifests, named, of_kind, pod, rendered, told

PLAIN_LIST = "apiVersion: v1\nkind: List\nmetadata: {resourceVersion: ''}\nitems:\n"


def test_the_servers_probes_ask_the_agent() -> None:
    server = named("model", pod(rendered("kubernetes", DEPLOYMENT))["containers"])
    assert server["startupProbe"] == {
        "httpGet": {"path": "/startupz/model", "port": 9809},
        "periodSeconds": 5,
        "timeoutSeconds": 2,
        "failureThreshold": 131,
    }
    assert server["readinessProbe"] == {
        "httpGet": {"path": "/ready/model", "port": 9809},
        "periodSeconds": 5,
        "timeoutSeconds": 2,
        "failureThreshold": 2,
    }
    assert server["livenessProbe"] == {
        "httpGet": {"path": "/healthz/model", "port": 9809},
        "periodSeconds": 10,
        "timeoutSeconds": 3,
        "failureThreshold": 9,
        "terminationGracePeriodSeconds": 20,  # it is the kubelet that ends the server
    }


def test_the_agent_checks_what_the_kubelet_checked() -> None:
    """The ConfigMap, read by the agent's own loader, holds the very checks that the loader finds in the manifest."""
    before, after = loaded(DEPLOYMENT).config, agent_config(rendered("kubernetes", DEPLOYMENT))
    assert [one.name for one in after.containers] == ["model", "proxy"]
    assert [one.checks() for one in after.containers] == [one.checks() for one in before.containers]
    assert [one.restart for one in after.containers] == [one.restart for one in before.containers]
    assert after.containers[0].readiness[0].options.path == "/v1/models?of=${USER}"


def test_the_agent_is_a_native_sidecar_without_privileges() -> None:
    """It starts after what fetches the model, since it counts from its start how long the server takes."""
    spec = pod(rendered("kubernetes", DEPLOYMENT))
    assert [one["name"] for one in spec["initContainers"]] == ["fetch", "health-agent"]
    agent = spec["initContainers"][1]
    assert agent["restartPolicy"] == "Always"
    assert agent["args"][:2] == ["run", "--serve-on-config-error"]
    assert {"name": "HEALTH_AGENT_SERVER__PORT", "value": "9809"} in agent["env"]
    healthy = {"path": "/-/healthy", "port": 9809}
    assert agent["startupProbe"] == {"httpGet": healthy, "periodSeconds": 1, "failureThreshold": 60}
    assert agent["livenessProbe"] == {
        "httpGet": healthy,
        "periodSeconds": 5,
        "failureThreshold": 2,
        "terminationGracePeriodSeconds": 5,
    }
    assert "readinessProbe" not in agent
    assert agent["securityContext"] == {
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert spec["enableServiceLinks"] is False
    assert [one["kind"] for one in manifests(rendered("kubernetes", DEPLOYMENT))] == ["ConfigMap", "Deployment"]


def test_everything_else_stays_as_it_was() -> None:
    """Order, other containers, volumes with their octal modes, quoted words."""
    made = rendered("kubernetes", DEPLOYMENT)
    before, after = yaml.safe_load(DEPLOYMENT), of_kind("Deployment", made)
    assert "defaultMode: 0400" in made.text
    spec = after["spec"]["template"]["spec"]
    del spec["enableServiceLinks"]
    spec["volumes"].remove(named("health-agent-config", spec["volumes"]))
    spec["initContainers"].remove(named("health-agent", spec["initContainers"]))
    for document in (before, after):
        for container in document["spec"]["template"]["spec"]["containers"]:
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                container.pop(probe, None)
    assert after == before


def test_what_was_rendered_is_left_as_it_is() -> None:
    """Byte for byte, comments too; and it says so."""
    once = rendered("kubernetes", DEPLOYMENT)
    again = rendered("kubernetes", once.text)
    assert again.text == once.text
    assert told(again) == ["W-RENDER-UNCHANGED"]
    alone = rendered("kubernetes", yaml.safe_dump(of_kind("Deployment", once)))
    assert of_kind("Deployment", alone) == of_kind("Deployment", once)


def test_on_old_clusters_the_agent_is_a_container_that_starts_first() -> None:
    """Images are pulled in order, and the server's probes must not wait for it; `kubectl logs` shows the server."""
    made = rendered("kubernetes", DEPLOYMENT, sidecar="container")
    spec, template = pod(made), of_kind("Deployment", made)["spec"]["template"]
    assert [one["name"] for one in spec["containers"]] == ["health-agent", "model", "proxy", "exporter"]
    assert "restartPolicy" not in spec["containers"][0]
    assert [one["name"] for one in spec["initContainers"]] == ["fetch"]
    assert template["metadata"]["annotations"] == {"kubectl.kubernetes.io/default-container": "model"}
    assert rendered("kubernetes", made.text).text == made.text


def test_a_restartable_init_container_asks_the_agent_that_starts_before_it() -> None:
    document = yaml.safe_load(DEPLOYMENT)
    tokenizer = {
        "name": "tokenizer",
        "image": "x",
        "restartPolicy": "Always",
        "startupProbe": {"tcpSocket": {"port": 1}},
    }
    logs = {"name": "logs", "image": "x", "restartPolicy": "Always"}
    document["spec"]["template"]["spec"]["initContainers"] += [logs, tokenizer, {"name": "last", "image": "x"}]
    spec = pod(rendered("kubernetes", document))
    assert [one["name"] for one in spec["initContainers"]] == ["fetch", "logs", "health-agent", "tokenizer", "last"]
    assert named("tokenizer", spec["initContainers"])["startupProbe"]["httpGet"]["path"] == "/startupz/tokenizer"


@pytest.mark.parametrize("kind", ["Pod", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob"])
def test_every_kind_of_workload_can_have_it(kind: str) -> None:
    template = yaml.safe_load(DEPLOYMENT)["spec"]["template"]
    spec: dict[str, Any] = {"template": template}
    if kind == "CronJob":
        spec = {"schedule": "@daily", "jobTemplate": {"spec": spec}}
    document = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}, "spec": spec}
    if kind == "Pod":
        document = {**document, "spec": template["spec"]}
    made = rendered("kubernetes", document)
    assert of_kind("ConfigMap", made)["metadata"] == {"name": "x-health"}
    assert made.text.count("name: health-agent\n") == 2  # the container and its port
    assert rendered("kubernetes", made.text).text == made.text


def test_a_list_becomes_a_stream_and_other_objects_pass() -> None:
    items = [*yaml.safe_load_all(DEPLOYMENT), {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "llm"}}]
    other = deepcopy(items[0])
    other["kind"], other["spec"]["template"]["spec"]["containers"] = "StatefulSet", [{"name": "quiet", "image": "x"}]
    made = rendered("kubernetes", {"apiVersion": "v1", "kind": "List", "items": [*items, other]})
    assert [one["kind"] for one in manifests(made)] == ["ConfigMap", "Deployment", "Service", "StatefulSet"]
    assert manifests(made)[2] == items[1]
    assert manifests(made)[3] == other


def test_workloads_of_one_name_have_each_their_own_configuration() -> None:
    second = yaml.safe_load(DEPLOYMENT) | {"kind": "StatefulSet"}
    made = rendered("kubernetes", f"{DEPLOYMENT}---\n{yaml.safe_dump(second)}")
    names = [one["metadata"]["name"] for one in manifests(made) if one["kind"] == "ConfigMap"]
    assert names == ["llm-health", "llm-statefulset-health"]


def test_a_native_document_laid_over_it_says_what_no_probe_can() -> None:
    """Such as the restart; the agent then sees the server's processes, as the server's user."""
    over = """\
containers:
  - name: model
    runtime: {process: {command_contains: vllm}}
    restart: {action: {signal: {}}, drain: {max_seconds: 20}}
state_file: /var/lib/health-agent/state.json
"""
    made = rendered("kubernetes", DEPLOYMENT, over)
    spec = pod(made)
    agent = named("health-agent", spec["initContainers"])
    assert spec["shareProcessNamespace"] is True
    assert agent["securityContext"]["runAsUser"] == 0
    assert agent["securityContext"]["runAsNonRoot"] is False
    assert {"name": "health-agent-state", "mountPath": "/var/lib/health-agent"} in agent["volumeMounts"]
    assert {"name": "health-agent-state", "emptyDir": {}} in spec["volumes"]
    assert agent_config(made).containers[0].restart.action_name == "signal"
    assert told(made) == ["W-RENDER-USER"]


def test_every_folder_that_the_agent_writes_to_is_a_volume() -> None:
    """Its root file system is read-only; a folder within another needs none of its own."""
    over = """\
state_file: /var/lib/health-agent/state.json
admin: {socket: SOCKET}
containers: [{name: model, restart: {dry_run: true}}]
"""
    inner = pod(rendered("kubernetes", DEPLOYMENT, over.replace("SOCKET", "/var/lib/health-agent/run/admin.sock")))
    assert [one["name"] for one in inner["volumes"] if "emptyDir" in one] == ["health-agent-state"]
    spec = pod(rendered("kubernetes", DEPLOYMENT, over.replace("SOCKET", "/run/health-agent/admin.sock")))
    mounts = {one["mountPath"]: one["name"] for one in named("health-agent", spec["initContainers"])["volumeMounts"]}
    assert sorted(mounts) == ["/etc/health-agent", "/run/health-agent", "/var/lib/health-agent"]
    empty = [one["name"] for one in spec["volumes"] if "emptyDir" in one]
    assert empty == [mounts["/var/lib/health-agent"], mounts["/run/health-agent"]]


@pytest.mark.parametrize("folder", ["/etc/health-agent", "/etc", "/etc/health-agent/state", ""])
def test_what_is_not_the_agents_to_write_is_refused(folder: str) -> None:
    over = f"state_file: {folder}/state.json\ncontainers: [{{name: model, restart: {{dry_run: true}}}}]"
    with pytest.raises(RenderError, match="/var/lib/health-agent"):
        rendered("kubernetes", DEPLOYMENT, over)


def test_the_agent_signals_as_the_servers_user() -> None:
    document = yaml.safe_load(DEPLOYMENT)
    document["spec"]["template"]["spec"]["containers"][0]["securityContext"] = {"runAsUser": 1000}
    over = "containers: [{name: model, runtime: {process: {port: 8000}}, restart: {action: {signal: {}}}}]"
    made = rendered("kubernetes", document, over)
    assert told(made) == []
    agent = named("health-agent", pod(made)["initContainers"])
    assert (agent["securityContext"]["runAsUser"], agent["securityContext"]["runAsNonRoot"]) == (1000, True)


def test_a_server_that_knows_the_agents_port_is_no_agent() -> None:
    """`health-agent healthcheck` in its container reads the same variable."""
    document = yaml.safe_load(DEPLOYMENT)
    variable = {"name": "HEALTH_AGENT_SERVER__PORT", "value": "9809"}
    document["spec"]["template"]["spec"]["containers"][0]["env"].append(variable)
    assert told(rendered("kubernetes", document)) == []


def test_what_was_rendered_takes_nothing_more() -> None:
    """Not even what is laid over it: render its source again."""
    over = "containers: [{name: model, restart: {dry_run: true}}]"
    once = rendered("kubernetes", DEPLOYMENT)
    assert rendered("kubernetes", once.text, over).text == once.text


def test_containers_that_no_workload_has_are_told() -> None:
    with pytest.raises(ConfigError, match="no workload has a container 'modle'"):
        rendered("kubernetes", DEPLOYMENT, "containers: [{name: modle, restart: {dry_run: true}}]")


def test_references_stay_and_come_from_a_secret_or_from_kubernetes() -> None:
    """A Secret that is not there yet stops nothing: the agent says what is missing, and the server runs."""
    over = """\
containers:
  - name: model
    host: ${POD_IP}
    liveness_check:
      http_get:
        path: /health
        http_headers: [{name: Authorization, value: "Bearer ${TOKEN}"}]
"""
    made = rendered("kubernetes", DEPLOYMENT, over, environ={"TOKEN": "hunter22", "POD_IP": "127.0.0.1"})
    assert made == rendered("kubernetes", DEPLOYMENT, over)  # set here or not
    assert "hunter22" not in made.text
    assert "Bearer ${TOKEN}" in of_kind("ConfigMap", made)["data"]["config.yaml"]
    env = named("health-agent", pod(made)["initContainers"])["env"]
    assert named("POD_IP", env)["valueFrom"] == {"fieldRef": {"fieldPath": "status.podIP"}}
    assert named("TOKEN", env)["valueFrom"] == {
        "secretKeyRef": {"name": "llm-health", "key": "TOKEN", "optional": True}
    }
    assert [str(note) for note in made.notes] == [
        "W-RENDER-SECRET: Deployment llm: kubectl create secret generic llm-health --from-literal=TOKEN=..."
    ]


def test_files_that_the_agent_reads_are_told() -> None:
    over = """\
containers:
  - name: model
    liveness_check: {http_get: {scheme: https, tls: {verify: true, ca_file: /etc/tls/ca.pem}}}
"""
    (note,) = rendered("kubernetes", DEPLOYMENT, over).notes
    assert str(note) == "W-RENDER-FILE: the agent reads /etc/tls/ca.pem: add it to a volume of the agent's container"


def test_a_gpu_check_asks_the_runtime_for_the_driver_and_takes_no_device() -> None:
    over = "containers: [{name: model, liveness_check: [{http_get: {path: /health}}, {gpu: {}}]}]"
    made = rendered("kubernetes", DEPLOYMENT, over)
    agent = named("health-agent", pod(made)["initContainers"])
    assert named("NVIDIA_DRIVER_CAPABILITIES", agent["env"])["value"] == "utility"
    assert "nvidia.com/gpu" not in str(agent["resources"])
    assert told(made) == ["W-RENDER-GPU"]


def test_a_preset_is_spelled_out_since_the_windows_follow_from_its_numbers() -> None:
    made = rendered("kubernetes", "containers: [{name: model, preset: vllm}]", server_images={"": "vllm/vllm-openai"})
    native = "containers: [{name: model, preset: vllm}]"
    assert agent_config(made).containers == loaded(native).config.containers
    assert pod(made)["containers"][0]["startupProbe"]["failureThreshold"] == 371  # (359 * 5 + 60) / 5
    assert "failure_threshold: 360" in of_kind("ConfigMap", made)["data"]["config.yaml"]


def test_the_listeners_port_can_be_another() -> None:
    made = rendered("kubernetes", DEPLOYMENT, port=9900)
    agent = named("health-agent", pod(made)["initContainers"])
    assert {"name": "HEALTH_AGENT_SERVER__PORT", "value": "9900"} in agent["env"]
    assert agent["ports"] == [{"name": "health-agent", "containerPort": 9900}]
    assert agent["startupProbe"]["httpGet"]["port"] == 9900
    assert pod(made)["containers"][0]["livenessProbe"]["httpGet"]["port"] == 9900


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        ({"name": "health-agent"}, {}, "has a container named health-agent that was not rendered"),
        ({"ports": [{"containerPort": 9809}]}, {}, "port 9809 is taken by its container exporter.*--port"),
        ({}, {"name": "other"}, "--name is for what has none yet"),
    ],
)
def test_what_can_not_be_is_refused_with_a_remedy(
    change: dict[str, Any], settings: dict[str, Any], message: str
) -> None:
    document = yaml.safe_load(DEPLOYMENT)
    document["spec"]["template"]["spec"]["containers"][2] |= change
    with pytest.raises(RenderError, match=message):
        rendered("kubernetes", document, **settings)


def test_a_job_never_ends_beside_a_plain_second_container() -> None:
    template = yaml.safe_load(DEPLOYMENT)["spec"]["template"]
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": {"template": template}}
    with pytest.raises(RenderError, match="--sidecar native"):
        rendered("kubernetes", job, sidecar="container")


def test_without_any_probe_there_is_nothing_to_render() -> None:
    document = yaml.safe_load(DEPLOYMENT)
    document["spec"]["template"]["spec"]["containers"] = [{"name": "quiet", "image": "x"}]
    with pytest.raises(ConfigError, match="no container has a livenessProbe"):
        rendered("kubernetes", document)


def test_mistakes_in_probes_are_told_as_the_loader_tells_them() -> None:
    with pytest.raises(ConfigError, match="no port is named 'htpt'"):
        rendered(
            "kubernetes",
            DEPLOYMENT.replace("path: /health, port: http}, periodS", "path: /health, port: htpt}, periodS"),
        )


def test_a_server_whose_restart_is_the_agents_has_no_liveness_probe() -> None:
    over = "containers: [{name: model, restart: {action: {webhook: {url: '${HOOK}'}}}}]"
    made = rendered("kubernetes", DEPLOYMENT, over)
    server = named("model", pod(made)["containers"])
    assert "livenessProbe" not in server
    assert "startupProbe" in server
    assert "W-RENDER-LIVENESS" in told(made)


def test_numbers_that_the_windows_follow_from_must_be_known() -> None:
    over = "containers:\n  - name: model\n    startup_check:\n      failure_threshold: ${TRIES}\n"
    with pytest.raises(RenderError, match="TRIES} is not set here"):
        rendered("kubernetes", DEPLOYMENT, over)
    made = rendered("kubernetes", DEPLOYMENT, over, environ={"TRIES": "61"})
    assert pod(made)["containers"][0]["startupProbe"]["failureThreshold"] == 72  # (60 * 5 + 60) / 5
    assert "failure_threshold: ${TRIES}" in of_kind("ConfigMap", made)["data"]["config.yaml"]


def test_the_settings_of_this_shell_are_not_those_of_the_deployment() -> None:
    environ = {"HEALTH_AGENT_SERVER__PORT": "1234", "HEALTH_AGENT_LOG__FORMAT": "text", "HEALTH_AGENT_TYPO": "x"}
    assert rendered("kubernetes", DEPLOYMENT, environ=environ) == rendered("kubernetes", DEPLOYMENT)


def test_an_exec_check_runs_in_the_agent_where_that_is_wished() -> None:
    document = DEPLOYMENT.replace("tcpSocket: {port: 9000}", "exec: {command: [cat, /tmp/ready]}")
    made = rendered("kubernetes", document, options=Options(exec_in="agent"))
    assert [one["kind"] for one in manifests(made)] == ["ConfigMap", "Deployment"]
    assert agent_config(made).containers[1].readiness[0].options.in_ == "agent"
