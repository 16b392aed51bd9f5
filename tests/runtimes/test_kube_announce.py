"""Why a container was ended is written where people look for it: an Event about the pod."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from agent.runtimes.kube_answers import ApiError
from tests.runtimes.api_server import ApiServer, forbidden, serving


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with serving(tmp_path) as server:
        yield server


async def test_the_event_names_pod_container_and_reason(server: ApiServer) -> None:
    """By its uid, or `kubectl describe` would not show it."""
    await server.runtime().announce("Restarting", "liveness/answers has failed")
    assert server.paths() == ["GET pods/model-0", "POST events"]
    event = server.bodies[1]
    assert (event["type"], event["reason"], event["message"]) == (
        "Warning", "Restarting", "liveness/answers has failed",
    )  # fmt: skip
    assert event["involvedObject"] == {
        "apiVersion": "v1", "kind": "Pod", "name": "model-0", "namespace": "prod", "uid": "uid-1",
        "fieldPath": "spec.containers{model}",
    }  # fmt: skip
    assert event["metadata"] == {"generateName": "model-0.", "namespace": "prod"}
    assert event["source"] == {"component": "model-health-agent"}
    written = datetime.fromisoformat(event["firstTimestamp"])
    assert abs(datetime.now(UTC) - written) < timedelta(seconds=5)


async def test_a_native_sidecar_is_named_where_it_stands(server: ApiServer) -> None:
    await server.runtime(container="agent").announce("Restarting", "it")
    assert server.bodies[1]["involvedObject"]["fieldPath"] == "spec.initContainers{agent}"


async def test_a_long_message_is_cut_to_what_an_event_may_hold(server: ApiServer) -> None:
    await server.runtime().announce("Restarting", "x" * 5000)
    assert len(server.bodies[1]["message"]) == 1024


async def test_of_a_pod_that_is_gone_nothing_is_told(server: ApiServer) -> None:
    await server.runtime().instance()
    server.pod = None
    await server.runtime().announce("Restarting", "it")
    assert server.paths() == ["GET pods/model-0"] * 2


async def test_the_right_that_is_missing_is_named(server: ApiServer) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.json_response(server.pod) if request.method == "GET" else forbidden("create", "events")

    server.instead = refuse
    with pytest.raises(ApiError, match=r"resources: \[events\], verbs: \[create\]"):
        await server.runtime().announce("Restarting", "it")
