"""Generated manifests and Compose files: what the API allows is read, what it forbids is told, and nothing breaks."""

import json
import re
import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from config.support import problems, read
from config.test_properties import junk, places

MAX_INT32 = 2_147_483_647
names = st.sampled_from(["http", "a", "x9", "http2-metrics", "8000", "Http", "a--b", "-a", "a-", "", "x" * 16, "_"])
ports = st.sampled_from([1, 80, 65535, 0, -1, 65536]) | names
numbers = st.sampled_from([0, 1, 2, 5, MAX_INT32, -1, MAX_INT32 + 1, None])
headers = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["A", "x-y", "A_B", "", "a b"])}, optional={"value": st.just("${v}")}
    )
)
handlers = st.fixed_dictionaries(
    {},
    optional={
        "httpGet": st.fixed_dictionaries(
            {"port": ports},
            optional={
                "path": st.sampled_from(["", "/", "/x?y=$(A)", None]),
                "scheme": st.sampled_from(["HTTP", "HTTPS", "http", "", None]),
                "httpHeaders": headers | st.none(),
            },
        ),
        "tcpSocket": st.fixed_dictionaries({"port": ports}),
        "exec": st.fixed_dictionaries({}, optional={"command": st.lists(st.sampled_from(["a", "$(A)", "${B}"]))}),
        "grpc": st.fixed_dictionaries({"port": ports}, optional={"service": st.sampled_from(["", "x", None])}),
    },
)
FIELDS = ("initialDelaySeconds", "periodSeconds", "timeoutSeconds", "successThreshold", "failureThreshold")
probes = st.builds(
    lambda handler, rest: {**handler, **rest},
    handlers,
    st.fixed_dictionaries({}, optional={**dict.fromkeys(FIELDS, numbers), "terminationGracePeriodSeconds": numbers}),
)
kinds = st.sampled_from(["livenessProbe", "readinessProbe", "startupProbe"])


def port_is_good(port: Any, *, named: bool = True) -> bool:
    if isinstance(port, int):
        return 1 <= port <= 65535
    good = re.fullmatch("[a-z0-9](-?[a-z0-9])*", port) and re.search("[a-z]", port) and len(port) <= 15
    return named and bool(good)


def is_good(kind: str, probe: dict[str, Any]) -> bool:
    """The API's validateProbe and its siblings, with their types, written down once more (probe-semantics 3.2)."""
    given_numbers = [probe.get(field) or 0 for field in FIELDS]
    grace = probe.get("terminationGracePeriodSeconds")
    http = probe.get("httpGet", {"port": 1})
    return (
        len(probe.keys() & {"httpGet", "tcpSocket", "exec", "grpc"}) == 1
        and all(0 <= number <= MAX_INT32 for number in given_numbers)
        and (kind == "readinessProbe" or (probe.get("successThreshold") or 1) == 1)
        and (grace is None or (kind != "readinessProbe" and 0 < grace <= MAX_INT32))
        and port_is_good(http["port"])
        and (http.get("scheme") or "HTTP") in {"HTTP", "HTTPS"}
        and all(re.fullmatch("[-A-Za-z0-9]+", header["name"]) for header in http.get("httpHeaders") or ())
        and port_is_good(probe.get("tcpSocket", {"port": 1})["port"])
        and port_is_good(probe.get("grpc", {"port": 1})["port"], named=False)
        and bool(probe.get("exec", {"command": ["x"]}).get("command"))
    )


def manifest(kind: str, probe: Any) -> dict[str, Any]:
    good = ["http", "a", "x9", "http2-metrics"]
    declared = [{"name": name, "containerPort": 7000 + number} for number, name in enumerate(good)]
    container = {"name": "model", "ports": declared, kind: probe}
    return {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [container]}}


@settings(max_examples=400)
@given(kinds, probes)
def test_what_the_api_accepts_we_do_and_nothing_else(kind: str, probe: dict[str, Any]) -> None:
    found = problems(json.dumps(manifest(kind, probe)))
    assert (found == []) is is_good(kind, probe), found
    if found:
        assert all(f"spec.containers[0].{kind}" in line for line in found)
        return
    (check,) = read(json.dumps(manifest(kind, probe))).config.containers[0].checks()
    assert check.period_seconds == (probe.get("periodSeconds") or 10)
    assert check.timeout_seconds == (probe.get("timeoutSeconds") or 1)
    assert check.failure_threshold == (probe.get("failureThreshold") or 3)
    assert check.success_threshold == (probe.get("successThreshold") or 1)
    assert check.initial_delay_seconds == (probe.get("initialDelaySeconds") or 0)
    assert check.termination_grace_period_seconds == probe.get("terminationGracePeriodSeconds")


COMPOSE: dict[str, Any] = {
    "name": "p",
    "x-health-agent": {"server": {"port": 9900}},
    "include": ["nothing.yaml"],
    "services": {
        "base": {"ports": ["1:2"]},
        "model": {
            "extends": {"service": "base"},
            "network_mode": "service:agent",
            "healthcheck": {"test": ["CMD", "x"], "disable": False},
            "environment": {"A": "1"},
            "volumes": ["a:b", {"target": "/x"}],
            "x-health-agent": {"port": "${P:-1}", "readiness_check": {"http_get": {"path": "$A"}}},
        },
        "agent": {"image": "health-agent", "command": ["run"]},
    },
}
MANIFESTS: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "List",
    "metadata": {},
    "items": [
        manifest("livenessProbe", {"httpGet": {"port": "http", "httpHeaders": [{"name": "a", "value": "b"}]}}),
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "d", "ownerReferences": [{"kind": "Pod", "name": "x"}]},
            "spec": {"template": {"spec": {
                "restartPolicy": "Always",
                "terminationGracePeriodSeconds": 5,
                "initContainers": [{"name": "i", "restartPolicy": "Always", "startupProbe": {"grpc": {"port": 1}}}],
                "containers": [{
                    "name": "model",
                    "image": "x",
                    "command": ["a"],
                    "env": [{"name": "A", "value": "1"}],
                    "volumeMounts": [{"mountPath": "/x"}],
                    "readinessProbe": {"exec": {"command": ["$(A)"]}},
                }],
            }}},
        },
    ],
}  # fmt: skip


@settings(max_examples=400)
@given(st.sampled_from([COMPOSE, MANIFESTS]), st.data())
def test_no_mutation_raises_anything_but_a_configuration_error(document: dict[str, Any], data: st.DataObject) -> None:
    document = json.loads(json.dumps(document))
    for _ in range(data.draw(st.integers(1, 3))):
        holder, key = data.draw(st.sampled_from(places(document)))
        holder[key] = data.draw(junk)
    assert all("\n" not in line for line in problems(json.dumps(document)))


@settings(max_examples=100)
@given(st.sampled_from([COMPOSE, MANIFESTS]), st.data())
def test_no_damage_to_the_text_raises_anything_but_a_configuration_error(
    document: dict[str, Any], data: st.DataObject
) -> None:
    text = yaml.safe_dump(document, sort_keys=False)
    at = data.draw(st.integers(0, len(text)))
    put = data.draw(st.text("{}[]:,\"'&*!\n\t ax1$-", max_size=5))
    problems(text[:at] + put + text[at + data.draw(st.integers(0, 20)) :])


def test_line_ends_of_windows_and_a_byte_order_mark_are_no_errors() -> None:
    for document in (COMPOSE, MANIFESTS):
        text = yaml.safe_dump(document)
        plainly = problems(text)
        assert problems(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()) == plainly
        as_json = problems(json.dumps(document))
        assert {line.partition(": ")[2] for line in as_json} == {line.partition(": ")[2] for line in plainly}


def test_tabs_are_told_with_their_remedy() -> None:
    assert problems("apiVersion: v1\nkind: Pod\nspec:\n\tcontainers: []\n")[0].endswith(
        "(indent with spaces, not tabs)"
    )
    assert "tabs" in problems("services:\n\tmodel: {}\n")[0]


@pytest.mark.parametrize("probe", [{"tcpSocket": {"port": 1}}, {"nonsense": {"a": 1}, "tcpSocket": {"port": "none"}}])
def test_a_thousand_pods_of_one_name_are_read_within_seconds(probe: dict[str, Any]) -> None:
    documents = [manifest("livenessProbe", probe) for _ in range(350)]
    began = time.process_time()
    problems("---\n".join(yaml.safe_dump(document) for document in documents))
    assert time.process_time() - began < 10


def test_aliases_may_share_probes_and_each_is_told_where_it_stands() -> None:
    document = """
apiVersion: v1
kind: Pod
spec:
  containers:
    - name: a
      livenessProbe: &probe
        tcpSocket: {port: web}
      readinessProbe: *probe
"""
    told = "no port is named 'web': its container names none in `ports`"
    assert problems(document) == [
        f"config.yaml:8: spec.containers[0].{kind}.tcpSocket.port: {told}"
        for kind in ("readinessProbe", "livenessProbe")
    ]
