"""Pods as they are deployed, on a real kubelet: who is restarted, how often, and who is left alone."""

import json
from typing import Any

import pytest

from tests.acceptance.kube import observed
from tests.acceptance.kube.manifests import AGENT_PORT, SERVER_PORT, agent, ask_agent, pod, server, with_account
from tests.acceptance.kube.pods import Pods
from tests.acceptance.processes import always, eventually

Json = dict[str, Any]

RELOAD_SECONDS = 30
UP_WITHIN_SECONDS = 90  # the pods of the whole suite come up together

HEALTH: Json = {"http_get": {"path": "/health"}, "period_seconds": 2, "timeout_seconds": 1}
CHECKS: Json = {
    "startup_check": {**HEALTH, "period_seconds": 1, "failure_threshold": 60},
    "liveness_check": {**HEALTH, "failure_threshold": 2},
    "readiness_check": {**HEALTH, "failure_threshold": 1},
}
DOCUMENT: Json = {"containers": [{"name": "main", "port": SERVER_PORT, **CHECKS}]}


def health(*changes: tuple[float, str], **more: float) -> Json:
    """One instance of the server, asked at /health."""
    return {"probes": {"health": {"method": "http", "changes": changes or [(0, "good")]}}, **more}


def pulled(
    name: str,
    script: list[Json],
    document: Json | str = DOCUMENT,
    *,
    patience: int = 3,
    wait_for_agent: bool = True,
    **spec: Any,
) -> Json:
    """Kubelet-pull, as deploy/kubernetes has it, with shorter windows: main is killed after ``patience`` * 2 s."""
    probes = {
        "startupProbe": ask_agent("/startupz/main", periodSeconds=1, failureThreshold=90),
        "readinessProbe": ask_agent("/ready/main", periodSeconds=1, failureThreshold=2),
        "livenessProbe": ask_agent("/healthz/main", periodSeconds=2, failureThreshold=patience),
    }
    own = {
        "startupProbe": ask_agent("/-/healthy", periodSeconds=1, failureThreshold=60),
        "livenessProbe": ask_agent("/-/healthy", periodSeconds=5, failureThreshold=2),
    }
    beside = agent(document, "--serve-on-config-error", **own)
    beside["env"].append({"name": "HEALTH_AGENT_SERVER__PORT", "value": str(AGENT_PORT)})
    return pod(
        name, [beside, server(script, wait_for_agent=wait_for_agent, **probes)], labels={"suite": "pods"}, **spec
    )


def until_ready(pods: Pods, name: str, *, restarts: int, within: float) -> None:
    eventually(
        lambda: pods.container(name, "main").get("ready") and pods.restarts(name, "main") == restarts,
        within=within,
        what=f"main is ready after {restarts} restarts",
        story=lambda: pods.story(name),
    )


def agent_events(pods: Pods, name: str) -> list[str]:
    return [line["event"] for line in observed.read_log(pods.logs(name, "health-agent"))]


HANGS = health((0, "good"), (10, "hang"))
RELOADS = {
    "hung-then-refusing": [HANGS, health(loads_seconds=RELOAD_SECONDS)],
    "hung-then-answering-500": [HANGS, health((0, "bad"), (RELOAD_SECONDS, "good"))],
    "crashed-then-refusing": [health(exits_at=10), health(loads_seconds=RELOAD_SECONDS)],
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.kube(pulled(name, script))) for name, script in RELOADS.items()]
)
def test_a_server_that_reloads_is_restarted_once_and_only_once(pods: Pods, name: str) -> None:
    """It reloads for five times as long as the kubelet's liveness window: a request that still stood would kill it."""
    until_ready(pods, name, restarts=1, within=UP_WITHIN_SECONDS + 2 * RELOAD_SECONDS)
    always(lambda: pods.restarts(name, "main") == 1, during=8, what="no second restart of main")
    began = observed.read_trace(pods.logs(name, "main")).served
    ready = [
        observed.unix(condition["lastTransitionTime"])
        for status in pods.statuses(name)
        for condition in status.get("conditions", ())
        if condition["type"] == "ContainersReady" and condition["status"] == "True"
    ]
    assert len(began) == 2, pods.story(name)
    assert not [at for at in ready if began[1] < at < began[1] + RELOAD_SECONDS - 1], pods.story(name)
    assert pods.restarts(name, "health-agent") == 0, pods.story(name)
    assert agent_events(pods, name).count("restart.requested") <= 1, pods.story(name)  # none, where it crashed


TELLING: Json = {"containers": [{**DOCUMENT["containers"][0], "runtime": {"kubernetes": {}}}]}


@pytest.mark.kube(with_account(pulled("reason-told", [HANGS, health()], TELLING)))
def test_an_event_names_the_reason_of_a_kill_where_the_account_may_write_one(pods: Pods) -> None:
    """The kubelet's own words are that a probe was answered 503; who may look at pods sees why beside them."""
    until_ready(pods, "reason-told", restarts=1, within=UP_WITHIN_SECONDS + 30)
    told: list[str] = []

    def is_told() -> bool:
        told[:] = [one["message"] for one in pods.events("reason-told") if one["reason"] == "RestartRequested"]
        return bool(told)

    eventually(is_told, within=20, what="an Event tells of the restart", story=lambda: pods.story("reason-told"))
    assert told == ["liveness/http_get has failed; reason timeout; /healthz/main answers 503 until it is restarted"]
    assert told[0] in pods.namespace.kubectl("describe", "pod", "reason-told")


SIGNALLED = pod(
    "signalled",
    [
        agent(
            {
                "containers": [
                    {
                        "name": "main",
                        "port": SERVER_PORT,
                        "runtime": {"process": {"command_contains": "server.py"}},
                        "restart": {"action": {"signal": {"signal": "TERM"}}, "grace_period_seconds": 5},
                        **CHECKS,
                    }
                ]
            }
        ),
        server([health((0, "good"), (10, "hang")), health()], wait_for_agent=True),
    ],
    labels={"suite": "pods"},
    shareProcessNamespace=True,
)
PID_1 = """
import json, os
stat = open("/proc/1/stat").read()
boot = next(int(line.split()[1]) for line in open("/proc/stat") if line.startswith("btime"))
ticks = int(stat.rpartition(")")[2].split()[19])
print(json.dumps([stat.split("(")[1].split(")")[0], boot + ticks / os.sysconf("SC_CLK_TCK")]))
"""


@pytest.mark.kube(SIGNALLED)
def test_a_signal_in_a_shared_process_namespace_restarts_main_alone(pods: Pods) -> None:
    """The kubelet restarts the container that has exited; PID 1 is the pause process, older than all, and untouched."""
    eventually(
        lambda: "restart.succeeded" in agent_events(pods, "signalled"),
        within=UP_WITHIN_SECONDS + 30,
        what="the agent has restarted main and seen the new instance",
        story=lambda: pods.story("signalled"),
    )
    until_ready(pods, "signalled", restarts=1, within=20)
    trace = observed.read_trace(pods.logs("signalled", "main"))
    assert (len(trace.served), len(trace.ends())) == (2, 1), pods.story("signalled")
    assert pods.restarts("signalled", "health-agent") == 0, pods.story("signalled")
    name, started = json.loads(pods.execute("signalled", "health-agent", "python3", "-c", PID_1))
    assert name == "pause"
    assert started < trace.served[0]


KILL_AGENT = """
import os, signal
for pid in filter(str.isdigit, os.listdir("/proc")):
    if b"/health-agent\\0run" in open(f"/proc/{pid}/cmdline", "rb").read():
        os.kill(int(pid), signal.SIGKILL)
"""


@pytest.mark.kube(pulled("agent-killed", [health()], patience=20, shareProcessNamespace=True))
def test_killing_the_agent_restarts_the_agent_alone(pods: Pods) -> None:
    """Twice, so that the kubelet makes it wait in its crash back-off: main's window is longer than that.

    The agent is killed again when it has answered, not when it is listed as running: main has one window for both.
    """
    name = "agent-killed"
    until_ready(pods, name, restarts=0, within=UP_WITHIN_SECONDS)
    for times in (1, 2):
        pods.execute(name, "main", "python3", "-c", KILL_AGENT)
        eventually(
            lambda times=times: (
                pods.restarts(name, "health-agent") == times and pods.container(name, "health-agent").get("ready")
            ),
            within=60,
            what=f"the agent is back {times} times",
            story=lambda: pods.story(name),
        )
        until_ready(pods, name, restarts=0, within=30)
    assert len(observed.read_trace(pods.logs(name, "main")).served) == 1


@pytest.mark.kube(pulled("agent-misconfigured", [health()], "containers: [{nmae: main}]", wait_for_agent=False))
def test_a_broken_configuration_of_the_agent_restarts_nothing(pods: Pods) -> None:
    """main has started and lives, for longer than its whole liveness window; only ready it is not, which is seen."""
    name = "agent-misconfigured"
    eventually(
        lambda: pods.container(name, "main").get("started"),
        within=UP_WITHIN_SECONDS,
        what="main has started",
        story=lambda: pods.story(name),
    )
    always(
        lambda: pods.restarts(name, "main") == 0 and not pods.container(name, "main")["ready"],
        during=10,
        what="main is neither restarted nor ready",
    )
    assert pods.restarts(name, "health-agent") == 0
    assert "config.invalid" in agent_events(pods, name)
