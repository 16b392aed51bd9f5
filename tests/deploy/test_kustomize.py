"""The kustomizations of deploy/kubernetes, built by a real kubectl."""

import shutil
from pathlib import Path

import pytest

from agent.core.settings import Container
from tests.deploy.manifests import (
    NATIVE_SIDECARS,
    NEWEST,
    agent_of,
    assert_valid,
    configured,
    names,
    of_kind,
    pod_of,
    probes,
    stream,
)  # fmt: skip
from tests.deploy.programs import ROOT, output, program

KUBERNETES = ROOT / "deploy" / "kubernetes"
BUILDS = sorted(
    str(path.parent.relative_to(KUBERNETES))
    for path in KUBERNETES.rglob("kustomization.yaml")
    if "kind: Kustomization" in path.read_text(encoding="utf-8")
)


@pytest.fixture(scope="module")
def kubectl() -> str:
    return program("kubectl")


def built(kubectl: str, folder: Path) -> list[dict[str, object]]:
    return stream(output(kubectl, "kustomize", folder))


@pytest.mark.parametrize("name", BUILDS)
def test_a_kustomization_builds_and_is_good_by_kubernetes_own_schemas(name: str, kubectl: str) -> None:
    documents = built(kubectl, KUBERNETES / name)
    assert_valid(documents, "1.25" if name == "plain-container" else NATIVE_SIDECARS, NEWEST)
    assert "Deployment model" in names(documents)


def test_everything_holds_what_a_production_namespace_needs(kubectl: str) -> None:
    documents = built(kubectl, KUBERNETES / "everything")
    assert sorted(str(one["kind"]) for one in documents) == [
        "ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "PodMonitor", "PrometheusRule", "Service",
    ]  # fmt: skip
    pod_labels = of_kind("Deployment", documents)["spec"]["template"]["metadata"]["labels"]
    for kind, path in (
        ("NetworkPolicy", "podSelector"),
        ("PodDisruptionBudget", "selector"),
        ("PodMonitor", "selector"),
    ):
        selector = of_kind(kind, documents)["spec"][path]["matchLabels"]
        assert selector.items() <= pod_labels.items(), kind
    ports = {port["name"]: port["containerPort"] for port in agent_of(pod_of(documents))["ports"]}
    (endpoint,) = of_kind("PodMonitor", documents)["spec"]["podMetricsEndpoints"]
    allowed = [
        port["port"] for rule in of_kind("NetworkPolicy", documents)["spec"]["ingress"] for port in rule["ports"]
    ]
    assert allowed == [8000, ports[endpoint["port"]]]


def test_the_evicting_agent_may_read_pods_and_evict_them_and_nothing_else(kubectl: str) -> None:
    documents = built(kubectl, KUBERNETES / "evict")
    assert of_kind("Role", documents)["rules"] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"]},
    ]
    account = of_kind("RoleBinding", documents)["subjects"][0]["name"]
    assert (
        account == pod_of(documents)["serviceAccountName"] == of_kind("ServiceAccount", documents)["metadata"]["name"]
    )
    assert of_kind("PodDisruptionBudget", documents)["spec"]["maxUnavailable"] == 1
    assert of_kind("Deployment", documents)["spec"]["replicas"] == 2


def test_the_component_makes_of_a_deployment_what_render_makes_of_it(kubectl: str, tmp_path: Path) -> None:
    """Whatever probes it had, a name of its configuration that changes with it, and nothing else beside."""
    source = (ROOT / "deploy" / "sources" / "deployment.yaml").read_text(encoding="utf-8")
    labelled = source.replace("labels: {app: model}", "labels: {app: model, health-agent: enabled}", 1)
    (tmp_path / "deployment.yaml").write_text(labelled.replace("periodSeconds: 10", "initialDelaySeconds: 9"))
    shutil.copytree(KUBERNETES / "components" / "agent", tmp_path / "agent")
    (tmp_path / "kustomization.yaml").write_text("resources: [deployment.yaml]\ncomponents: [agent]\n")
    theirs = stream((KUBERNETES / "base" / "model.yaml").read_text(encoding="utf-8"))
    ours = built(kubectl, tmp_path)
    assert_valid(ours, NATIVE_SIDECARS, NEWEST)
    assert agent_of(pod_of(ours)) == agent_of(pod_of(theirs))
    assert probes(ours) == probes(theirs)
    assert configured(ours).containers == configured(theirs).containers
    assert isinstance(configured(ours).containers[0], Container)
    assert of_kind("Service", ours)["spec"] == of_kind("Service", theirs)["spec"]
    for pod in (pod_of(ours), pod_of(theirs)):
        named = [one for one in pod["volumes"] if one["name"] == "health-agent-config"]
        assert named.pop()["configMap"].pop("name").startswith("model-health")
        for container in pod["containers"]:
            container.pop("livenessProbe")
    assert {**pod_of(ours), "volumes": None} == {**pod_of(theirs), "volumes": None}
