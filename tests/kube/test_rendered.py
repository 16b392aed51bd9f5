"""What `render` prints is applied to a real cluster as it is: an API server takes it, and the pods become ready."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.processes import eventually
from tests.cli.support import health_agent
from tests.kube import cluster
from tests.kube.cluster import Json, Namespace, command, spec
from tests.kube.test_agent_in_pod import ASK, SERVER, image

__all__ = ["image"]

KUBERNETES = Path(__file__).parents[2] / "deploy" / "kubernetes"
FILES = sorted(str(path.relative_to(KUBERNETES)) for path in KUBERNETES.glob("*/model.yaml"))
UNKNOWN_BEFORE_1_21 = "--validate=false"
"""A probe's terminationGracePeriodSeconds: kubectl calls it unknown there, and the server leaves it out."""

HTTP: Json = {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 1, "timeoutSeconds": 2}
PROBES: Json = {
    "startupProbe": {**HTTP, "failureThreshold": 60},
    "livenessProbe": {**HTTP, "failureThreshold": 2, "timeoutSeconds": 5},
    "readinessProbe": {"exec": {"command": ["python", "-c", ""]}, "periodSeconds": 2, "timeoutSeconds": 5},
}


def minor_version() -> int:
    told = json.loads(command(cluster.kubectl_path(), "version", "--output", "json"))["serverVersion"]["minor"]
    return int("".join(filter(str.isdecimal, told)))


@pytest.mark.parametrize("name", FILES)
def test_the_api_server_takes_every_manifest_of_deploy(name: str, namespace: Namespace) -> None:
    """All of it where it knows native sidecars, and whatever is no workload everywhere."""
    arguments = ["apply", "--dry-run=server", UNKNOWN_BEFORE_1_21, "--filename", str(KUBERNETES / name)]
    if minor_version() >= 29 or name.startswith("plain-container/"):
        assert "deployment.apps/model created" in namespace.kubectl(*arguments)
        return
    with pytest.raises(AssertionError) as refused:
        namespace.kubectl(*arguments)
    told = str(refused.value)
    assert "configmap/model-health created" in told
    assert 'The Deployment "model" is invalid' in told
    assert told.count("must not be set for init containers") == told.count("Invalid value")


class Running:
    """A Deployment that ran without the agent, was rendered as it is in the cluster, and applied again."""

    def __init__(self, namespace: Namespace, image: str, name: str) -> None:
        self.namespace, self.name = namespace, name
        body = spec("", name="model", command=["python", "-u", "-c", SERVER], **PROBES)
        body["containers"][0]["ports"] = [{"name": "http", "containerPort": 8000}]
        labels = {"app": name}
        namespace.apply({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": body}},
        })  # fmt: skip
        namespace.kubectl("rollout", "status", f"deployment/{name}", timeout=70)
        self.rendered = self.render("--image", image)
        namespace.kubectl("apply", UNKNOWN_BEFORE_1_21, "--filename", "-", stdin=self.rendered.stdout)
        namespace.kubectl("rollout", "status", f"deployment/{name}", timeout=90)

    def render(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Of what the cluster has; the API is reached where a cluster without virtual addresses has it."""
        endpoint = self.namespace.kubectl(
            "get", "endpoints", "kubernetes", "--namespace", "default", "--output", "json"
        )
        [subset] = json.loads(endpoint)["subsets"]
        api = f"https://{subset['addresses'][0]['ip']}:{subset['ports'][0]['port']}"
        over = self.namespace.folder / "over.yaml"
        over.write_text(f"containers: [{{name: model, runtime: {{kubernetes: {{api: '{api}'}}}}}}]\n")
        live = self.namespace.kubectl("get", "deployment", self.name, "--output", "yaml")
        return health_agent("render", "kubernetes", "-", str(over), "--sidecar", "container", *options, stdin=live)

    def pod(self) -> Json:
        pods = self.namespace.pods(f"app={self.name}")
        return next(one for one in pods if "deletionTimestamp" not in one["metadata"])

    def model(self) -> Json:
        """What the agent tells of the server."""
        words = ["--container", "health-agent", "--", "python", "-c", ASK.format(path="/status")]
        found: Json = json.loads(self.namespace.kubectl("exec", self.pod()["metadata"]["name"], *words))
        model: Json = found["containers"][0]
        return model

    def state(self, container: str) -> Json:
        found: Any = self.pod()["status"]["containerStatuses"]
        return next(one for one in found if one["name"] == container)


@pytest.fixture(scope="module")
def running(namespace: Namespace, image: str) -> Running:
    return Running(namespace, image, "rendered")


def test_a_running_workload_is_rendered_applied_and_ready_again(running: Running) -> None:
    """Its checks are the agent's now, the exec check too, with the rights that were rendered for it."""
    assert running.rendered.returncode == 0, running.rendered.stderr
    assert "W-RENDER-EXEC" in running.rendered.stderr
    model = running.model()
    assert (model["started"], model["ready"], model["live"]) == (True, True, True)
    found = {check["type"]: (check["method"], check["last_result"]) for check in model["checks"]}
    assert found == {
        "startup": ("http_get", "success"),
        "readiness": ("exec", "success"),
        "liveness": ("http_get", "success"),
    }
    assert running.state("health-agent")["restartCount"] == running.state("model")["restartCount"] == 0
    assert running.pod()["spec"]["containers"][1]["livenessProbe"]["httpGet"]["path"] == "/healthz/model"


def test_only_the_agent_holds_a_token(running: Running) -> None:
    pod = running.pod()["metadata"]["name"]
    look = ["--", "sh", "-c", "ls /var/run/secrets/kubernetes.io/serviceaccount 2>/dev/null | tr '\\n' ' '"]
    assert running.namespace.kubectl("exec", pod, "--container", "model", *look) == ""
    assert running.namespace.kubectl("exec", pod, "--container", "health-agent", *look) == "ca.crt namespace token"


def test_what_is_in_the_cluster_then_is_left_as_it_is(running: Running) -> None:
    """Rendered once more it is the same workload: applying it again changes nothing."""
    again = running.render()
    assert again.stderr == "W-RENDER-UNCHANGED: Deployment rendered has the agent already: left as it is\n"
    before = running.namespace.get("deployment", "rendered")["spec"]
    running.namespace.kubectl("diff", "--filename", "-", stdin=again.stdout)  # fails where there is a difference
    running.namespace.kubectl("apply", UNKNOWN_BEFORE_1_21, "--filename", "-", stdin=again.stdout)
    assert running.namespace.get("deployment", "rendered")["spec"] == before


def test_a_change_of_the_config_map_is_followed(running: Running) -> None:
    """No pod is made anew for it; the kubelet takes up to a minute to hand it over."""
    name = running.pod()["metadata"]["name"]
    config_map = running.namespace.get("configmap", "rendered-health")
    text = config_map["data"]["config.yaml"].replace("period_seconds: 2", "period_seconds: 3")
    patch = json.dumps({"data": {"config.yaml": text}})
    running.namespace.kubectl("patch", "configmap", "rendered-health", "--patch", patch)

    def period() -> float:
        return next(check["period_seconds"] for check in running.model()["checks"] if check["type"] == "readiness")

    eventually(lambda: period() == 3, within=150, what="the new period is in force")
    assert running.pod()["metadata"]["name"] == name
    assert running.state("model")["restartCount"] == 0


def test_a_workload_that_apply_did_not_make_loses_its_old_questions_all_the_same(namespace: Namespace) -> None:
    """`kubectl apply` would leave what the rendered manifest does not say: two handlers in a probe, an old delay."""
    body = spec("", name="model", command=["sleep", "600"])
    body["containers"][0]["livenessProbe"] = {"exec": {"command": ["true"]}, "initialDelaySeconds": 77}
    body["containers"][0]["readinessProbe"] = {"tcpSocket": {"port": 8000}, "successThreshold": 3}
    labels = {"app": "created"}
    deployment = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "created"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": body},
        },
    }  # fmt: skip
    namespace.kubectl("create", "--filename", "-", stdin=json.dumps(deployment))
    live = namespace.kubectl("get", "deployment", "created", "--output", "yaml")
    made = health_agent("render", "kubernetes", "-", "--sidecar", "container", "--exec-in", "agent", stdin=live)
    assert made.returncode == 0, made.stderr
    namespace.kubectl("apply", UNKNOWN_BEFORE_1_21, "--filename", "-", stdin=made.stdout)
    containers = namespace.get("deployment", "created")["spec"]["template"]["spec"]["containers"]
    server = next(one for one in containers if one["name"] == "model")
    for key, path in (("livenessProbe", "/healthz/model"), ("readinessProbe", "/ready/model")):
        assert (server[key].pop("httpGet")["path"], server[key]["successThreshold"]) == (path, 1)
        assert not server[key].keys() & {"exec", "tcpSocket", "initialDelaySeconds"}
