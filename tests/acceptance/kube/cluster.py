"""A Kubernetes cluster as a test needs it: kubectl with deadlines, one namespace, its pods watched from the start."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tests.acceptance.kube.manifests import AGENT_IMAGE, AGENT_PORT, API_SERVER, SERVER_IMAGE
from tests.acceptance.processes import Running, eventually

Json = Mapping[str, Any]

ROOT = Path(__file__).parents[3]
RBAC = ROOT / "deploy" / "kubernetes" / "rbac"
SERVER = Path(__file__).with_name("server")
STARTING_AT_ONCE = 4  # pods; more would make each of them slow to come up, and their probes would see that
WATCH_SECONDS = 1800


class MissingError(Exception):
    """No cluster, and what to do about it."""


def command(*words: str, timeout: float, stdin: str | None = None) -> str:
    """Standard output of a command; fails with its words where it fails, and never waits for ever."""
    run = subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=timeout, check=False, cwd=ROOT)
    assert run.returncode == 0, f"{' '.join(words)}:\n{run.stdout[-3000:]}{run.stderr[-3000:]}"
    return run.stdout


@cache
def kubectl_path() -> str:
    """$KUBECTL or the one on the PATH. Raises MissingError unless a cluster answers to it and docker can build."""
    path = os.environ.get("KUBECTL") or shutil.which("kubectl")
    remedy = "set KUBECONFIG to any cluster that runs the images of the local Docker Engine, e.g. `kind create cluster`"
    if path is None:
        raise MissingError(f"kubectl is not installed: see https://kubernetes.io/docs/tasks/tools/, then {remedy}")
    try:
        command(path, "get", "nodes", timeout=20)
        command("docker", "info", timeout=20)
    except (AssertionError, OSError, subprocess.TimeoutExpired) as problem:
        raise MissingError(f"no Kubernetes cluster or no Docker Engine answers: {remedy}\n{problem}") from problem
    return path


def kubectl(*words: str, timeout: float = 30, stdin: str | None = None) -> str:
    return command(kubectl_path(), *words, timeout=timeout, stdin=stdin)


def build_images() -> None:
    """The agent of this checkout and the scripted server on top of it, where the cluster finds them."""
    command("docker", "build", "--quiet", "--tag", AGENT_IMAGE, ".", timeout=300)
    base = f"AGENT_IMAGE={AGENT_IMAGE}"
    command("docker", "build", "--quiet", "--tag", SERVER_IMAGE, "--build-arg", base, str(SERVER), timeout=120)
    context = kubectl("config", "current-context").strip()
    if context.startswith("kind-"):  # a kind node has an image store of its own
        name = context.removeprefix("kind-")
        command("kind", "load", "docker-image", AGENT_IMAGE, SERVER_IMAGE, "--name", name, timeout=180)


class Namespace:
    """A namespace of this run and the pods in it."""

    def __init__(self, home: Path) -> None:
        self.name = f"health-agent-{uuid.uuid4().hex[:10]}"
        self.kubectl("create", "namespace", self.name)
        watch = f"/api/v1/namespaces/{self.name}/pods?watch=true&timeoutSeconds={WATCH_SECONDS}"
        self._log = home / "pods.jsonl"
        self._watch = Running([kubectl_path(), "get", "--raw", watch], self._log)
        self._read = 0
        self._seen: dict[str, list[Json]] = {}
        eventually(self._has_account, within=30, what="the namespace has its service account")

    def kubectl(self, *words: str, timeout: float = 30, stdin: str | None = None) -> str:
        return kubectl("--namespace", self.name, *words, timeout=timeout, stdin=stdin)

    def _has_account(self) -> str:
        return self.kubectl("get", "serviceaccount", "default", "--ignore-not-found", "--output", "name")

    def grant(self, *roles: str) -> None:
        """The account of deploy/kubernetes/rbac with these of its Roles, and where the API server is to be asked."""
        files = [word for role in ("service-account", *roles) for word in ("--filename", str(RBAC / f"{role}.yaml"))]
        self.kubectl("apply", *files)
        endpoints = json.loads(kubectl("get", "endpoints", "kubernetes", "--namespace", "default", "--output", "json"))
        [subset] = endpoints["subsets"]
        config = json.loads(kubectl("config", "view", "--raw", "--minify", "--flatten", "--output", "json"))
        data = {
            "HOST": subset["addresses"][0]["ip"],
            "PORT": str(subset["ports"][0]["port"]),
            "ca.crt": base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]).decode(),
        }
        self.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": API_SERVER}, "data": data})

    def close(self) -> None:
        """Everything goes; it is waited for, so that nothing of it still runs when the suite is over."""
        self._watch.kill()
        # Forced: a kubelet that may ask the API server five times a second takes a minute to take its leave of 40 pods.
        self.kubectl("delete", "pods", "--all", "--force", "--grace-period=0", "--wait=false")
        self.kubectl("delete", "namespace", self.name, "--wait=false")
        eventually(
            lambda: not kubectl("get", "namespace", self.name, "--ignore-not-found", "--output", "name"),
            within=90,
            what=f"namespace {self.name} is gone",
        )

    def create(self, *objects: Json) -> None:
        document = {"apiVersion": "v1", "kind": "List", "items": objects}
        self.kubectl("create", "--filename", "-", stdin=json.dumps(document), timeout=60)

    def start(self, pods: Sequence[Json]) -> None:
        """Create the pods, a few at a time: each is to come up as quickly as it would alone."""
        for pod in pods:
            self._until_coming_up(STARTING_AT_ONCE - 1)
            self.create(pod)
            self._seen.setdefault(pod["metadata"]["name"], [])
        self._until_coming_up(0)

    def _until_coming_up(self, most: int) -> None:
        eventually(
            lambda: len(self._coming_up()) <= most,
            within=90,
            what="the pods before have come up",
            story=lambda: self.kubectl("get", "events", "--field-selector", "type=Warning")[-3000:],
        )

    def _coming_up(self) -> list[str]:
        return [name for name in self._seen if not self._is_up(name)]

    def _is_up(self, name: str) -> bool:
        seen = self.seen(name)
        containers = seen[-1]["status"].get("containerStatuses", ()) if seen else ()
        return bool(containers) and all("waiting" not in one["state"] for one in containers)

    def seen(self, name: str) -> list[Json]:
        """Every version of this pod that was watched so far, in order."""
        with self._log.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            pod = json.loads(line)["object"]
            self._seen.setdefault(pod["metadata"].get("name", ""), []).append(pod)
        return self._seen.get(name, [])

    def statuses(self, name: str) -> list[Json]:
        return [pod["status"] for pod in self.seen(name)]

    def container(self, name: str, container: str) -> Json:
        """The last status of one container; {} before there is one."""
        statuses = self.statuses(name)
        every = statuses[-1].get("containerStatuses", ()) if statuses else ()
        return next((one for one in every if one["name"] == container), {})

    def restarts(self, name: str, container: str) -> int:
        count: int = self.container(name, container).get("restartCount", 0)
        return count

    def events(self, name: str) -> list[Json]:
        found = self.kubectl("get", "events", "--field-selector", f"involvedObject.name={name}", "--output", "json")
        items: list[Json] = json.loads(found)["items"]
        return items

    def logs(self, name: str, container: str) -> str:
        return self.kubectl("logs", name, "--container", container)

    def ask(self, name: str, path: str) -> str:
        """What the agent of this pod answers, through the API server."""
        return kubectl("get", "--raw", f"/api/v1/namespaces/{self.name}/pods/{name}:{AGENT_PORT}/proxy{path}")

    def execute(self, name: str, container: str, *words: str) -> str:
        return self.kubectl("exec", name, "--container", container, "--", *words)

    def story(self, name: str) -> str:
        """What a reader of a failure needs: the pod described, and what its containers said."""
        told = []
        for words in (("describe", "pod", name), ("logs", name, "--all-containers", "--prefix", "--tail=200")):
            with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
                told.append(self.kubectl(*words))
        return "\n".join(told)


@contextlib.contextmanager
def namespace(home: Path) -> Iterator[Namespace]:
    """A namespace that is gone afterwards."""
    made = Namespace(home)
    try:
        yield made
    finally:
        made.close()
