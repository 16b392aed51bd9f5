"""What `kubectl get -o yaml` shows beyond what was applied is gone, so that the result can be applied again."""

from typing import Any

import yaml

from tests.render.support import DEPLOYMENT, of_kind, pod, rendered, told

SERVERS_OWN = {
    "uid": "5c0e2f0a", "resourceVersion": "4711", "generation": 3, "selfLink": "/apis/x",
    "creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": [{"manager": "kubectl"}],
}  # fmt: skip
TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"


def live() -> dict[str, Any]:
    """The deployment as a cluster shows it."""
    document: dict[str, Any] = yaml.safe_load(DEPLOYMENT)
    document["metadata"] |= SERVERS_OWN | {
        "annotations": {
            "deployment.kubernetes.io/revision": "2",
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
            "team": "ml",
        }
    }
    document["spec"]["template"]["metadata"]["creationTimestamp"] = None
    document["status"] = {"replicas": 1}
    return document


def live_pod() -> dict[str, Any]:
    """One of its pods: admission and the scheduler have been at it."""
    template = live()["spec"]["template"]
    spec = template["spec"]
    mount = {"name": "kube-api-access-x7k2p", "mountPath": TOKEN_FOLDER, "readOnly": True}
    for container in spec["containers"]:
        container["volumeMounts"] = [mount]
    spec["containers"][0]["volumeMounts"] = [{"name": "models", "mountPath": "/models"}, mount]
    spec |= {
        "nodeName": "node-1",
        "serviceAccount": "default",
        "serviceAccountName": "default",
        "priority": 0,
        "preemptionPolicy": "PreemptLowerPriority",
        "tolerations": [
            {"key": "nvidia.com/gpu", "operator": "Exists"},
            {
                "effect": "NoExecute",
                "key": "node.kubernetes.io/not-ready",
                "operator": "Exists",
                "tolerationSeconds": 300,
            },
            {
                "effect": "NoExecute",
                "key": "node.kubernetes.io/unreachable",
                "operator": "Exists",
                "tolerationSeconds": 9,
            },
        ],
    }
    spec["volumes"].append({"name": "kube-api-access-x7k2p", "projected": {"sources": []}})
    metadata = {
        **SERVERS_OWN, "name": "llm-7d4b9-abcde", "generateName": "llm-7d4b9-",
        "labels": {"app": "llm", "pod-template-hash": "7d4b9"},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "llm-7d4b9", "controller": True}],
    }  # fmt: skip
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": "Running"}}


def test_a_live_workload_comes_out_as_its_source_would() -> None:
    plain = yaml.safe_load(DEPLOYMENT)
    plain["metadata"]["annotations"] = {"team": "ml"}
    assert rendered("kubernetes", live()).text == rendered("kubernetes", plain).text


def test_a_live_pod_loses_what_admission_and_the_scheduler_wrote() -> None:
    made = rendered("kubernetes", live_pod())
    found, spec = of_kind("Pod", made), pod(made, "Pod")
    assert found.keys() == {"apiVersion", "kind", "metadata", "spec"}
    assert found["metadata"] == {"name": "llm-7d4b9-abcde", "labels": {"app": "llm"}}
    assert not spec.keys() & {"nodeName", "serviceAccount", "serviceAccountName", "priority", "preemptionPolicy"}
    assert [one["key"] for one in spec["tolerations"]] == ["nvidia.com/gpu", "node.kubernetes.io/unreachable"]
    assert [one["name"] for one in spec["volumes"]] == ["models", "health-agent-config"]
    assert spec["containers"][0]["volumeMounts"] == [{"name": "models", "mountPath": "/models"}]
    assert "volumeMounts" not in spec["containers"][1]


def test_a_pod_of_somebody_else_is_told_to_be_the_wrong_end() -> None:
    """Its Deployment would replace it by one without the agent."""
    made = rendered("kubernetes", live_pod())
    assert told(made) == ["W-RENDER-OWNED"]
    assert "ReplicaSet llm-7d4b9" in str(made.notes[0])


def test_the_tokens_of_old_clusters_are_gone_and_secrets_of_like_names_stay() -> None:
    document = live_pod()
    spec = document["spec"]
    spec["volumes"] = [
        {"name": "default-token-2k9xw", "secret": {"secretName": "default-token-2k9xw"}},
        {"name": "hub-token-abcde", "secret": {"secretName": "hub"}},
    ]
    spec["containers"][0]["volumeMounts"] = [
        {"name": "default-token-2k9xw", "mountPath": TOKEN_FOLDER},
        {"name": "hub-token-abcde", "mountPath": "/hub"},
    ]
    spec["containers"][1]["volumeMounts"] = [{"name": "default-token-2k9xw", "mountPath": TOKEN_FOLDER}]
    spec["containers"][2]["volumeMounts"] = [{"name": "default-token-2k9xw", "mountPath": TOKEN_FOLDER}]
    spec = pod(rendered("kubernetes", document), "Pod")
    assert [one["name"] for one in spec["volumes"]] == ["hub-token-abcde", "health-agent-config"]
    assert spec["containers"][0]["volumeMounts"] == [{"name": "hub-token-abcde", "mountPath": "/hub"}]


def test_what_a_cluster_generates_for_jobs_and_replica_sets_is_gone() -> None:
    template = yaml.safe_load(DEPLOYMENT)["spec"]["template"]
    labels = {"app": "llm", "controller-uid": "1", "batch.kubernetes.io/controller-uid": "1", "job-name": "x"}
    template["metadata"]["labels"] = dict(labels)
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x", "labels": dict(labels)}}
    job["spec"] = {"selector": {"matchLabels": {"controller-uid": "1"}}, "template": template}
    made = of_kind("Job", rendered("kubernetes", job))
    assert "selector" not in made["spec"]
    assert made["metadata"]["labels"] == made["spec"]["template"]["metadata"]["labels"] == {"app": "llm"}
    template["metadata"]["labels"] = {"app": "llm", "pod-template-hash": "1"}
    replicas = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "x"}}
    replicas["spec"] = {"selector": {"matchLabels": {"app": "llm", "pod-template-hash": "1"}}, "template": template}
    made = of_kind("ReplicaSet", rendered("kubernetes", replicas))
    assert made["spec"]["selector"]["matchLabels"] == made["spec"]["template"]["metadata"]["labels"] == {"app": "llm"}


def test_the_claims_of_a_stateful_set_are_cleaned_too() -> None:
    document = yaml.safe_load(DEPLOYMENT) | {"kind": "StatefulSet"}
    claim = {"kind": "PersistentVolumeClaim", "metadata": {"name": "m", "creationTimestamp": None}, "spec": {}}
    document["spec"]["volumeClaimTemplates"] = [{**claim, "status": {"phase": "Pending"}}]
    made = of_kind("StatefulSet", rendered("kubernetes", document))
    assert made["spec"]["volumeClaimTemplates"] == [{**claim, "metadata": {"name": "m"}}]
