"""The chart, by a real helm: every set of values in ci/ renders to what Kubernetes, the agent and `render` agree on."""

import json
import math
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from agent.core.explain import startup_budget
from agent.core.model import CheckType
from agent.render.kubernetes import PROBES
from agent.render.windows import windows
from tests.deploy.manifests import (
    NATIVE_SIDECARS,
    NEWEST,
    agent_of,
    assert_valid,
    configured,
    of_kind,
    pod_of,
    probes,
    stream,
)
from tests.deploy.programs import ROOT, output, program

CHART = ROOT / "deploy" / "helm" / "model-health-agent"
CASES = sorted(path.stem.removesuffix("-values") for path in (CHART / "ci").glob("*-values.yaml"))

case = pytest.mark.parametrize("case", CASES)


@pytest.fixture(scope="module")
def helm() -> str:
    return program("helm")


def values(case: str) -> Path:
    return CHART / "ci" / f"{case}-values.yaml"


def templated(helm: str, case: str, *words: str) -> list[dict[str, Any]]:
    """What an installation as release `prod` would apply; hooks are not part of it."""
    text = output(
        helm, "template", "prod", CHART, "--namespace", "models", "--values", values(case), "--no-hooks", *words
    )
    return stream(text)


@case
def test_it_passes_helms_own_linter(case: str, helm: str) -> None:
    output(helm, "lint", "--strict", "--values", values(case), CHART)


@case
def test_what_it_renders_is_good_by_kubernetes_own_schemas(case: str, helm: str) -> None:
    assert_valid(templated(helm, case), "1.25" if case == "container" else NATIVE_SIDECARS, NEWEST)
    everything = stream(output(helm, "template", "prod", CHART, "--values", values(case)))
    assert_valid(everything, "1.25" if case == "container" else NATIVE_SIDECARS, NEWEST)


@case
def test_the_servers_probes_are_those_that_render_writes(case: str, helm: str) -> None:
    """The chart computes in templates what `agent.render.windows` computes: the same numbers, to the last."""
    documents = templated(helm, case)
    (container,) = configured(documents).containers
    port = agent_of(pod_of(documents))["ports"][0]["containerPort"]
    assert probes(documents)[container.name] == {
        PROBES[kind]: {
            "httpGet": {"path": window.path, "port": port},
            "periodSeconds": window.period,
            "timeoutSeconds": window.timeout,
            "failureThreshold": window.failures,
        }
        for kind, window in windows(container).items()
    }


@pytest.mark.parametrize(
    "numbers",
    [
        "{period_seconds: 7, failure_threshold: 10, initial_delay_seconds: 8}",
        "{period_seconds: 0.3, failure_threshold: 100}",
        "{initial_delay_seconds: 30}",
        "{}",
    ],
)
def test_a_start_may_take_a_minute_longer_than_the_agent_allows(numbers: str, helm: str, tmp_path: Path) -> None:
    check = {**yaml.safe_load(numbers), "http_get": {}}
    (tmp_path / "values.yaml").write_text(json.dumps({"checks": {"startup_check": [check, {"tcp_socket": {}}]}}))
    documents = templated(helm, "default", "--values", str(tmp_path / "values.yaml"))
    budget = max(map(startup_budget, configured(documents).containers[0].of_type(CheckType.STARTUP)))
    assert probes(documents)["model"]["startupProbe"]["failureThreshold"] == math.ceil((budget + 60) / 5)


@case
def test_the_pods_agent_is_the_one_that_render_puts_there(case: str, helm: str) -> None:
    documents, base = templated(helm, case), ROOT / "deploy" / "kubernetes" / "base" / "model.yaml"
    ours, theirs = agent_of(pod_of(documents)), agent_of(pod_of(stream(base.read_text(encoding="utf-8"))))
    for key in ("args", "startupProbe", "livenessProbe", "resources"):
        text = json.dumps(ours[key]).replace("9900", "9809")  # one of the cases has another port
        assert json.loads(text) == theirs[key], key
    for key in ("readOnlyRootFilesystem", "allowPrivilegeEscalation", "capabilities", "seccompProfile"):
        assert ours["securityContext"][key] == theirs["securityContext"][key]
    assert pod_of(documents)["enableServiceLinks"] is False


def test_only_what_needs_rights_has_them_and_only_the_agent_holds_the_token(helm: str) -> None:
    kinds = {one: {document["kind"] for document in templated(helm, one)} for one in CASES}
    assert [one for one in CASES if "Role" in kinds[one]] == ["evict"]
    documents = templated(helm, "evict")
    assert [(rule["resources"], rule["verbs"]) for rule in of_kind("Role", documents)["rules"]] == [
        (["pods"], ["get"]),
        (["pods/exec"], ["get", "create"]),
        (["pods/eviction"], ["create"]),
    ]
    pod = pod_of(documents)
    assert pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == of_kind("ServiceAccount", documents)["metadata"]["name"]
    holders = [
        one["name"]
        for one in [*pod["initContainers"], *pod["containers"]]
        if "health-agent-token" in str(one.get("volumeMounts"))
    ]
    assert holders == ["health-agent"]


def test_a_right_is_there_for_a_later_step_too(helm: str) -> None:
    steps = '[{"after":3,"action":{"kubernetes":{}}},{"after":3,"action":{"kubernetes":{"method":"delete"}}}]'
    action = ["--set-json", 'checks.restart.action={"none":{}}', "--set-json", f"checks.restart.escalate={steps}"]
    rules = of_kind("Role", templated(helm, "evict", *action, "--set-json", "checks.restart.action.kubernetes=null"))[
        "rules"
    ]
    assert [(rule["resources"], rule["verbs"]) for rule in rules] == [
        (["pods"], ["get", "delete"]),
        (["pods/exec"], ["get", "create"]),
        (["pods/eviction"], ["create"]),
    ]


def test_every_switch_reaches_its_object(helm: str) -> None:
    documents = templated(helm, "everything")
    assert sorted(document["kind"] for document in documents) == [
        "ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "PodMonitor", "PrometheusRule", "Service",
    ]  # fmt: skip
    given = yaml.safe_load(values("everything").read_text(encoding="utf-8"))
    pod, server = pod_of(documents), pod_of(documents)["containers"][0]
    for key in (
        "command",
        "args",
        "env",
        "envFrom",
        "ports",
        "resources",
        "volumeMounts",
        "securityContext",
        "lifecycle",
    ):
        assert server[key] == given["server"][key], key
    for key in ("nodeSelector", "tolerations", "affinity", "topologySpreadConstraints", "priorityClassName"):
        assert pod[key] == given[key], key
    assert pod["securityContext"] == given["podSecurityContext"]
    assert (pod["runtimeClassName"], pod["serviceAccountName"]) == ("nvidia", "llm")
    labels = of_kind("Deployment", documents)["spec"]["template"]["metadata"]["labels"]
    for kind, path in (
        ("NetworkPolicy", "podSelector"),
        ("PodDisruptionBudget", "selector"),
        ("PodMonitor", "selector"),
    ):
        assert of_kind(kind, documents)["spec"][path]["matchLabels"].items() <= labels.items(), kind
    assert of_kind("Service", documents)["spec"]["selector"].items() <= labels.items()


def test_the_alerts_are_those_of_deploy(helm: str) -> None:
    alerts = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"))
    assert of_kind("PrometheusRule", templated(helm, "everything"))["spec"] == alerts


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("checks.prot=8000", "prot"),
        ("agent.sidecar=maybe", "sidecar"),
        ("server.name=health-agent", "name"),
        ("agent.settings.containers=x", "settings"),
        ("checks.preset=vllm", "write the checks out"),
        ("replicas=2", "replicas"),
    ],
)
def test_what_is_misspelt_or_can_not_be_is_refused(setting: str, message: str, helm: str) -> None:
    with pytest.raises(AssertionError, match=message):
        output(helm, "template", "prod", CHART, "--set", setting)


def test_every_value_is_in_the_schema_and_has_a_default(helm: str) -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    defaults = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(defaults, schema)

    def known(node: dict[str, Any], given: Any, path: str) -> None:
        for key, below in node.get("properties", {}).items():
            if path in {"", ".server", ".agent", ".service"} and key != "global":
                assert key in given, f"{path}.{key} has no default"
                known(below, given[key], f"{path}.{key}")

    known(schema, defaults, "")


@case
def test_names_are_short_enough_for_labels(case: str, helm: str) -> None:
    long = "a-release-whose-name-is-just-as-long-as-helm-lets-it-be"
    documents = stream(output(helm, "template", long[:52], CHART, "--values", values(case)))
    assert all(len(document["metadata"]["name"]) <= 63 for document in documents)


def test_the_notes_tell_who_restarts_the_server(helm: str) -> None:
    """Helm shows them after an installation; a dry run on no cluster shows them too."""
    for one, words in (
        ("default", "The kubelet restarts it"),
        ("signal", "with a signal"),
        ("evict", "action kubernetes"),
    ):
        shown = output(helm, "install", "prod", CHART, "--values", values(one), "--dry-run=client")
        assert re.search(rf"NOTES:(?s:.*){words}", shown), one
