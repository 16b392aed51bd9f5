"""The pods of the suite in a namespace of their own: started a few at a time, watched from their first moment."""

import contextlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.acceptance.engine import docker
from tests.acceptance.kube.manifests import AGENT_IMAGE, AGENT_PORT, API_SERVER, SERVER_IMAGE
from tests.acceptance.processes import Running, eventually
from tests.kube.cluster import Namespace, command, kubectl_path

Json = Mapping[str, Any]

SERVER = Path(__file__).with_name("server")
STARTING_AT_ONCE = 4  # more would make each of them slow to come up, and their probes would see that
WATCH_SECONDS = 1800


def build_images() -> None:
    """The agent of this checkout and the scripted server on top of it, where the cluster finds them."""
    docker("build", "--quiet", "--tag", AGENT_IMAGE, ".", timeout=300)
    base = f"AGENT_IMAGE={AGENT_IMAGE}"
    docker("build", "--quiet", "--tag", SERVER_IMAGE, "--build-arg", base, str(SERVER), timeout=120)
    context = command(kubectl_path(), "config", "current-context")
    if context.startswith("kind-"):  # a kind node has an image store of its own
        name = context.removeprefix("kind-")
        command("kind", "load", "docker-image", AGENT_IMAGE, SERVER_IMAGE, "--name", name, timeout=180)


class Pods:
    """Pods, by their names."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        watch = f"/api/v1/namespaces/{namespace.name}/pods?watch=true&timeoutSeconds={WATCH_SECONDS}"
        self._log = namespace.folder / "pods.jsonl"
        self._watch = Running([kubectl_path(), "get", "--raw", watch], self._log)
        self._read = 0
        self._seen: dict[str, list[Json]] = {}

    def close(self) -> None:
        """The namespace goes, and is waited for: nothing of it is to slow down what is tested next."""
        self._watch.kill()
        self.namespace.close()
        name = self.namespace.name
        eventually(
            lambda: not command(kubectl_path(), "get", "namespace", name, "--ignore-not-found", "--output", "name"),
            within=90,
            what=f"namespace {name} is gone",
        )

    def grant(self, *roles: str) -> None:
        """The service account of deploy/ with these of its Roles, and where the API server is to be asked."""
        self.namespace.grant(*roles)
        found = command(kubectl_path(), "get", "endpoints", "kubernetes", "--namespace", "default", "--output", "json")
        [subset] = json.loads(found)["subsets"]
        data = {"HOST": subset["addresses"][0]["ip"], "PORT": str(subset["ports"][0]["port"])}
        self.namespace.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": API_SERVER}, "data": data})

    def start(self, pods: Sequence[Json]) -> None:
        """Create the pods, a few at a time: each is to come up as quickly as it would alone."""
        for pod in pods:
            self._until_coming_up(STARTING_AT_ONCE - 1)
            self.namespace.apply(pod)
            self._seen.setdefault(pod["metadata"]["name"], [])
        self._until_coming_up(0)

    def _until_coming_up(self, most: int) -> None:
        eventually(
            lambda: sum(not self._is_up(name) for name in self._seen) <= most,
            within=90,
            what="the pods before have come up",
            story=lambda: self.namespace.kubectl("get", "events", "--field-selector", "type=Warning")[-3000:],
        )

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
        only = f"involvedObject.name={name}"
        found = self.namespace.kubectl("get", "events", "--field-selector", only, "--output", "json")
        items: list[Json] = json.loads(found)["items"]
        return items

    def logs(self, name: str, container: str) -> str:
        return self.namespace.kubectl("logs", name, "--container", container)

    def ask(self, name: str, path: str) -> str:
        """What the agent of this pod answers, through the API server."""
        proxy = f"/api/v1/namespaces/{self.namespace.name}/pods/{name}:{AGENT_PORT}/proxy"
        return self.namespace.kubectl("get", "--raw", proxy + path)

    def execute(self, name: str, container: str, *words: str) -> str:
        return self.namespace.kubectl("exec", name, "--container", container, "--", *words)

    def story(self, name: str) -> str:
        """What a reader of a failure needs: the pod described, and what its containers said."""
        told = []
        for words in (("describe", "pod", name), ("logs", name, "--all-containers", "--prefix", "--tail=200")):
            with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
                told.append(self.namespace.kubectl(*words))
        return "\n".join(told)
