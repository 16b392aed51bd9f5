"""The pods of the suite: the scripted server alone under the kubelet, or with the agent beside it."""

import json
from typing import Any

from tests.acceptance.kube.comparison import Probe
from tests.acceptance.kube.timetables import TCP_PORTS, Check, Timetable
from tests.kube.cluster import ACCOUNT

Json = dict[str, Any]

AGENT_PORT = 9809
SERVER_PORT = 8000
AGENT_IMAGE = "model-health-agent:kube-acceptance"  # names of their own, kept: their layers are the next build's cache
SERVER_IMAGE = "model-health-agent-scripted-server:kube-acceptance"

API_SERVER = "api-server"  # a ConfigMap of the namespace: a cluster of a test may have no virtual addresses
HARDENED = {
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
}

LOOK = """
if test -e "/shared/$0"; then answer=good; else answer=bad; fi
printf '{"event":"round","unix":%s,"probe":"%s","answer":"%s"}\\n' "$(date +%s.%N)" "$0" "$answer" >>/shared/trace
test "$answer" = good
"""
"""The command of an exec check: says what the file of the probe ($0) tells, and leaves its trace as the server does."""


def command(probe: Probe) -> list[str]:
    return ["sh", "-c", LOOK, probe]


def pod(name: str, containers: list[Json], *, labels: dict[str, str], **spec: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "enableServiceLinks": False,
            "dnsPolicy": "Default",  # a cluster without a DNS would have the kubelet complain at every look at the pod
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 2,
            "volumes": [{"name": "shared", "emptyDir": {}}],
            "containers": containers,
            **spec,
        },
    }


def server(script: list[Json], *, wait_for_agent: bool, **more: Any) -> Json:
    """Container ``main``; beside an agent its timetable begins once the agent probes."""
    timetable: Json = {"instances": script}
    if wait_for_agent:
        timetable["agent_port"] = AGENT_PORT
    return {
        "name": "main",
        "image": SERVER_IMAGE,
        "imagePullPolicy": "Never",
        "env": [{"name": "TIMETABLE", "value": json.dumps(timetable)}],
        "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
        **more,
    }


def agent(document: Json | str, *arguments: str, **more: Any) -> Json:
    """Container ``health-agent``; it is asked about its own health only, as deploy/ has it."""
    return {
        "name": "health-agent",
        "image": AGENT_IMAGE,
        "imagePullPolicy": "Never",
        "args": ["run", *arguments],
        "env": [
            {"name": "HEALTH_AGENT_CONFIG", "value": document if isinstance(document, str) else json.dumps(document)}
        ],
        "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
        "securityContext": HARDENED,
        **more,
    }


def with_account(made: Json) -> Json:
    """The pod with the service account of deploy/kubernetes/rbac, whose token its agent alone gets."""
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    made["spec"]["serviceAccountName"] = ACCOUNT
    made["spec"]["volumes"].append({"name": "api-access", "projected": {"sources": sources}})
    beside = next(one for one in made["spec"]["containers"] if one["name"] == "health-agent")
    path = "/var/run/secrets/kubernetes.io/serviceaccount"
    beside["volumeMounts"].append({"name": "api-access", "readOnly": True, "mountPath": path})
    beside["env"] += [
        {"name": f"KUBERNETES_SERVICE_{key}", "valueFrom": {"configMapKeyRef": {"name": API_SERVER, "key": key}}}
        for key in ("HOST", "PORT")
    ]
    return made


def ask_agent(path: str, **numbers: int) -> Json:
    """A probe that points at the agent; its time-out is ample, since answers come from memory."""
    return {"httpGet": {"path": path, "port": AGENT_PORT}, "timeoutSeconds": 5, **numbers}


def under_the_kubelet(timetable: Timetable) -> Json:
    probes = {f"{probe}Probe": for_kubelet(probe, check) for probe, check in timetable.checks.items()}
    main = server(timetable.for_server(), wait_for_agent=False, **probes)
    return pod(f"kubelet-{timetable.name}", [main], labels={"side": "kubelet", "timetable": timetable.name})


def under_the_agent(timetable: Timetable) -> Json:
    """The agent observes, with action none. Where a kill is due, the kubelet carries it out: main's probes ask it."""
    container: Json = {"name": "main", "port": SERVER_PORT}
    container |= {f"{probe}_check": for_agent(probe, check) for probe, check in timetable.checks.items()}
    spec: Json = {}
    if timetable.shared_pids:
        container["runtime"] = {"process": {"command_contains": "server.py"}}
        spec["shareProcessNamespace"] = True
    probes: Json = {}
    if timetable.instances > 1:
        path = "/startupz/main" if timetable.asks_startup else "/-/ready"
        probes["startupProbe"] = ask_agent(path, periodSeconds=1, failureThreshold=120)
        probes["livenessProbe"] = ask_agent("/healthz/main", periodSeconds=1, failureThreshold=3)
    main = server(timetable.for_server(), wait_for_agent=True, **probes)
    labels = {"side": "agent", "timetable": timetable.name}
    return pod(f"agent-{timetable.name}", [agent({"containers": [container]}), main], labels=labels, **spec)


def for_kubelet(probe: Probe, check: Check) -> Json:
    """The check as Kubernetes spells it."""
    handlers: Json = {
        "http": {"httpGet": {"path": f"/{probe}", "port": SERVER_PORT}},
        "tcp": {"tcpSocket": {"port": TCP_PORTS[probe]}},
        "exec": {"exec": {"command": command(probe)}},
    }
    return {
        **handlers[check.method],
        "initialDelaySeconds": check.delay,
        "periodSeconds": check.period,
        "timeoutSeconds": check.timeout,
        "successThreshold": check.successes,
        "failureThreshold": check.failures,
    }


def for_agent(probe: Probe, check: Check) -> Json:
    """The same check as a native document spells it."""
    methods: Json = {
        "http": {"http_get": {"path": f"/{probe}"}},
        "tcp": {"tcp_socket": {"port": TCP_PORTS[probe]}},
        "exec": {"exec": {"command": command(probe)}},
    }
    return {
        **methods[check.method],
        "initial_delay_seconds": check.delay,
        "period_seconds": check.period,
        "timeout_seconds": check.timeout,
        "success_threshold": check.successes,
        "failure_threshold": check.failures,
    }
