"""Rights in the cluster: none by default, the least of them where a document needs one, for the agent alone."""

from typing import Any

import pytest
import yaml

from tests.render.support import DEPLOYMENT, agent_config, manifests, named, of_kind, pod, rendered, told

EXEC = DEPLOYMENT.replace("tcpSocket: {port: 9000}", "exec: {command: [cat, /tmp/ready]}")
READ = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
RUN = {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get", "create"]}


def evicting(method: str = "evict") -> str:
    action = f"{{kubernetes: {{method: {method}}}}}"
    return f"""\
state_file: /var/lib/health-agent/state.json
containers: [{{name: model, runtime: {{kubernetes: {{}}}}, restart: {{action: {action}}}}}]
"""


def test_an_exec_check_runs_in_its_container_through_the_api_server() -> None:
    made = rendered("kubernetes", EXEC)
    assert [one["kind"] for one in manifests(made)] == [
        "ConfigMap", "ServiceAccount", "Role", "RoleBinding", "Deployment",
    ]  # fmt: skip
    assert of_kind("Role", made)["rules"] == [READ, RUN]
    binding = of_kind("RoleBinding", made)
    assert (binding["metadata"]["namespace"], binding["roleRef"]["name"]) == ("prod", "llm-health")
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "llm-health"}]
    check = agent_config(made).containers[1].readiness[0]
    assert (check.options.in_, check.options.command) == ("container", ("cat", "/tmp/ready"))
    assert "W-RENDER-EXEC" in told(made)
    assert "# For exec checks" in made.text


def test_only_the_agent_gets_the_token() -> None:
    """What may run commands anywhere must not be at hand for whoever takes over the server."""
    spec = pod(rendered("kubernetes", EXEC))
    assert (spec["serviceAccountName"], spec["automountServiceAccountToken"]) == ("llm-health", False)
    mounts = {one["name"]: one.get("volumeMounts", []) for one in [*spec["initContainers"], *spec["containers"]]}
    holders = [name for name, found in mounts.items() if any(m["name"] == "health-agent-token" for m in found)]
    assert holders == ["health-agent"]
    sources = named("health-agent-token", spec["volumes"])["projected"]["sources"]
    assert [next(iter(source)) for source in sources] == ["serviceAccountToken", "configMap", "downwardAPI"]


@pytest.mark.parametrize(("automount", "own"), [(None, False), (True, False), (False, True)])
def test_a_pod_with_an_account_keeps_it(automount: bool | None, own: bool) -> None:
    """The Role is bound to it; where its token is not mounted, the agent gets it all the same."""
    document = yaml.safe_load(EXEC)
    spec = document["spec"]["template"]["spec"]
    spec["serviceAccountName"] = "llm"
    if automount is not None:
        spec["automountServiceAccountToken"] = automount
    made = rendered("kubernetes", document)
    assert [one["kind"] for one in manifests(made)] == ["ConfigMap", "Role", "RoleBinding", "Deployment"]
    assert of_kind("RoleBinding", made)["subjects"][0]["name"] == pod(made)["serviceAccountName"] == "llm"
    assert pod(made).get("automountServiceAccountToken") is automount
    assert any(one["name"] == "health-agent-token" for one in pod(made)["volumes"]) is own


@pytest.mark.parametrize(
    ("method", "rules"),
    [
        ("evict", [READ, {"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"]}]),
        ("delete", [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "delete"]}]),
    ],
)
def test_an_eviction_may_read_pods_and_evict_them_and_nothing_else(method: str, rules: list[dict[str, Any]]) -> None:
    made = rendered("kubernetes", DEPLOYMENT, evicting(method))
    assert of_kind("Role", made)["rules"] == rules
    assert "livenessProbe" not in named("model", pod(made)["containers"])  # one of the two restarts it, not both


def test_a_right_is_there_for_a_later_step_too() -> None:
    """Restarts by the kubelet first, and an eviction where they do not help."""
    over = """\
containers:
  - name: model
    runtime: {kubernetes: {}}
    restart: {escalate: {after: 3, action: {kubernetes: {}}}}
"""
    made = rendered("kubernetes", DEPLOYMENT, over)
    assert [rule["resources"] for rule in of_kind("Role", made)["rules"]] == [["pods"], ["pods/eviction"]]
    assert "livenessProbe" in named("model", pod(made)["containers"])


def test_a_lone_pod_is_all_that_its_agent_may_touch() -> None:
    template = yaml.safe_load(EXEC)["spec"]["template"]
    document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "llm"}, "spec": template["spec"]}
    made = rendered("kubernetes", document)
    assert of_kind("Role", made)["rules"] == [{**READ, "resourceNames": ["llm"]}, {**RUN, "resourceNames": ["llm"]}]
