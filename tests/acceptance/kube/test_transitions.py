"""The same probes under a real kubelet and under the agent: the same transitions, within one period."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.kube import observed
from tests.acceptance.kube.comparison import Probe, Side, disorder, pairs, run_before
from tests.acceptance.kube.manifests import under_the_agent, under_the_kubelet
from tests.acceptance.kube.observed import Trace
from tests.acceptance.kube.pods import Pods
from tests.acceptance.kube.timetables import TIMETABLES, Timetable
from tests.acceptance.processes import eventually

WITHIN_SECONDS = 150  # for a whole timetable: the longest takes 60 s, and its pods may have started late
EVENTS_WITHIN_SECONDS = 90  # the kubelet sends five a second, those of all pods in one queue


def with_its_pods(timetable: Timetable) -> Any:
    both = (under_the_kubelet(timetable), under_the_agent(timetable))
    return pytest.param(timetable, id=timetable.name, marks=pytest.mark.kube(*both))


@pytest.mark.parametrize("timetable", [with_its_pods(one) for one in TIMETABLES])
def test_the_agent_does_what_the_kubelet_does(pods: Pods, timetable: Timetable) -> None:
    """By probe type: the order, each moment, and how many equal answers in a row each verdict took."""
    names = (f"kubelet-{timetable.name}", f"agent-{timetable.name}")

    def story() -> str:
        return "\n".join(map(pods.story, names))

    traces = [played(pods, name, timetable, story) for name in names]
    kubelet = observed.kubelet_side(
        pods.statuses(names[0]),
        events_of_all_kills(pods, names[0], timetable, story),
        traces[0],
        timetable.checks,
    )
    log = observed.read_log(pods.logs(names[1], "health-agent"))
    agent = observed.agent_side(log, traces[1], timetable.checks)

    wrong = disorder(timetable.expected, kubelet, agent)
    assert not wrong, "\n".join([*wrong, str(kubelet), str(agent), story()])
    periods = {probe: float(check.period) for probe, check in timetable.checks.items()}
    measured = pairs(timetable.expected, periods, kubelet, agent)
    print(*measured, sep="\n")  # noqa: T201  seen where the test fails, and with -rP
    late = [str(one) for one in measured if one.apart > one.period]
    assert not late, "\n".join([*late, story()])
    status = json.loads(pods.ask(names[1], "/status?container=main"))
    miscounted = [
        *miscounts(timetable, kubelet, traces[0].answers),
        *miscounts(timetable, agent, lambda probe, _: observed.agent_answers(status, probe)),
    ]
    assert not miscounted, "\n".join([*miscounted, story()])


def played(pods: Pods, pod: str, timetable: Timetable, story: Callable[[], str]) -> Trace:
    """The trace of a pod whose last instance has had its time."""

    def last_began() -> bool:
        main = pods.container(pod, "main")
        return main.get("restartCount", 0) + 1 >= timetable.instances and "running" in main.get("state", {})

    eventually(last_began, within=WITHIN_SECONDS, what=f"{timetable.instances} instances of {pod}", story=story)
    begun: Callable[[], Trace] = lambda: observed.read_trace(pods.logs(pod, "main"))  # noqa: E731  named for its reader
    eventually(lambda: len(begun().served) >= timetable.instances, within=30, what=f"{pod} serves", story=story)
    end = begun().served[-1] + timetable.seconds
    eventually(lambda: time.time() > end, within=timetable.seconds + 5, what="the timetable is over")
    return begun()


def events_of_all_kills(pods: Pods, pod: str, timetable: Timetable, story: Callable[[], str]) -> list[observed.Json]:
    """The pod's events, once they tell of as many kills as are expected."""
    events: list[observed.Json] = []

    def told() -> bool:
        events[:] = pods.events(pod)
        return len(observed.kills_told(events)) >= timetable.instances - 1

    eventually(told, within=EVENTS_WITHIN_SECONDS, what="the kubelet's events tell of every kill", story=story)
    return events


def miscounts(timetable: Timetable, side: Side, answers: Callable[[Probe, int], list[tuple[float, str]]]) -> list[str]:
    """Verdicts that took another number of equal answers than their threshold: exact, whatever the phase.

    ``answers(probe, instance)``. A connection that is refused leaves no trace, and what follows from a kill is no
    verdict: both are left out.
    """
    wrong = []
    for probe, check in timetable.checks.items():
        expected = [one for one in timetable.expected if one.probe == probe]
        seen = [one for one in side.seen if one.probe == probe]
        for one, moment in zip(expected, seen, strict=True):
            threshold = check.successes if one.to in ("started", "ready") else check.failures
            took = run_before(answers(probe, one.instance), moment.latest)
            if check.method != "tcp" and one.since != "killed" and took != threshold:
                wrong.append(f"{side.name}: {probe} {one.to} after {took} equal answers, its threshold is {threshold}")
    return wrong
