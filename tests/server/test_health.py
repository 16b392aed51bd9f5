"""The health endpoints: verdicts, bodies in kube-apiserver's form, and the kubelet's question."""

import json

import pytest

from agent.core.model import Published
from tests.server.known import DEAD, Known, check, container, serving

ENDPOINTS = ["healthz", "livez", "ready", "readyz", "startupz"]
BARE = container("model", check("liveness", "answers"))


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_a_good_container_passes_every_endpoint_and_its_own(endpoint: str) -> None:
    async with serving(Known()) as agent:
        assert await agent.fetch(f"/{endpoint}") == await agent.fetch(f"/{endpoint}/model")
        status, body, headers = await agent.fetch(f"/{endpoint}/model")
        assert (status, body) == (200, "ok")
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_an_unknown_name_is_not_found_and_the_known_ones_are_told(endpoint: str) -> None:
    async with serving(Known()) as agent:
        status, body, headers = await agent.fetch(f"/{endpoint}/<b>nobody")
        assert (status, body) == (404, "no container is named '<b>nobody'; there are: model\n")
        assert headers["content-type"].startswith("text/plain")
        assert headers["x-content-type-options"] == "nosniff"


async def test_the_verdict_is_not_the_request_and_healthz_tells_the_request() -> None:
    async with serving(Known(DEAD)) as agent:
        assert await agent.status("/healthz/model") == 200
        assert await agent.status("/ready/model") == 503


async def test_a_requested_restart_fails_healthz_with_the_check_that_caused_it() -> None:
    cause = container("model", requested=True, cause="liveness/answers", ready=False)
    async with serving(Known(cause, container("other"))) as agent:
        expected = (
            "[-]model/liveness/answers failed: reason withheld\n[+]other/liveness/answers ok\nhealthz check failed\n"
        )
        assert (await agent.fetch("/healthz"))[:2] == (503, expected)
        assert await agent.status("/healthz/model") == 503
        assert await agent.status("/healthz/other") == 200
        assert (await agent.body("/livez/model")).endswith("livez check failed\n")


async def test_a_suppressed_kill_answers_200_and_says_why_under_verbose() -> None:
    async with serving(Known(container("model", suppressed="budget", cause="liveness/answers"))) as agent:
        assert (await agent.fetch("/healthz/model"))[:2] == (200, "ok")
        assert (
            await agent.body("/healthz/model?verbose") == "[+]model/liveness suppressed: budget\nhealthz check passed\n"
        )


async def test_verbose_lists_every_line_in_document_order() -> None:
    async with serving(Known(container("a"), container("b", check("liveness", "x"), check("liveness", "y")))) as agent:
        assert await agent.body("/healthz?verbose") == (
            "[+]a/liveness/answers ok\n[+]b/liveness/x ok\n[+]b/liveness/y ok\nhealthz check passed\n"
        )
        assert (
            await agent.body("/readyz?verbose=1")
            == "[+]a/readiness/http_get ok\n[+]b/readiness ok\nreadyz check passed\n"
        )


async def test_a_failing_readiness_is_always_explained_and_its_reason_withheld() -> None:
    async with serving(Known(DEAD)) as agent:
        expected = "[-]model/readiness/http_get failed: reason withheld\nready check failed\n"
        assert (await agent.fetch("/ready"))[:2] == (503, expected)


@pytest.mark.parametrize("name", ["other", "slow", "readiness/slow", "other/readiness/slow"])
async def test_exclude_leaves_out_a_container_or_a_check(name: str) -> None:
    slow = container("other", check("readiness", "slow", Published.FAILURE), ready=False)
    async with serving(Known(container(), slow)) as agent:
        assert await agent.status("/ready") == 503
        assert (await agent.fetch(f"/ready?exclude={name}"))[:2] == (200, "ok")
        body = await agent.body(f"/ready?verbose&exclude={name}")
        assert "[+]other/readiness/slow excluded: ok\n" in body


async def test_exclude_may_be_repeated_and_what_it_names_in_vain_is_told() -> None:
    async with serving(Known(container("a"), container("b"))) as agent:
        body = await agent.body('/ready?verbose&exclude=b&exclude=typo&exclude=x"%0a[-]')
        assert body == (
            "[+]a/readiness/http_get ok\n[+]b/readiness/http_get excluded: ok\n"
            'warn: some health checks cannot be excluded: no matches for "typo", "x"\\n[-]"\nready check passed\n'
        )


async def test_json_is_given_to_those_who_accept_it() -> None:
    async with serving(Known(DEAD)) as agent:
        status, body, headers = await agent.fetch("/ready/model?exclude=nobody", accept="application/json")
        assert status == 503
        assert headers["content-type"] == "application/json"
        assert json.loads(body) == {
            "endpoint": "ready",
            "passed": False,
            "checks": [
                {
                    "name": "model/readiness/http_get",
                    "container": "model",
                    "ok": False,
                    "note": "failed: reason withheld",
                }
            ],
            "unmatched_excludes": ["nobody"],
        }
        assert json.loads(await agent.body("/healthz", accept="application/json"))["passed"] is True


@pytest.mark.parametrize("path", ["/startupz/model", "/startupz/model?verbose"])
async def test_the_kubelet_is_heard_before_it_is_answered(path: str) -> None:
    """Sign 4: the very request that reveals a new instance is answered 503."""
    source = Known()
    source.revealed["model"] = container(
        "model", check("startup", "loaded", Published.UNKNOWN), started=False, ready=False, instance=2
    )
    async with serving(source) as agent:
        assert await agent.status(path, user_agent="kube-probe/1.36") == 503
        assert source.asked == ["model"]
        assert await agent.body("/startupz/model") == (
            "[-]model/startup/loaded failed: reason withheld\nstartupz check failed\n"
        )


async def test_nobody_elses_request_and_no_other_path_counts_as_the_kubelets() -> None:
    source = Known()
    async with serving(source) as agent:
        for path in ("/startupz", "/healthz/model", "/ready/model", "/startupz/nobody", "/startup/model", "/status"):
            await agent.fetch(path, user_agent="kube-probe/1.36")
        for user_agent in ("curl/8", "Mozilla kube-probe/1.36", "kube-probe", ""):
            assert await agent.status("/startupz/model", user_agent=user_agent) == 200
        await agent.fetch("/startupz/model", "HEAD", user_agent="kube-probe/1.36")
        assert source.asked == []


async def test_a_stopping_agent_is_healthy_and_started_but_not_ready() -> None:
    source = Known()
    source.stopping = True
    async with serving(source) as agent:
        for path in ("/ready", "/readyz", "/ready/model", "/readyz/model"):
            assert (await agent.fetch(path))[0] == 503
        for path in ("/healthz", "/livez/model", "/startupz", "/startupz/model"):
            assert (await agent.fetch(path))[0] == 200
        assert await agent.body("/ready") == (
            "[+]model/readiness/http_get ok\n[-]shutdown failed: reason withheld\nready check failed\n"
        )
        assert (await agent.json("/status"))["containers"][0]["ready"] is False


async def test_a_configuration_error_never_kills_and_is_never_ready_whatever_the_name() -> None:
    source = Known()
    source.containers.clear()
    source.config_error = True
    source.is_serving = False
    source.troubles = ["no workers"]
    async with serving(source) as agent:
        for path in ("/healthz", "/livez", "/startupz", "/healthz/any", "/livez/any", "/startupz/any", "/-/healthy"):
            assert await agent.status(path, user_agent="kube-probe/1.36") == 200, path
        for path in ("/ready", "/readyz", "/ready/any", "/readyz/any", "/-/ready"):
            assert await agent.status(path) == 503, path
        assert await agent.body("/ready/any") == "[-]configuration failed: reason withheld\nready check failed\n"
        assert source.asked == []


async def test_the_agents_own_health_is_independent_of_every_target() -> None:
    source = Known(DEAD)
    async with serving(source) as agent:
        assert (await agent.fetch("/-/healthy"))[:2] == (200, "ok")
        assert (await agent.fetch("/-/ready"))[:2] == (200, "ok")
        source.troubles = ["event loop: 3.2 s late"]
        source.is_serving = False
        assert (await agent.fetch("/-/healthy"))[:2] == (503, "[-]event loop: 3.2 s late\n")
        assert await agent.status("/-/ready") == 503
        assert await agent.status("/healthz") == 200
