"""The agent's image in a pod, beside a server, with a token for it alone: it evicts, and it says what it lacks."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.processes import eventually
from tests.kube import cluster
from tests.kube.cluster import ACCOUNT, Json, Namespace, command, spec

AGENT_IMAGE = "model-health-agent:acceptance"  # as the image's own tests name it: one cache

SERVER = """
import http.server, os
class Model(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(500 if os.path.exists("/tmp/sick") else 200)
        self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("", 8000), Model).serve_forever()
"""
ASK = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9809{path}', timeout=5).read().decode())"

MOUNT = {"name": "api-access", "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
ACCESS = {
    "name": "api-access",
    "projected": {
        "sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
        ]
    },
}
"""What deploy/kubernetes/rbac/service-account.yaml tells to mount."""


@pytest.fixture(scope="module")
def image() -> str:
    """The image of this checkout, where the cluster finds it."""
    command("docker", "build", "--quiet", "--tag", AGENT_IMAGE, ".", timeout=300)
    context = command(cluster.kubectl_path(), "config", "current-context")
    if context.startswith("kind-"):  # its node has an image store of its own
        name = context.removeprefix("kind-")
        command("kind", "load", "docker-image", AGENT_IMAGE, "--name", name, timeout=180)
    return AGENT_IMAGE


class Deployed:
    """A Deployment of one pod: the server and the agent."""

    def __init__(self, namespace: Namespace, name: str, image: str, *, port: str = "", **restart: Any) -> None:
        self.namespace, self.name = namespace, name
        look = {"period_seconds": 0.5, "timeout_seconds": 5}
        document = {
            "server": {"details": "full"},
            "containers": [{
                "name": "model", "port": 8000, "runtime": {"kubernetes": {}},
                "liveness_check": {"http_get": {"path": "/health"}, **look},
                "readiness_check": {"exec": {"command": ["python", "-c", ""], "in": "container"}, **look},
                "restart": {"grace_period_seconds": 1, "action_timeout_seconds": 5, **restart},
            }],
        }  # fmt: skip
        # The API server itself: a cluster of a test may have no virtual addresses.
        endpoint = namespace.kubectl("get", "endpoints", "kubernetes", "--namespace", "default", "--output", "json")
        [subset] = json.loads(endpoint)["subsets"]
        environment = {
            "HEALTH_AGENT_CONFIG": json.dumps(document), "KUBERNETES_SERVICE_HOST": subset["addresses"][0]["ip"],
            "KUBERNETES_SERVICE_PORT": port or str(subset["ports"][0]["port"]),
        }  # fmt: skip
        agent = {
            "name": "health-agent", "image": image, "imagePullPolicy": "IfNotPresent", "volumeMounts": [MOUNT],
            "env": [{"name": key, "value": value} for key, value in environment.items()],
            "readinessProbe": {"httpGet": {"path": "/-/ready", "port": 9809}, "periodSeconds": 1},
            "securityContext": {"readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
        }  # fmt: skip
        body = spec("", name="model", command=["python", "-u", "-c", SERVER])
        body["containers"].append(agent)
        body |= {"serviceAccountName": ACCOUNT, "automountServiceAccountToken": False, "volumes": [ACCESS]}
        labels = {"app": name}
        namespace.apply({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": body}},
        })  # fmt: skip
        namespace.kubectl("rollout", "status", f"deployment/{name}", timeout=70)

    def pod(self) -> Json:
        """The pod that is not on its way out."""
        pods = self.namespace.pods(f"app={self.name}")
        return next(one for one in pods if "deletionTimestamp" not in one["metadata"])

    @property
    def pod_name(self) -> str:
        name: str = self.pod()["metadata"]["name"]
        return name

    def execute(self, container: str, *words: str) -> str:
        return self.namespace.kubectl("exec", self.pod_name, "--container", container, "--", *words)

    def model(self) -> Json:
        """What the agent tells of the server."""
        found: Json = json.loads(self.execute("health-agent", "python", "-c", ASK.format(path="/status")))
        model: Json = found["containers"][0]
        return model

    def check(self, kind: str) -> Json:
        found: Json = next(one for one in self.model()["checks"] if one["type"] == kind)
        return found

    def log(self) -> str:
        return self.namespace.kubectl("logs", self.pod_name, "--container", "health-agent")

    def eventually(self, fact: Any, what: str, within: float = 60) -> None:
        eventually(fact, within=within, what=what, story=self.log)


@pytest.fixture(scope="module")
def lacking(namespace: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    """A namespace whose account may look at pods and nothing else."""
    with cluster.namespace(tmp_path_factory.mktemp("lacking")) as made:
        made.grant("instance")
        yield made


def test_the_agent_evicts_its_own_pod_as_soon_as_the_budget_lets_it(namespace: Namespace, image: str) -> None:
    """Meanwhile each attempt fails with the budget's words, and an Event names the check that failed."""
    action = {"kubernetes": {"method": "evict", "min_pod_age_seconds": 0}}
    backoff = {"initial_seconds": 1, "max_seconds": 2}
    deployed = Deployed(namespace, "beside", image, action=action, backoff=backoff, budget={"restarts": 50})
    namespace.kubectl("create", "poddisruptionbudget", "beside", "--selector", "app=beside", "--min-available", "1")
    first = deployed.pod_name
    deployed.eventually(lambda: deployed.model()["ready"], "the exec check succeeds in the server's container")
    running = {one["name"]: one["containerID"] for one in deployed.pod()["status"]["containerStatuses"]}
    deployed.eventually(lambda: deployed.model()["identity"] == running["model"], "the instance is known")

    deployed.execute("model", "touch", "/tmp/sick")
    words = "disruption budget beside needs 1 healthy pods"
    deployed.eventually(lambda: words in deployed.log(), "an attempt fails, and says why")
    assert "failed" in [one["outcome"] for one in deployed.model()["restarts"]]
    assert deployed.pod_name == first
    described = namespace.kubectl("describe", "pod", first)
    assert "liveness/http_get has failed; reason status; action kubernetes" in described

    namespace.kubectl("delete", "poddisruptionbudget", "beside")
    deployed.eventually(lambda: deployed.pod_name != first, "the pod is replaced")
    namespace.kubectl("rollout", "status", "deployment/beside", timeout=70)
    deployed.eventually(lambda: deployed.model()["ready"], "the new server is ready")
    assert len(namespace.pods("app=beside")) <= 2  # one, and the one that takes its leave


def test_what_it_may_not_do_is_told_with_the_rule_and_does_no_harm(lacking: Namespace, image: str) -> None:
    deployed = Deployed(lacking, "lacking", image, action={"kubernetes": {"min_pod_age_seconds": 0}})
    first = deployed.pod_name
    deployed.eventually(lambda: deployed.check("readiness")["last_result"] == "error", "exec is refused")
    assert deployed.check("readiness")["reason"] == "runtime"
    assert deployed.check("liveness")["published"] == "Success"
    deployed.execute("model", "touch", "/tmp/sick")
    deployed.eventually(
        lambda: "failed" in [one["outcome"] for one in deployed.model()["restarts"]], "an attempt fails"
    )
    log = deployed.log()
    for resource, verbs in (("pods/eviction", "create"), ("events", "create")):
        rule = f"resources: [{resource}], verbs: [{verbs}]}} to the rules of a Role in namespace {lacking.name}"
        assert rule in log
    assert log.count("runtime.announce_failed") == 1
    assert deployed.pod_name == first


def test_without_an_api_server_its_checks_are_errors_and_the_others_go_on(lacking: Namespace, image: str) -> None:
    deployed = Deployed(lacking, "alone", image, port="1")
    deployed.eventually(lambda: deployed.check("readiness")["last_result"] == "error", "exec finds no API server")
    assert deployed.check("readiness")["reason"] == "runtime"
    assert deployed.check("liveness")["last_result"] == "success"
    assert "cannot connect to https://" in deployed.log()
    before = len(deployed.log().splitlines())
    deployed.eventually(lambda: deployed.check("liveness")["run"] >= 10, "liveness is probed on")
    assert len(deployed.log().splitlines()) <= before + 2  # it is told once, and not at each look
