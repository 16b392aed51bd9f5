"""Asks a real API server which of many probes it accepts, and writes its verdicts down for test_kubernetes_api.py.

Nothing is created, every request is a dry run. Where KUBECONFIG names a cluster:

    python tests/config/record_api_verdicts.py > tests/config/data/api-verdicts.jsonl
"""

import json
import os
import random
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import yaml

PORTS: list[Any] = [
    0,
    1,
    -1,
    80,
    8000,
    65535,
    65536,
    "http",
    "metrics",
    "8000",
    "-http",
    "a--b",
    "a",
    "UP",
    "x" * 16,
    "",
    None,
    True,
    1.5,
]
NUMBERS: list[Any] = [0, 1, 2, 3, 10, 600, -1, 2147483647, 2147483648, "5", True, None, 1.5, []]
HANDLERS: dict[str, dict[str, list[Any]]] = {
    "httpGet": {
        "port": PORTS,
        "path": ["/", "", "health", "/a?b=c#d", None, 5],
        "host": ["", "127.0.0.1", "localhost", None, 7],
        "scheme": ["HTTP", "HTTPS", "http", "https", "", "FTP", None, 1],
        "httpHeaders": [
            [], None, [{"name": "X-A", "value": "b"}], [{"name": "x", "value": ""}], [{"name": "x"}], [{"value": "x"}],
            [{"name": "X_A", "value": "b"}], [{"name": "a b", "value": "c"}], [{"name": "", "value": "c"}],
            [{"name": "X-A", "value": 5}], {"name": "x"}, [{"name": "X-A", "value": None}],
        ],
    },
    "tcpSocket": {"port": PORTS, "host": ["", "127.0.0.1", None, 7]},
    "exec": {"command": [["true"], ["sh", "-c", "$(A) ${B}"], [], None, "true", ["sleep", 5], [True], {}]},
}  # fmt: skip
GOOD: dict[str, Any] = {"httpGet": {"port": "http"}, "tcpSocket": {"port": 8000}, "exec": {"command": ["true"]}}
FIELDS = ("initialDelaySeconds", "periodSeconds", "timeoutSeconds", "successThreshold", "failureThreshold")


def probe(chance: random.Random) -> Any:
    """One probe: most are good but for a detail or two, so that each verdict hangs on one of them."""
    if chance.random() < 0.03:
        return chance.choice([None, [], "x", 5, {}, True])
    found: dict[str, Any] = {}
    for handler in chance.sample(sorted(HANDLERS), chance.choice([1] * 18 + [0, 2])):
        found[handler] = dict(GOOD[handler])
        for key in chance.choices(sorted(HANDLERS[handler]), k=chance.choice([0, 0, 1, 1, 2])):
            found[handler][key] = chance.choice(HANDLERS[handler][key])
        if chance.random() < 0.03:
            found[handler] = chance.choice([None, {}, [], "x"])
    for key in chance.sample(FIELDS, chance.choice([0, 0, 0, 1, 1, 2])):
        found[key] = chance.choice(NUMBERS)
    return found


class Cluster:
    """The API server that a KUBECONFIG with files for certificates names."""

    def __init__(self, path: str) -> None:
        told = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        cluster, user = told["clusters"][0]["cluster"], told["users"][0]["user"]
        self.server = cluster["server"]
        self.context = ssl.create_default_context(cafile=cluster["certificate-authority"])
        self.context.load_cert_chain(user["client-certificate"], user["client-key"])

    def ask(self, path: str, body: Any = None) -> tuple[int, Any]:
        request = urllib.request.Request(  # noqa: S310
            self.server + path,
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10, context=self.context) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            return refused.code, json.load(refused)


def pod(kind: str, tried: Any) -> dict[str, Any]:
    """A Pod whose one container has this probe."""
    container = {
        "name": "model",
        "image": "model",
        "ports": [{"name": "http", "containerPort": 8000}, {"name": "metrics", "containerPort": 9000}],
        kind: tried,
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "m"}, "spec": {"containers": [container]}}


def main(count: int = 1400) -> None:
    cluster = Cluster(os.environ["KUBECONFIG"])
    print(json.dumps(cluster.ask("/version")[1]["gitVersion"]))  # noqa: T201
    chance = random.Random(20)  # noqa: S311
    known = set()
    for _ in range(count):
        kind = chance.choice(["livenessProbe", "readinessProbe", "startupProbe"])
        tried = probe(chance)
        key = json.dumps([kind, tried])
        if key not in known:
            known.add(key)
            status, answer = cluster.ask("/api/v1/namespaces/default/pods?dryRun=All", pod(kind, tried))
            fields = [cause["field"] for cause in answer.get("details", {}).get("causes", [])]
            print(json.dumps([kind, tried, status, *fields]))  # noqa: T201


if __name__ == "__main__":
    main()
