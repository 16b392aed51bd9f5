"""A real Kubernetes cluster: kubectl with deadlines, a namespace of the test's own, and service accounts in it."""

import base64
import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from agent.runtimes.kubernetes import Kubernetes
from tests.acceptance.processes import eventually

ROOT = Path(__file__).parents[2]
RBAC = ROOT / "deploy" / "kubernetes" / "rbac"
IMAGE = "python:3.12-slim-bookworm"
ACCOUNT = "model-health-agent"

Json = dict[str, Any]


class MissingError(Exception):
    """No cluster, and what to do about it."""


def command(*words: str, timeout: float = 30, stdin: str | None = None) -> str:
    """Standard output; fails with the command's words where it fails, and never waits for ever."""
    run = subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=timeout, check=False, cwd=ROOT)
    assert run.returncode == 0, f"{' '.join(words)}:\n{run.stdout[-3000:]}{run.stderr[-3000:]}"
    return run.stdout.strip()


@cache
def kubectl_path() -> str:
    """$KUBECTL, or the one on the PATH. Raises MissingError unless a cluster answers to it."""
    remedy = "set KUBECONFIG, and KUBECTL where it is not on the PATH, e.g. after `kind create cluster`"
    path = os.environ.get("KUBECTL") or shutil.which("kubectl")
    if path is None or not os.environ.get("KUBECONFIG"):
        raise MissingError(f"no Kubernetes cluster is named: {remedy}")
    try:
        command(path, "get", "nodes", timeout=20)
    except (AssertionError, OSError, subprocess.TimeoutExpired) as problem:
        raise MissingError(f"no Kubernetes cluster answers: {remedy}\n{problem}") from problem
    return path


class Namespace:
    """A namespace of this run; ``folder`` is where its service accounts are kept for the agent's side."""

    def __init__(self, folder: Path) -> None:
        self.name = f"health-agent-{uuid.uuid4().hex[:10]}"
        self.folder = folder
        command(kubectl_path(), "create", "namespace", self.name)
        server = "{.clusters[0].cluster.server}"
        self.api = command(kubectl_path(), "config", "view", "--minify", "--output", f"jsonpath={server}")
        eventually(lambda: self.exists("serviceaccount", "default"), within=30, what="the namespace is ready")

    def close(self) -> None:
        """Everything in it goes; pods are not waited for longer than they must be."""
        self.kubectl("delete", "pods,deployments,statefulsets", "--all", "--force", "--grace-period=0", "--wait=false")
        command(kubectl_path(), "delete", "namespace", self.name, "--wait=false")

    def kubectl(self, *words: str, timeout: float = 30, stdin: str | None = None) -> str:
        return command(kubectl_path(), "--namespace", self.name, *words, timeout=timeout, stdin=stdin)

    def apply(self, *objects: Mapping[str, Any]) -> None:
        self.kubectl(
            "apply", "--filename", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        )

    def get(self, kind: str, name: str) -> Json:
        found: Json = json.loads(self.kubectl("get", kind, name, "--output", "json"))
        return found

    def exists(self, kind: str, name: str) -> bool:
        return bool(self.kubectl("get", kind, name, "--ignore-not-found", "--output", "name"))

    def pods(self, label: str) -> list[Json]:
        found: list[Json] = json.loads(self.kubectl("get", "pods", "--selector", label, "--output", "json"))["items"]
        return found

    def forget(self, name: str) -> None:
        """Take a pod off the books at once; its kubelet ends it when it gets round to it."""
        self.kubectl("delete", "pod", name, "--force", "--grace-period=0", timeout=60)

    def start(self, pod: Mapping[str, Any]) -> None:
        """Create a pod and wait until it is ready."""
        self.apply(pod)
        self.wait_ready(f"pod/{pod['metadata']['name']}")

    def wait_ready(self, *what: str) -> None:
        self.kubectl("wait", "--for=condition=Ready", "--timeout=60s", *what, timeout=70)

    # -- accounts ----------------------------------------------------------------------------------------------------

    def grant(self, *roles: str) -> None:
        """Apply these of the Roles that deploy/ holds, as they are."""
        for role in ("service-account", *roles):
            self.kubectl("apply", "--filename", str(RBAC / f"{role}.yaml"))

    def revoke(self, role: str) -> None:
        self.kubectl("delete", "--filename", str(RBAC / f"{role}.yaml"))

    def mount(self, name: str = "first") -> Path:
        """The account's token, authority and namespace in a folder, as a kubelet would mount them."""
        self.apply({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
            "metadata": {"name": name, "annotations": {"kubernetes.io/service-account.name": ACCOUNT}},
        })  # fmt: skip
        eventually(lambda: "token" in self.get("secret", name).get("data", {}), within=30, what="a token is issued")
        for file, data in self.get("secret", name)["data"].items():
            (self.folder / file).write_bytes(base64.b64decode(data))
        return self.folder

    def runtime(self, pod: str, container: str = "main", **options: Any) -> Kubernetes:
        """A runtime as a document would configure it, outside the cluster."""
        given = {"pod": pod, "container": container, "api": self.api, "credentials": str(self.folder)}
        return Kubernetes(**{**given, **options})


@contextmanager
def namespace(folder: Path) -> Iterator[Namespace]:
    """A namespace that goes afterwards."""
    made = Namespace(folder)
    try:
        yield made
    finally:
        made.close()


def pod(name: str, script: str, *, labels: Json | None = None, **container: Any) -> Json:
    """A pod whose container runs this shell script."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels or {}},
            "spec": spec(script, **container)}  # fmt: skip


def spec(script: str, **container: Any) -> Json:
    main = {"name": "main", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script]}
    return {"terminationGracePeriodSeconds": 1, "enableServiceLinks": False, "containers": [{**main, **container}]}


def deployment(name: str, replicas: int, script: str = "sleep 3600", **container: Any) -> Json:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": spec(script, **container)}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }  # fmt: skip
