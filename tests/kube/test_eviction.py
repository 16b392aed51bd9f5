"""The end of a pod on a real cluster: evicted as its budgets allow, deleted by its uid, and never its successor."""

import asyncio
from typing import Any

import pytest

from agent.actions import ActionError, Order
from agent.actions.kubernetes import KubernetesAction
from agent.runtimes.kube_answers import DELETE_POD, ApiError
from agent.runtimes.kube_api import Api, Call, memory
from agent.runtimes.kubernetes import Kubernetes
from tests.acceptance.processes import eventually
from tests.kube.cluster import Json, Namespace, deployment, pod, spec

STUBBORN = "trap '' TERM; while true; do sleep 1; done"
EVICT = KubernetesAction(min_pod_age_seconds=0)


async def order(runtime: Kubernetes, **more: Any) -> Order:
    known = await runtime.instance()
    identity = known.identity if known else ""
    return Order(type="action", container="main", runtime=runtime, identity=identity, grace_seconds=7, **more)


def going(namespace: Namespace, name: str) -> bool:
    """Whether the pod is on its way out, or gone."""
    return not namespace.exists("pod", name) or "deletionTimestamp" in namespace.get("pod", name)["metadata"]


def names(pods: list[Json]) -> list[str]:
    return [one["metadata"]["name"] for one in pods]


async def test_a_pod_is_evicted_with_the_grace_of_its_own(namespace: Namespace) -> None:
    document = pod("evicted", STUBBORN)
    document["spec"]["terminationGracePeriodSeconds"] = 20
    namespace.start(document)
    action = await order(namespace.runtime("evicted"))
    await EVICT.act(action)
    assert namespace.get("pod", "evicted")["metadata"]["deletionGracePeriodSeconds"] == 20
    await EVICT.act(action)  # it is going already: nothing is asked for again
    namespace.forget("evicted")
    await EVICT.act(action)  # and so it is when it is gone


async def test_the_version_of_evictions_that_the_server_speaks_is_remembered(namespace: Namespace) -> None:
    served = namespace.kubectl("get", "--raw", "/api/v1")
    assert memory(namespace.api).eviction == (
        "policy/v1beta1" if '"version":"v1beta1","kind":"Eviction"' in served else "policy/v1"
    )


async def test_a_budget_is_heeded_until_it_allows_the_eviction(namespace: Namespace) -> None:
    """First the attempt's time is over, with the budget's words; then a second replica makes room during one."""
    namespace.apply(deployment("guarded", 1))
    namespace.kubectl("create", "poddisruptionbudget", "guarded", "--selector", "app=guarded", "--min-available", "1")
    namespace.kubectl("rollout", "status", "deployment/guarded", timeout=70)
    [victim] = names(namespace.pods("app=guarded"))
    action = await order(namespace.runtime(victim))
    await asyncio.to_thread(
        eventually,
        lambda: namespace.get("pdb", "guarded")["status"].get("currentHealthy") == 1,
        within=30,
        what="the budget knows of the pod",
    )
    with pytest.raises(ActionError, match=r"given up waiting: Cannot evict pod.*disruption budget guarded needs 1"):
        async with asyncio.timeout(3):
            await EVICT.act(action)
    assert not going(namespace, victim)
    evicting = asyncio.create_task(EVICT.act(action))
    await asyncio.to_thread(namespace.kubectl, "scale", "deployment/guarded", "--replicas=2")
    async with asyncio.timeout(60):
        await evicting
    assert going(namespace, victim)
    assert [name for name in names(namespace.pods("app=guarded")) if not going(namespace, name)]


async def test_a_young_pod_is_left_alone(namespace: Namespace) -> None:
    namespace.start(pod("young", "sleep 3600"))
    with pytest.raises(ActionError, match=r"pod young is \d+ s old, below min_pod_age_seconds \(600 s\)"):
        await KubernetesAction().act(await order(namespace.runtime("young")))
    assert not going(namespace, "young")


async def test_a_pod_is_deleted_with_the_containers_grace(namespace: Namespace) -> None:
    namespace.start(pod("deleted", STUBBORN))
    delete = KubernetesAction(method="delete", min_pod_age_seconds=0)
    await delete.act(await order(namespace.runtime("deleted")))
    assert namespace.get("pod", "deleted")["metadata"]["deletionGracePeriodSeconds"] == 7


@pytest.mark.parametrize("method", ["evict", "delete"])
async def test_a_namesake_that_follows_is_left_alone(namespace: Namespace, method: Any) -> None:
    """As in a StatefulSet: the pod that failed was replaced before the action came to it."""
    name = f"following-{method}"
    namespace.start(pod(name, "sleep 3600"))
    late = await order(namespace.runtime(name))
    namespace.forget(name)
    namespace.start(pod(name, "sleep 3600"))
    await KubernetesAction(method=method, min_pod_age_seconds=0).act(late)
    assert not going(namespace, name)


async def test_the_server_itself_spares_another_uid(namespace: Namespace) -> None:
    """Should the namesake come between our look and our deletion."""
    namespace.start(pod("spared", "sleep 3600"))
    path = f"/api/v1/namespaces/{namespace.name}/pods/spared"
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "of-another-one"}}
    call = Call(path, DELETE_POD, namespace.name, "DELETE", document=options)
    with pytest.raises(ApiError) as refused:
        await Api(namespace.api, str(namespace.folder)).call(call)
    assert refused.value.status == 409
    assert not going(namespace, "spared")


async def test_a_pod_whose_container_is_not_started_again_is_evicted(namespace: Namespace) -> None:
    namespace.apply({**pod("over", "exit 3"), "spec": {**spec("exit 3"), "restartPolicy": "Never"}})
    runtime = namespace.runtime("over")
    async with asyncio.timeout(60):
        while (ended := await runtime.ended()) is None:  # noqa: ASYNC110 - the kubelet's doing
            await asyncio.sleep(0.5)
    await EVICT.act(Order(type="action", container="main", runtime=runtime, identity=ended.identity))
    assert going(namespace, "over")
