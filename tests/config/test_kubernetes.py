"""Kubernetes manifests: which containers are looked at, what their probes become, and what is left alone."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import Loaded, Options
from agent.config.kubernetes_probe import expanded
from agent.config.lint import lint
from agent.core.model import Check
from agent.core.settings import Container
from agent.probes.exec import Exec
from agent.probes.http import HttpGet
from agent.probes.parts.request import Header
from agent.probes.tcp import TcpSocket
from config.support import problems, read

DATA = Path(__file__).parent / "data"
AGENT: dict[str, Any] = {"name": "agent", "image": "model-health-agent:1"}


def pod(*containers: dict[str, Any], **spec: Any) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": containers, **spec}}, indent=1)


def model(probe: Any, key: str = "readinessProbe", **more: Any) -> dict[str, Any]:
    return {"name": "model", "image": "vllm/vllm-openai", key: probe, **more}


def check(probe: Any, **more: Any) -> Check:
    (found,) = read(pod(model(probe, **more))).config.containers[0].checks()
    return found


def from_file(name: str, **options: Any) -> Loaded:
    return read((DATA / name).read_text(encoding="utf-8"), name=name, **options)


def containers(loaded: Loaded) -> dict[str, Container]:
    return {one.name: one for one in loaded.config.containers}


def codes(loaded: Loaded) -> list[str]:
    return [warning.code for warning in loaded.warnings]


# -- what real manifests come to -----------------------------------------------------------------------------------


def test_a_deployment_of_vllm_is_read_as_it_is() -> None:
    loaded = from_file("vllm-deployment.yaml")
    assert loaded.kind == "kubernetes"
    (container,) = loaded.config.containers
    assert (container.name, container.host, container.port, container.ports) == (
        "mistral-7b", "127.0.0.1", 8000, {"http": 8000},
    )  # fmt: skip
    (startup,), (liveness,), (readiness,) = container.startup, container.liveness, container.readiness
    assert startup.options == liveness.options == HttpGet(path="/health", port="http")
    assert (startup.period_seconds, startup.failure_threshold, startup.timeout_seconds) == (10, 60, 1)
    assert (liveness.period_seconds, liveness.failure_threshold, liveness.timeout_seconds) == (10, 6, 5)
    assert (readiness.options, readiness.period_seconds) == (HttpGet(path="/v1/models", port="http"), 5)
    assert container.restart.grace_period_seconds == 120
    assert codes(loaded) == []


def test_what_kserve_makes_is_read_too() -> None:
    found = containers(from_file("kserve-deployment.yaml"))
    assert list(found) == ["kserve-container", "queue-proxy"]
    server = found["kserve-container"]
    assert server.startup[0].method == "grpc"
    assert (server.startup[0].options.port, server.startup[0].options.service) == (8081, "")
    assert server.startup[0].failure_threshold == 3, "0 is the API's default"
    assert server.liveness[0].options == HttpGet(path="/v2/health/live", port=8080)
    assert server.readiness[0].options == TcpSocket(port=8080)
    assert server.port is None, "it has two ports"
    queue = found["queue-proxy"].readiness[0].options
    assert queue == HttpGet(port=8012, http_headers=(Header(name="K-Network-Probe", value="queue"),))


def test_a_rendered_chart_gives_every_pod_and_names_of_two_pods_do_not_clash() -> None:
    loaded = from_file("helm-rendered.yaml", options=Options(exec_in="agent"))
    found = containers(loaded)
    assert list(found) == ["release-model.main", "release-router.main", "exporter", "curl"]
    assert found["curl"].restart.policy == "OnFailure"
    assert found["release-model.main"].readiness == (), "`readinessProbe:` with nothing after it is none"
    assert codes(loaded) == ["W-KUBERNETES-PODS"]
    assert "StatefulSet release-model, Deployment release-router, CronJob warm-up" in loaded.warnings[0].message


@pytest.mark.parametrize("name", ["kubectl-get-all.yaml", "kubectl-get-deployment.json", "api-pod-list.json"])
def test_what_the_cluster_says_of_a_deployment_is_read_once(name: str) -> None:
    """`kubectl get all` lists the Deployment, its ReplicaSet and its Pod, each with status and managed fields."""
    loaded = from_file(name)
    found = containers(loaded)
    assert list(found) == ["vllm", "metrics"]
    vllm = found["vllm"]
    assert vllm.liveness[0].options == HttpGet(port="http", http_headers=(Header(name="X-Probe", value="1"),))
    assert vllm.liveness[0].failure_threshold == 6
    command = vllm.readiness[0].options.command
    assert command == ("sh", "-c", 'test "full" = full -a -n "${HOME}"'), (
        "$(MODE) is the kubelet's, ${HOME} the shell's"
    )
    assert (vllm.restart.grace_period_seconds, vllm.restart.policy) == (5, "Always")
    assert codes(loaded) == []


# -- probes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "absent", [{}, dict.fromkeys(("periodSeconds", "timeoutSeconds", "successThreshold"), 0), None]
)
def test_absent_null_and_zero_numbers_are_the_apis_defaults(absent: dict[str, Any] | None) -> None:
    numbers = {"initialDelaySeconds": None, "failureThreshold": None} if absent is None else absent
    found = check({"tcpSocket": {"port": 1}, **numbers})
    assert (found.initial_delay_seconds, found.period_seconds, found.timeout_seconds) == (0, 10, 1)
    assert (found.success_threshold, found.failure_threshold) == (1, 3)
    assert found.termination_grace_period_seconds is None


def test_every_number_is_taken() -> None:
    numbers = {
        "initialDelaySeconds": 1, "periodSeconds": 2, "timeoutSeconds": 3, "successThreshold": 1, "failureThreshold": 5,
        "terminationGracePeriodSeconds": 6,
    }  # fmt: skip
    found = check({"tcpSocket": {"port": 1}, **numbers}, key="livenessProbe")
    assert (found.initial_delay_seconds, found.period_seconds, found.timeout_seconds) == (1, 2, 3)
    assert (found.failure_threshold, found.termination_grace_period_seconds) == (5, 6)
    assert check({"tcpSocket": {"port": 1}, "successThreshold": 7}).success_threshold == 7


@pytest.mark.parametrize(
    ("action", "options"),
    [
        ({"port": 80}, HttpGet(port=80)),
        ({"port": 80, "path": "", "host": "", "scheme": "", "httpHeaders": []}, HttpGet(port=80)),
        ({"port": 80, "path": None, "host": None, "scheme": None, "httpHeaders": None}, HttpGet(port=80)),
        ({"port": 80, "path": "x?a=${B}", "scheme": "HTTPS"}, HttpGet(port=80, path="x?a=${B}", scheme="https")),
        ({"port": 80, "host": "localhost"}, HttpGet(port=80, host="localhost")),
        (
            {"port": 80, "httpHeaders": [{"name": "a", "value": "$${X} $(Y)"}, {"name": "a"}, {"name": "b"}]},
            HttpGet(
                port=80,
                http_headers=(
                    Header(name="a", value="$${X} $(Y)"),
                    Header(name="a", value=""),
                    Header(name="b", value=""),
                ),
            ),
        ),
    ],
)  # fmt: skip
def test_an_http_probe_is_taken_as_it_is_written(action: dict[str, Any], options: HttpGet) -> None:
    """Absent, null and empty are the same to the API; `${X}` and `$(X)` mean nothing to it."""
    assert check({"httpGet": action}).options == options


def test_a_null_handler_or_probe_is_none() -> None:
    assert check({"exec": None, "tcpSocket": {"port": 5, "host": None}, "httpGet": None}).options == TcpSocket(port=5)
    loaded = read(pod(model({"tcpSocket": {"port": 1}}, livenessProbe=None, startupProbe=None)))
    assert [one.type for one in loaded.config.containers[0].checks()] == ["readiness"]


def test_a_commands_references_are_the_containers_literal_variables() -> None:
    """As ExpandContainerCommandOnlyStatic: the last of a name counts, valueFrom is empty, unknown names stay."""
    env = [
        {"name": "A", "value": "1"},
        {"name": "A", "value": "2"},
        {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "C", "value": "$(A)"},
        {"name": "D"},
    ]
    command = ["x$(A)y", "$(B)", "$(C)", "$(D)", "$(NONE)", "$$(A)", "${A} $A", "$(A", "$"]
    probe = {"exec": {"command": command}}
    loaded = read(pod(model(probe, env=env)), environ={"A": "secret"})
    expected = ("x2y", "", "$(A)", "", "$(NONE)", "$(A)", "${A} $A", "$(A", "$")
    assert loaded.config.containers[0].readiness[0].options == Exec(command=expected, in_="container")
    assert [problem.path for problem in loaded.exec_nowhere] == ["spec.containers[0].readinessProbe.exec"]


def test_exec_runs_in_the_agent_where_it_is_told_to() -> None:
    text = pod(model({"exec": {"command": ["x"]}}))
    for loaded in (read(text, options=Options(exec_in="agent")), read(text, environ={"HEALTH_AGENT_EXEC_IN": "agent"})):
        assert loaded.config.containers[0].readiness[0].options == Exec(command=("x",), in_="agent")
        assert loaded.exec_nowhere == []


@given(st.text("$()AB{}x", max_size=12))
def test_expansion_is_that_of_the_kubelet(text: str) -> None:
    """Against Go's Expand, written down character by character."""
    env = {"A": "1", "": "empty"}
    out, at = "", 0
    while at < len(text):
        if text[at] != "$" or at + 1 == len(text):
            out, at = out + text[at], at + 1
        elif text[at + 1] == "$":
            out, at = out + "$", at + 2
        elif text[at + 1] == "(" and ")" in text[at + 2 :]:
            end = text.index(")", at + 2)
            name = text[at + 2 : end]
            out, at = out + env.get(name, f"$({name})"), end + 1
        else:
            out, at = out + text[at : at + 2], at + 2
    assert expanded(text, env) == out


def test_named_ports_are_those_of_the_probes_own_container() -> None:
    one = model({"tcpSocket": {"port": "web"}}, ports=[{"name": "web", "containerPort": 1}, {"containerPort": 2}])
    two = {
        "name": "b",
        "readinessProbe": {"tcpSocket": {"port": "web"}},
        "ports": [{"name": "web", "containerPort": 3}],
    }
    found = read(pod(one, two)).config.containers
    assert [(container.ports, container.port) for container in found] == [({"web": 1}, None), ({"web": 3}, 3)]


# -- pods -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        ("Pod", ["spec"]),
        *((kind, ["spec", "template", "spec"]) for kind in ("Deployment", "StatefulSet", "DaemonSet", "Job")),
        ("ReplicaSet", ["spec", "template", "spec"]),
        ("CronJob", ["spec", "jobTemplate", "spec", "template", "spec"]),
    ],
)  # fmt: skip
def test_every_kind_of_workload_has_its_pod(kind: str, place: list[str]) -> None:
    spec: Any = {"containers": [model({"tcpSocket": {"port": "web"}}, key="livenessProbe")]}
    for step in reversed(place):
        spec = {step: spec}
    document = {"apiVersion": "x/v1", "kind": kind, "status": {"x": 1}, **spec}
    path = ".".join(place)
    where = f"{path}.containers[0].livenessProbe.tcpSocket.port"
    told = "no port is named 'web': its container names none in `ports`"
    assert problems(json.dumps(document)) == [f"config.yaml:1: {where}: {told}"]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": [{"kind": "Service"}, document]})
    assert problems(listed) == [f"config.yaml:1: items[1].{where}: {told}"]


def test_init_containers_count_where_they_keep_running() -> None:
    side = {"name": "proxy", "restartPolicy": "Always", "readinessProbe": {"tcpSocket": {"port": 1}}}
    fetch = {"name": "fetch", "readinessProbe": None}
    loaded = read(pod(model({"tcpSocket": {"port": 2}}), initContainers=[fetch, side], restartPolicy="Never"))
    assert [(one.name, one.restart.policy) for one in loaded.config.containers] == [
        ("model", "Never"), ("proxy", "Always"),
    ]  # fmt: skip


@pytest.mark.parametrize(("given", "seconds"), [(0, 0), (45, 45), (-3, 1), (None, 30)])
def test_the_pods_grace_is_the_containers(given: int | None, seconds: float) -> None:
    spec = {"terminationGracePeriodSeconds": given}
    assert (
        read(pod(model({"tcpSocket": {"port": 2}}), **spec)).config.containers[0].restart.grace_period_seconds
        == seconds
    )


def test_a_container_without_probes_is_left_alone_whatever_it_is() -> None:
    odd = {"name": 5, "ports": "none", "env": {"A": 1}, "command": None, "volumeMounts": [3]}
    assert [one.name for one in read(pod(odd, model({"tcpSocket": {"port": 2}}))).config.containers] == ["model"]


def test_a_misspelt_probe_is_warned_of() -> None:
    loaded = read(pod(model({"tcpSocket": {"port": 2}}, livenessprobe={}, health_check={}, startup_check={})))
    assert [str(warning) for warning in loaded.warnings] == [
        f"config.yaml:{line}: spec.containers[0].{key}: W-KUBERNETES-KEY: no key of a container, and not read{hint}"
        for line, key, hint in [
            (14, "livenessprobe", ", did you mean 'livenessProbe'?"),
            (15, "health_check", ""),
            (16, "startup_check", ", did you mean 'startupProbe'?"),
        ]
    ]


# -- the agent's own container -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "container",
    [
        {"image": "model-health-agent"},
        {"image": "registry.example:5000/ml/model-health-agent:1.2@sha256:abc"},
        {"image": "x", "command": ["/usr/local/bin/health-agent"], "args": ["run"]},
        {"image": "x", "command": ["tini", "--", "python", "-m", "agent", "run"]},
        {"image": "x", "env": [{"name": "HEALTH_AGENT_CONFIG", "value": "/c.yaml"}]},
        {"image": "x", "volumeMounts": [{"name": "c", "mountPath": "/etc/health-agent"}]},
        {"image": "x", "livenessProbe": {"httpGet": {"path": "/-/healthy", "port": 9809}}},
    ],
)
def test_the_agents_own_container_is_left_out(container: dict[str, Any]) -> None:
    probes = {"readinessProbe": {"httpGet": {"path": "/-/ready", "port": 9811}}, "name": "health", **container}
    for text in (
        pod(model({"tcpSocket": {"port": 2}}), probes),
        pod(model({"tcpSocket": {"port": 2}}), initContainers=[{**probes, "restartPolicy": "Always"}]),
    ):
        loaded = read(text)
        assert [one.name for one in loaded.config.containers] == ["model"]
        assert codes(loaded) == []


@pytest.mark.parametrize(
    "container",
    [
        {"image": "health-agent-demo-model"},
        {"image": "x", "command": ["sh", "-c", "health-agent run & exec serve"]},
        {"image": "x", "env": [{"name": "HEALTH_AGENT_SERVER__PORT", "value": "9809"}]},
        {"image": "prom/prometheus", "livenessProbe": {"httpGet": {"path": "/-/healthy", "port": 9090}}},
    ],
)
def test_a_server_that_only_looks_a_little_like_the_agent_is_not(container: dict[str, Any]) -> None:
    assert read(pod({"name": "a", "readinessProbe": {"tcpSocket": {"port": 2}}, **container})).config.containers


@pytest.mark.parametrize(
    "probe",
    [
        {"httpGet": {"path": "/healthz/model", "port": 9900}},
        {"httpGet": {"path": "/anything", "port": "agent"}},
        {"tcpSocket": {"port": 9900}},
        {"exec": {"command": ["health-agent", "healthcheck", "--live"]}},
    ],
)
def test_a_servers_probe_that_asks_the_agent_is_left_out_with_a_warning(probe: dict[str, Any]) -> None:
    """So that a rendered manifest can be read: what the agent looks at is in its own configuration."""
    agent = {
        **AGENT,
        "env": [{"name": "HEALTH_AGENT_SERVER__PORT", "value": "9900"}],
        "ports": [{"containerPort": 9901}],
    }
    main = model(probe, "livenessProbe", ports=[{"name": "agent", "containerPort": 9900}])
    loaded = read(pod({**main, "readinessProbe": {"tcpSocket": {"port": 8000}}}, agent))
    assert [one.type for one in loaded.config.containers[0].checks()] == ["readiness"]
    assert [(one.code, one.path) for one in loaded.warnings] == [
        ("W-KUBERNETES-AGENT", "spec.containers[0].livenessProbe")
    ]


def test_an_answer_of_the_agents_is_recognised_without_its_container_by_the_port_it_listens_on() -> None:
    ours = model({"httpGet": {"path": "/ready/model", "port": 9900}}, startupProbe={"tcpSocket": {"port": 1}})
    loaded = read(pod(ours), "server: {port: 9900}")
    assert codes(loaded) == ["W-KUBERNETES-AGENT"]
    assert codes(read(pod(ours), environ={"HEALTH_AGENT_SERVER__PORT": "9900"})) == ["W-KUBERNETES-AGENT"]
    assert codes(read(pod(ours))) == [], "9900 is somebody else's"


# -- beside other documents ----------------------------------------------------------------------------------------


def test_a_native_file_adds_what_a_manifest_can_not_say() -> None:
    over = """
state_file: /s
allow_hosts: [192.0.2.7]
containers:
  - name: model
    restart: {action: {exit: {}}, dry_run: true}
    liveness_check: {tcp_socket: {}, failure_threshold: 6}
  - name: extra
    port: ${PORT}
    readiness_check: {tcp_socket: {}}
"""
    probe = {"httpGet": {"port": 80, "host": "192.0.2.7"}, "periodSeconds": 7}
    text = pod(model(probe, ports=[{"containerPort": 8000}]), terminationGracePeriodSeconds=9)
    loaded = read(text, over, environ={"PORT": "8100"})
    container, extra = loaded.config.containers
    assert (container.restart.action_name, container.restart.grace_period_seconds) == ("exit", 9)
    assert (container.readiness[0].options, container.readiness[0].period_seconds) == (
        HttpGet(port=80, host="192.0.2.7"),
        7,
    )
    assert (container.liveness[0].options, container.port, extra.port) == (TcpSocket(), 8000, 8100)
    assert loaded.kind == "kubernetes"


def test_a_native_file_may_bring_all_the_checks() -> None:
    over = "containers: [{name: other, port: 1, readiness_check: {tcp_socket: {}}}]"
    assert [one.name for one in read(pod({"name": "model"}), over).config.containers] == ["other"]


def test_warnings_are_told_in_the_manifests_own_words() -> None:
    from agent.cli.loading import located

    found = read(pod(model({"httpGet": {"port": 80}}, "livenessProbe", startupProbe={"tcpSocket": {"port": 1}})))
    places = {problem.path for problem in located(found, lint(found.config))}
    assert places == {
        "spec.containers[0]",
        "spec.containers[0].livenessProbe.timeoutSeconds",
        "spec.containers[0].startupProbe.failureThreshold",
    }


def test_another_method_laid_over_a_probe_has_its_own_defaults_where_the_probe_says_nothing() -> None:
    """What a probe does not say is not said: the API's default is that of its own handlers."""
    over = "containers: [{name: model, readiness_check: {config.third_party:Redis: {}}}]"
    loaded = read(pod(model({"tcpSocket": {"port": 1}, "periodSeconds": 9, "timeoutSeconds": 0})), over)
    (found,) = loaded.config.containers[0].readiness
    assert (found.method, found.period_seconds, found.timeout_seconds) == ("config.third_party:Redis", 9, 7)
