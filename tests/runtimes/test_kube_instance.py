"""What the API server tells of a container: its instance, how the last one ended, and whose pod it is."""

import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from agent.runtimes import AbsentError, Ended, Instance
from agent.runtimes.kube_answers import ApiError
from agent.runtimes.kubernetes import Kubernetes
from tests.runtimes.api_server import POD, ApiServer, pod_of, projected, serving, status


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with serving(tmp_path) as server:
        yield server


def model(server: ApiServer) -> dict[str, Any]:
    """The model's status in the server's pod."""
    assert server.pod is not None
    found: dict[str, Any] = server.pod["status"]["containerStatuses"][1]
    return found


async def test_the_container_id_is_the_instance_and_its_start_is_on_our_clock(server: ApiServer) -> None:
    found = await server.runtime().instance()
    assert found is not None
    assert found.identity == "docker://one"
    assert found.started_at == pytest.approx(time.monotonic() - (time.time() - 1704067200), abs=1)
    [request] = server.asked
    assert (request.method, request.path) == ("GET", POD)


async def test_a_native_sidecar_is_a_container_like_any_other(server: ApiServer) -> None:
    found = await server.runtime(container="agent").instance()
    assert found is not None
    assert found.identity == "docker://agent"


@pytest.mark.parametrize("state", [{"waiting": {"reason": "CrashLoopBackOff"}}, {"terminated": {"exitCode": 1}}, {}])
async def test_what_waits_or_has_ended_is_no_instance(server: ApiServer, state: dict[str, Any]) -> None:
    model(server)["state"] = state
    assert await server.runtime().instance() is None


async def test_a_pod_that_the_kubelet_has_not_taken_up_has_no_instance(server: ApiServer) -> None:
    assert server.pod is not None
    server.pod["status"] = {"phase": "Pending"}
    assert await server.runtime().instance() is None
    assert await server.runtime().ended() is None


async def test_a_container_without_an_id_is_told_by_pod_and_restart(server: ApiServer) -> None:
    model(server)["containerID"] = ""
    model(server)["restartCount"] = 3
    found = await server.runtime().instance()
    assert found is not None
    assert found.identity == "pod uid-1 restart 3"


async def test_an_unknown_container_is_told_with_those_that_there_are(server: ApiServer) -> None:
    with pytest.raises(AbsentError, match=r"no container main, but agent, model, proxy: name one in .*\.container"):
        await server.runtime(container="main").instance()


async def test_the_end_of_the_last_instance_is_told_without_its_output(server: ApiServer) -> None:
    terminated = {"exitCode": 137, "reason": "OOMKilled", "containerID": "docker://zero", "message": "secret"}
    model(server)["lastState"] = {"terminated": terminated}
    assert await server.runtime().ended() == Ended("docker://zero", 137, oom=True, detail="OOMKilled")


async def test_an_end_just_now_counts_before_the_one_before_it(server: ApiServer) -> None:
    model(server)["lastState"] = {"terminated": {"exitCode": 1, "reason": "Error", "containerID": "docker://zero"}}
    model(server)["state"] = {"terminated": {"exitCode": 0, "reason": "Completed", "containerID": "docker://one"}}
    assert await server.runtime().ended() == Ended("docker://one", 0, oom=False, detail="Completed")


async def test_who_never_ended_has_no_end(server: ApiServer) -> None:
    assert await server.runtime().ended() is None


# -- whose pod it is -----------------------------------------------------------------------------------------------


async def test_the_agents_own_pod_is_known_by_its_token(server: ApiServer) -> None:
    server.token = projected(name="model-0", uid="uid-1")
    server.mount()
    assert isinstance(await server.runtime(pod=None).instance(), Instance)


async def test_without_a_bound_token_the_host_name_is_the_pods(server: ApiServer) -> None:
    with pytest.raises(AbsentError, match=r"set runtime\.kubernetes\.pod, or POD_NAME"):
        await server.runtime(pod=None).instance()
    assert server.asked[0].path.rpartition("/")[2] == socket.gethostname()


async def test_the_namespace_is_the_options_before_the_mounted_one(server: ApiServer) -> None:
    with pytest.raises(AbsentError, match="namespace other"):
        await server.runtime(namespace="other").instance()
    (server.folder / "namespace").unlink()
    with pytest.raises(AbsentError, match="namespace default"):
        await server.runtime().instance()


def test_the_environment_and_the_containers_name_fill_in_what_is_not_written() -> None:
    environ = {
        "KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443", "POD_NAME": "model-7",
        "POD_NAMESPACE": "prod",
    }  # fmt: skip
    settled = Kubernetes().settled("model", environ)
    assert settled == Kubernetes(pod="model-7", namespace="prod", container="model", api="https://[fd00::1]:6443")
    written = Kubernetes(pod="a", namespace="b", container="c", api="https://d/")
    assert written.settled("model", environ) == Kubernetes(pod="a", namespace="b", container="c", api="https://d")
    assert Kubernetes().settled("model", {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}).api == "https://10.0.0.1:443"


async def test_outside_a_cluster_it_says_what_to_set() -> None:
    with pytest.raises(ApiError, match=r"KUBERNETES_SERVICE_HOST is not set.*set runtime\.kubernetes\.api"):
        await Kubernetes(container="model").settled("model", {}).instance()


@pytest.mark.parametrize(
    "api", ["http://10.0.0.1", "10.0.0.1:6443", "https://", "https://a:b@c", "https://a?b", "https://a:x", "https://ä"]
)
def test_only_an_https_address_is_an_api_server(api: str) -> None:
    [(path, message)] = Kubernetes(api=api).check_options()
    assert path == "api"
    assert "https://HOST" in message


@pytest.mark.parametrize("api", ["https://10.0.0.1", "https://[::1]:6443", "https://proxy.example/k8s/clusters/c-1"])
def test_a_proxy_with_a_path_will_do(api: str) -> None:
    assert Kubernetes(api=api).check_options() == []


# -- a pod that goes, and answers that are old ----------------------------------------------------------------------


async def test_a_pod_that_was_seen_and_is_gone_is_no_instance(server: ApiServer) -> None:
    await server.runtime().instance()
    server.pod = None
    assert await server.runtime().instance() is None
    assert await server.runtime().ended() is None
    server.pod = pod_of("docker://two", uid="uid-2", resourceVersion="200")
    found = await server.runtime().instance()
    assert found is not None
    assert found.identity == "docker://two"


async def test_a_pod_that_never_was_there_is_told_with_the_remedy(server: ApiServer) -> None:
    server.pod = None
    with pytest.raises(AbsentError, match=r'pods "model-0" not found \(namespace prod\): is it the name'):
        await server.runtime().instance()


async def test_no_answer_is_older_than_what_was_seen_before(server: ApiServer) -> None:
    """The first look is at the database itself; later ones take the server's memory if it is as fresh."""
    for _ in range(2):
        await server.runtime().instance()
    server.pod = pod_of(resourceVersion="140")
    for _ in range(2):
        await server.runtime().instance()
    assert [request.query.get("resourceVersion") for request in server.asked] == [None, "100", "100", "140"]


async def test_a_restored_cluster_is_looked_at_anew(server: ApiServer) -> None:
    """Its resource versions are lower than those seen before, and it refuses them."""
    await server.runtime().instance()

    async def restored(request: web.Request) -> web.Response:
        if "resourceVersion" in request.query:
            return status(504, "Timeout: Too large resource version: 100, current: 7", reason="Timeout")
        return web.json_response(pod_of("docker://two", resourceVersion="7"))

    server.instead = restored
    for _ in range(2):
        found = await server.runtime().instance()
        assert found is not None
        assert found.identity == "docker://two"
