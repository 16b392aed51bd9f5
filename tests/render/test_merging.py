"""What `kubectl apply` makes of a rendered object that runs already, and how long the kubelet lets a server end."""

from typing import Any

import pytest
import yaml

from tests.render.support import COMPOSE, DEPLOYMENT, NATIVE, named, pod, rendered, told

APPLIED = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}


def running(text: str = DEPLOYMENT, **metadata: Any) -> str:
    """A manifest as `kubectl get -o yaml` shows it, of an object that `kubectl apply` did not make."""
    document = yaml.safe_load(text)
    document["metadata"] |= {"uid": "0b8f0c7e", **metadata}
    probes = next(one for one in document["spec"]["template"]["spec"]["containers"] if one["name"] == "model")
    probes["startupProbe"] = {"exec": {"command": ["true"]}, "initialDelaySeconds": 30, "successThreshold": 1}
    probes["readinessProbe"]["httpGet"]["scheme"] = "HTTP"
    return yaml.safe_dump(document)


def test_what_a_merge_would_keep_is_said_to_be_gone() -> None:
    """Else two handlers stand in one probe, which the API server refuses, or the old delay delays the new question."""
    made = rendered("kubernetes", running(), "containers: [{name: model, runtime: {kubernetes: {}}}]")
    server = named("model", pod(made)["containers"])
    assert server["startupProbe"] == {
        "httpGet": {"path": "/startupz/model", "port": 9809},
        "periodSeconds": 5,
        "timeoutSeconds": 2,
        "failureThreshold": 22,
        "exec": None,
        "initialDelaySeconds": None,
        "successThreshold": None,
    }
    assert server["readinessProbe"]["httpGet"] == {"path": "/ready/model", "port": 9809, "scheme": None}
    assert "initialDelaySeconds:\n" in made.text
    assert rendered("kubernetes", made.text).text == made.text


def test_a_probe_that_is_nobody_s_any_more_is_said_to_be_gone() -> None:
    restart = "containers: [{name: model, restart: {action: {kubernetes: {}}}, runtime: {kubernetes: {}}}]"
    assert named("model", pod(rendered("kubernetes", running(), restart))["containers"])["livenessProbe"] is None
    assert "livenessProbe" not in named("model", pod(rendered("kubernetes", DEPLOYMENT, restart))["containers"])


@pytest.mark.parametrize("text", [DEPLOYMENT, running(annotations=APPLIED)])
def test_apply_itself_removes_what_it_has_applied(text: str) -> None:
    server = named("model", pod(rendered("kubernetes", text))["containers"])
    assert [probe["httpGet"].keys() for probe in (server["startupProbe"], server["readinessProbe"])] == [
        {"path", "port"}
    ] * 2
    assert None not in server["startupProbe"].values()


def test_what_helm_manages_is_told() -> None:
    labels = {"app.kubernetes.io/managed-by": "Helm"}
    text = running(labels=labels, annotations={"meta.helm.sh/release-name": "llm"})
    made = rendered("kubernetes", text)
    assert "W-RENDER-OWNED" in told(made)
    assert any("Helm's release llm" in note.message for note in made.notes)


def test_a_server_s_time_to_end_is_the_kubelet_s_to_grant() -> None:
    """Where it restarts the server; where the agent does, the agent grants it."""
    text = NATIVE.replace(
        "{path: /health}, timeout_seconds: 10", "{path: /health}, termination_grace_period_seconds: 7.5"
    )
    spec = pod(rendered("kubernetes", f"{text}    restart: {{grace_period_seconds: 90.5}}\n"))
    assert spec["terminationGracePeriodSeconds"] == 91
    assert spec["containers"][0]["livenessProbe"]["terminationGracePeriodSeconds"] == 8
    assert "terminationGracePeriodSeconds" not in spec["containers"][0]["startupProbe"]
    assert list(spec).index("terminationGracePeriodSeconds") < list(spec).index("containers")
    exits = f"{NATIVE}    restart: {{grace_period_seconds: 90, action: {{notify: {{}}}}}}\n"
    assert "terminationGracePeriodSeconds" not in pod(rendered("kubernetes", exits))
    assert "terminationGracePeriodSeconds" not in pod(rendered("kubernetes", COMPOSE))


def test_a_pod_s_own_time_to_end_stays_unless_another_is_laid_over_it() -> None:
    text = DEPLOYMENT.replace(
        "    spec:\n      volumes", "    spec:\n      terminationGracePeriodSeconds: 45\n      volumes"
    )
    assert pod(rendered("kubernetes", text))["terminationGracePeriodSeconds"] == 45
    longer = "containers: [{name: model, restart: {grace_period_seconds: 60}}]"
    assert pod(rendered("kubernetes", text, longer))["terminationGracePeriodSeconds"] == 60
