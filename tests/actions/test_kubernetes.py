"""The pod is evicted as its budgets allow, or deleted; once, when it is old enough, and never its successor."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from agent.actions import ActionError, Order
from agent.actions.kubernetes import KubernetesAction
from tests.runtimes.api_server import POD, ApiServer, forbidden, pod_of, serving, status

BUDGET = {"causes": [{"reason": "DisruptionBudget", "message": "The disruption budget model needs 2 healthy pods"}]}
EVICT = "POST pods/model-0/eviction"
DELETE = "DELETE pods/model-0"
LOOK = "GET pods/model-0"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with serving(tmp_path) as server:
        yield server


def order(server: ApiServer, **more: Any) -> Order:
    told = Order(type="action", container="model", runtime=server.runtime(), identity="docker://one", grace_seconds=7)
    return msgspec.structs.replace(told, **more)


async def failed(server: ApiServer, action: KubernetesAction, seconds: float = 5) -> str:
    """The message of its failure, within the time that the remedy gives it."""
    with pytest.raises(ActionError) as told:
        async with asyncio.timeout(seconds):
            await action.act(order(server))
    return str(told.value)


async def test_the_pod_is_evicted_with_its_own_grace_and_by_its_uid(server: ApiServer) -> None:
    await KubernetesAction().act(order(server))
    assert server.paths() == [LOOK, EVICT]
    assert server.bodies[1] == {
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "model-0"},
        "deleteOptions": {"preconditions": {"uid": "uid-1"}},
    }  # fmt: skip


@pytest.mark.parametrize(("code", "looks"), [(400, 0), (404, 1)])
async def test_an_old_server_is_asked_in_its_own_version_from_then_on(server: ApiServer, code: int, looks: int) -> None:
    """Whether an eviction of a kind that it does not know, or a pod that has gone: it looks where that is in doubt."""

    async def old(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response(server.pod)
        if server.bodies[-1]["apiVersion"] == "policy/v1":
            return status(code, 'no kind "Eviction" is registered for version "policy/v1"', reason="BadRequest")
        return web.json_response({"kind": "Status", "status": "Success"}, status=201)

    server.instead = old
    for _ in range(2):
        await KubernetesAction().act(order(server))
    assert server.paths() == [LOOK, EVICT, *[LOOK] * looks, EVICT, LOOK, EVICT]
    assert server.bodies[-1]["apiVersion"] == "policy/v1beta1"


async def test_a_deletion_has_the_containers_grace_and_the_pods_uid(server: ApiServer) -> None:
    await KubernetesAction(method="delete").act(order(server))
    assert server.paths() == [LOOK, DELETE]
    assert server.bodies[1]["gracePeriodSeconds"] == 7
    assert server.bodies[1]["preconditions"] == {"uid": "uid-1"}


async def test_a_deletion_without_any_grace_is_not_forced(server: ApiServer) -> None:
    """With 0 the pod would be off the books while it still runs."""
    await KubernetesAction(method="delete").act(order(server, grace_seconds=0))
    assert server.bodies[1]["gracePeriodSeconds"] == 1


# -- what is left alone --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["evict", "delete"])
async def test_a_pod_that_is_going_already_is_not_evicted_twice(server: ApiServer, method: Any) -> None:
    server.pod = pod_of(deletionTimestamp="2024-06-01T00:00:00Z")
    await KubernetesAction(method=method).act(order(server))
    assert server.paths() == [LOOK]


@pytest.mark.parametrize("method", ["evict", "delete"])
async def test_another_instance_than_the_one_that_failed_is_left_alone(server: ApiServer, method: Any) -> None:
    server.pod = pod_of("docker://two")
    await KubernetesAction(method=method).act(order(server))
    assert server.paths() == [LOOK]


async def test_a_pod_that_was_seen_and_is_gone_is_done_with(server: ApiServer) -> None:
    await server.runtime().instance()
    server.pod = None
    await KubernetesAction().act(order(server))
    assert server.paths() == [LOOK, LOOK]


async def test_a_pod_whose_container_has_ended_is_evicted(server: ApiServer) -> None:
    """Nobody may start it again: restartPolicy Never, or a back-off of minutes."""
    assert server.pod is not None
    ended = {"terminated": {"exitCode": 1, "containerID": "docker://one"}}
    server.pod["status"]["containerStatuses"][1]["state"] = ended
    await KubernetesAction().act(order(server))
    assert server.paths() == [LOOK, EVICT]


async def test_a_new_pod_whose_container_has_not_begun_is_a_successor(server: ApiServer) -> None:
    assert server.pod is not None
    server.pod["status"] = {"phase": "Pending"}
    await KubernetesAction(min_pod_age_seconds=0).act(order(server))
    assert server.paths() == [LOOK]


async def test_without_a_known_instance_the_pod_as_it_is_is_meant(server: ApiServer) -> None:
    await KubernetesAction().act(order(server, identity=""))
    assert server.paths() == [LOOK, EVICT]


async def test_a_young_pod_is_left_alone_by_the_servers_clock(server: ApiServer) -> None:
    """The attempt has failed, and says why."""
    server.pod = pod_of(creationTimestamp=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    message = await failed(server, KubernetesAction())
    assert re.search(r"pod model-0 is \d s old, below min_pod_age_seconds \(600 s\): it is left alone", message)
    assert server.paths() == [LOOK]
    await KubernetesAction(min_pod_age_seconds=0).act(order(server))
    assert server.paths()[-1] == EVICT


@pytest.mark.parametrize("method", ["evict", "delete"])
@pytest.mark.parametrize("code", [404, 409])
async def test_a_pod_that_is_replaced_at_this_very_moment_is_done_with(
    server: ApiServer, method: Any, code: int
) -> None:
    async def replaced(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response(server.pod)
        server.pod = pod_of("docker://two", uid="uid-2")
        return status(code, "the UID in the precondition (uid-1) does not match the UID in record (uid-2)")

    server.instead = replaced
    await KubernetesAction(method=method).act(order(server))
    assert len(server.asked) == 3


# -- what is refused -----------------------------------------------------------------------------------------------


async def test_a_budget_that_forbids_it_is_heeded_until_it_allows_it(server: ApiServer) -> None:
    refusals = [1, 1]

    async def limited(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response(server.pod)
        if refusals and refusals.pop():
            return status(429, "Cannot evict pod", headers={"Retry-After": "1"}, details=BUDGET)
        return web.json_response({}, status=201)

    server.instead = limited
    began = asyncio.get_running_loop().time()
    await KubernetesAction().act(order(server))
    assert server.paths() == [LOOK, EVICT] * 3
    assert asyncio.get_running_loop().time() - began >= 2  # as long as it was asked to wait


async def test_what_it_waited_for_is_the_reason_when_its_time_is_over(server: ApiServer) -> None:
    async def limited(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response(server.pod)
        return status(429, "Cannot evict pod as it would violate the budget.", details=BUDGET)

    server.instead = limited
    message = await failed(server, KubernetesAction(), 2)
    assert message == (
        "given up waiting: Cannot evict pod as it would violate the budget.; The disruption budget model needs 2 "
        "healthy pods"
    )
    assert server.paths() == [LOOK, EVICT]  # without a word from the server it waits for longer than that


async def test_it_is_the_reason_too_when_the_server_hangs_meanwhile(server: ApiServer) -> None:
    async def limited(request: web.Request) -> web.Response:
        if len(server.asked) > 2:
            await asyncio.Event().wait()
        if request.method == "GET":
            return web.json_response(server.pod)
        return status(429, "Cannot evict pod.", headers={"Retry-After": "1"}, details=BUDGET)

    server.instead = limited
    assert "disruption budget model needs 2" in await failed(server, KubernetesAction(), 4)
    assert server.paths() == [LOOK, EVICT, LOOK]


async def test_a_conflict_is_tried_again(server: ApiServer) -> None:
    conflicts = [1]

    async def busy(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response(server.pod)
        if conflicts and conflicts.pop():
            return status(409, "Operation cannot be fulfilled: the object has been modified")
        return web.json_response({}, status=201)

    server.instead = busy
    await KubernetesAction().act(order(server))
    assert server.paths() == [LOOK, EVICT, LOOK, LOOK, EVICT]


@pytest.mark.parametrize(
    ("method", "rule"),
    [("evict", "resources: [pods/eviction], verbs: [create]"), ("delete", "resources: [pods], verbs: [delete]")],
)
async def test_a_right_that_is_missing_is_named_and_not_asked_for_again(
    server: ApiServer, method: Any, rule: str
) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.json_response(server.pod) if request.method == "GET" else forbidden("create", "pods/eviction")

    server.instead = refuse
    assert rule in await failed(server, KubernetesAction(method=method))
    assert len(server.asked) == 2


async def test_two_budgets_are_told_in_the_servers_words(server: ApiServer) -> None:
    async def refuse(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response(server.pod)
        return status(500, "This pod has more than one PodDisruptionBudget, which is not supported.")

    server.instead = refuse
    assert "more than one PodDisruptionBudget" in await failed(server, KubernetesAction())


async def test_a_server_that_is_not_there_is_the_actions_failure(server: ApiServer) -> None:
    server.url = "https://127.0.0.1:1"
    assert "cannot connect to https://127.0.0.1:1" in await failed(server, KubernetesAction())


async def test_without_a_runtime_it_fails_with_the_remedy(server: ApiServer) -> None:
    with pytest.raises(ActionError, match=r"runtime\.kubernetes"):
        await KubernetesAction().act(order(server, runtime=None))


async def test_cancelled_while_it_asks_it_leaves_no_request_behind(server: ApiServer) -> None:
    asked, hanging = asyncio.Event(), asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        if request.path == POD:
            return web.json_response(server.pod)
        asked.set()
        await hanging.wait()
        return web.json_response({}, status=201)

    server.instead = hang
    asking = asyncio.create_task(KubernetesAction().act(order(server)))
    await asyncio.wait_for(asked.wait(), 20)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    hanging.set()
    assert server.paths() == [LOOK, EVICT]
