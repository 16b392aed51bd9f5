"""Renders documents that tests write down, and reads what came of it as a platform and as the agent would."""

import json
from collections.abc import Mapping
from typing import Any

import yaml

from agent.config import Loaded, Options, SourceRef, load
from agent.core.settings import Config
from agent.render import Rendered, Settings, Target, render

NATIVE = """\
containers:
  - name: model
    port: 8000
    startup_check: {http_get: {path: /health}, period_seconds: 5, timeout_seconds: 5, failure_threshold: 120}
    liveness_check: {http_get: {path: /health}, timeout_seconds: 10, failure_threshold: 6}
    readiness_check: {http_get: {path: /v1/models}, period_seconds: 5, timeout_seconds: 5, failure_threshold: 2}
"""
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: llm, namespace: prod}
spec:
  selector: {matchLabels: {app: llm}}
  template:
    metadata: {labels: {app: llm}}
    spec:
      volumes:
        - name: models
          configMap:
            name: models
            defaultMode: 0400
      initContainers:
        - {name: fetch, image: busybox, command: [sh, -c, 'echo "${HOME}"']}
      containers:
        - name: model
          image: vllm/vllm-openai
          args: [--model, Qwen/Qwen3-0.6B]
          env: [{name: LEVEL, value: "3"}, {name: DEBUG, value: "no"}]
          ports: [{name: http, containerPort: 8000}]
          startupProbe: {httpGet: {path: /health, port: http}, periodSeconds: 5, failureThreshold: 120}
          livenessProbe: {httpGet: {path: /health, port: http}, timeoutSeconds: 5, terminationGracePeriodSeconds: 20}
          readinessProbe: {httpGet: {path: "/v1/models?of=${USER}", port: http}}
        - name: proxy
          image: envoyproxy/envoy
          readinessProbe: {tcpSocket: {port: 9000}}
        - {name: exporter, image: exporter}
"""
SERVICE = {
    "metadata": {"name": "test", "instance": 1},
    "cloud": {"computing": {"instance_type": "ml.gu7i.c16m60.1-gu30"}},
    "containers": [
        {
            "image": "registry/xxx/yyy:zzz",
            "env": [{"name": "VAR_NAME", "value": "var_value"}],
            "liveness_check": {
                "http_get": {"path": "/", "port": 8000},
                "initial_delay_seconds": 3,
                "period_seconds": 3,
                "timeout_seconds": 1,
                "success_threshold": 1,
                "failure_threshold": 4,
            },
            "command": "/data/eas/ENV/bin/python /data/eas/app1.py",
            "port": 8000,
        }
    ],
}
COMPOSE = """\
services:
  model:
    image: vllm/vllm-openai
    ports: ["8000:8000"]
    restart: unless-stopped
    x-health-agent:
      port: 8000
      liveness_check: {http_get: {path: /health}, timeout_seconds: 5}
  redis: {image: redis}
"""


def rendered(
    target: Target,
    *documents: str | Mapping[str, Any],
    environ: Mapping[str, str] | None = None,
    options: Options | None = None,
    **settings: Any,
) -> Rendered:
    """The first document rendered, the others laid over it; a map is written as JSON."""
    texts = [document if isinstance(document, str) else json.dumps(document) for document in documents]
    sources = [SourceRef(f"input{at}", content=text.encode()) for at, text in enumerate(texts)]
    return render(target, sources, environ or {}, options or Options(), Settings(**settings))


def told(made: Rendered) -> list[str]:
    """The codes of what there is to know before it is applied."""
    return [note.code for note in made.notes]


def manifests(made: Rendered) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(made.text))


def of_kind(kind: str, made: Rendered) -> dict[str, Any]:
    (found,) = [one for one in manifests(made) if one["kind"] == kind]
    return found


def pod(made: Rendered, kind: str = "Deployment") -> dict[str, Any]:
    spec: dict[str, Any] = of_kind(kind, made)["spec"]
    return spec if kind == "Pod" else spec["template"]["spec"]


def named(name: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = [one for one in items if one["name"] == name]
    return found


def loaded(text: str, environ: Mapping[str, str] | None = None, options: Options | None = None) -> Loaded:
    return load([SourceRef("config.yaml", content=text.encode())], environ or {}, options)


def agent_config(made: Rendered, environ: Mapping[str, str] | None = None) -> Config:
    """What the agent makes of the ConfigMap that is mounted into it."""
    return loaded(of_kind("ConfigMap", made)["data"]["config.yaml"], environ).config
