"""What the two probers did, read from what they leave: pod statuses and events of the kubelet, the agent's log.

The kubelet tells moments to the second only, and the API server hears of them late on a busy node. So a moment comes
from where it is exact: the trace of the server, which sees each probe arrive; the API only says that it came to that.
The kubelet's own stamp, to the second, is used where the server cannot know: when readiness was published.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.acceptance.kube.comparison import PROBES, Probe, Seen, Side, To

Json = Mapping[str, Any]

MILLISECOND = 0.001  # what the agent's log tells, cut off
AT_ONCE_SECONDS = 0.1


@dataclass(frozen=True)
class Trace:
    """The server's own account of one pod: every instance, every probe that reached it, every end."""

    lines: tuple[Json, ...]

    @property
    def served(self) -> tuple[float, ...]:
        """When each instance began to serve, from where its script counts."""
        return tuple(line["unix"] for line in self.lines if line["event"] == "zero")

    @property
    def processes(self) -> tuple[float, ...]:
        """When each instance's process was started."""
        return tuple(line["process"] for line in self.lines if line["event"] == "zero")

    def ends(self) -> list[float]:
        """When each instance was told to leave."""
        return [line["unix"] for line in self.lines if line["event"] == "term"]

    def answers(self, probe: Probe, instance: int) -> list[tuple[float, str]]:
        """What the probes of this type were answered in this instance, and when."""
        started = self.processes
        since = started[instance - 1] if instance > 1 else 0.0
        until = started[instance] if instance < len(started) else float("inf")
        return [
            (line["unix"], line["answer"])
            for line in self.lines
            if line["event"] == "round" and line["probe"] == probe and since <= line["unix"] < until
        ]


def read_trace(text: str) -> Trace:
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return Trace(tuple(sorted(lines, key=lambda line: line["unix"])))


def unix(stamp: str) -> float:
    """Seconds of an RFC 3339 time in UTC."""
    return datetime.fromisoformat(stamp).timestamp()


def kubelet_side(statuses: Sequence[Json], events: Sequence[Json], trace: Trace, probes: Iterable[Probe]) -> Side:
    """The kubelet's transitions of container ``main``, alone in its pod.

    ``statuses``: the pod's, in the order in which they were watched. ``events``: the pod's.
    """
    seen = [*_startups(statuses, trace), *_kills(events, trace)]
    if "readiness" in probes:
        seen += _readiness(statuses)
    return Side("kubelet", trace.served, trace.processes, tuple(sorted(seen, key=lambda one: one.latest)))


def _main(status: Json) -> Json:
    found: Json = next((one for one in status.get("containerStatuses", ()) if one["name"] == "main"), {})
    return found


def _startups(statuses: Sequence[Json], trace: Trace) -> Iterator[Seen]:
    """Started: the API says so, or the other probes, which come only then; the last startup probe was the one."""
    told = {main.get("restartCount", 0) + 1 for main in map(_main, statuses) if main.get("started")}
    for instance in range(1, len(trace.served) + 1):
        answers = trace.answers("startup", instance)
        others = trace.answers("readiness", instance) or trace.answers("liveness", instance)
        if answers and (instance in told or others):
            yield Seen("startup", "started", answers[-1][0], answers[-1][0])


def _readiness(statuses: Sequence[Json]) -> Iterator[Seen]:
    """Ready or not, by the condition that the kubelet stamps as it publishes the result.

    A kubelet that may not ask the API server often enough leaves states out. The same one with another stamp tells that
    there was the opposite, some time between the two.
    """
    ready, before = False, 0.0
    for status in statuses:
        for condition in status.get("conditions", ()):
            if condition["type"] != "ContainersReady":
                continue
            now, second = condition["status"] == "True", unix(condition["lastTransitionTime"])
            if before and now is ready and second != before:
                yield Seen("readiness", _called(not now), before, second + 1)
                ready = not now
            if now is not ready:
                yield Seen("readiness", _called(now), second, second + 1)
            ready, before = now, second


def _called(ready: bool) -> To:
    return "ready" if ready else "unready"


def kills_told(events: Sequence[Json]) -> list[tuple[float, Probe]]:
    """The kubelet's kills because of a probe, in order: when, to the second, and which. Two at most have one cause."""
    causes: set[tuple[float, Probe]] = set()
    for event in events:
        for probe in PROBES:
            if event["reason"] == "Killing" and f"failed {probe} probe" in event["message"]:
                causes |= {(unix(stamp), probe) for stamp in (event["firstTimestamp"], event["lastTimestamp"])}
    return sorted(causes)


def _kills(events: Sequence[Json], trace: Trace) -> Iterator[Seen]:
    """Killed: an event names the probe, and SIGTERM is when the server was told.

    Who has failed is on hold: where its probes reached the server at all, the last one that did not succeed came to
    the verdict, no later than SIGTERM. (On a failed startup the kubelet of 1.20 acts only at its next look at the pod.)
    """
    ends = zip(kills_told(events), trace.ends(), strict=False)
    for instance, ((_, probe), end) in enumerate(ends, start=1):
        failed = [at for at, answer in trace.answers(probe, instance) if answer != "good"]
        earliest = failed[-1] if failed else end
        yield Seen(probe, "killed", earliest, earliest if probe == "startup" else end)


def agent_side(log: Sequence[Json], trace: Trace, probes: Iterable[Probe]) -> Side:
    """The agent's transitions of its container, from its own log.

    Between its request of a restart and the new instance it goes on probing, since with action none nobody may come:
    the kubelet has nothing to compare that with.
    """
    running = tuple(unix(line["time"]) for line in log if line["event"] in ("agent.started", "instance.new"))
    return Side("agent", trace.served, running, tuple(_of_agent(log, trace, frozenset(probes))))


def _of_agent(log: Sequence[Json], trace: Trace, probes: frozenset[Probe]) -> Iterator[Seen]:
    ready, failed, asked_until = False, 0.0, 0.0
    for number, line in enumerate(log):
        at, event = unix(line["time"]), line["event"]
        if event in ("startup.failure", "liveness.failure"):
            failed = at
        elif event == "restart.requested":
            asked_until = _answered(log[number + 1 :], trace, at)
            yield Seen(line["check"].partition("/")[0], "killed", failed, at + MILLISECOND)
        elif event == "container.started" and "startup" in probes and at >= asked_until:
            yield Seen("startup", "started", at, at + MILLISECOND)
        elif "readiness" in probes and event == ("container.not_ready" if ready else "container.ready"):
            ready = not ready
            yield Seen("readiness", _called(ready), at, at + MILLISECOND)


def _answered(log: Sequence[Json], trace: Trace, asked: float) -> float:
    """When a request of a restart was over: at the sign of a new instance, or as that serves, if it was withdrawn."""
    for line in log:
        if line["event"] == "instance.new":
            return unix(line["time"])
        if line["event"] == "restart.withdrawn":
            break
    return next((start for start in trace.served if start > asked), float("inf"))


def agent_answers(status: Json, probe: Probe) -> list[tuple[float, str]]:
    """The results of this probe type that counted towards a verdict, from /status.

    An error, or a round of an agent that stood still, does not count; nor does the look that follows a verdict at once,
    within the millisecond that the log tells of it.
    """
    counted: list[tuple[float, str]] = []
    for check in status["containers"][0]["checks"]:
        for result in check["results"]:
            again = bool(counted) and result["time"] - counted[-1][0] < AT_ONCE_SECONDS
            if check["type"] == probe and result["result"] in ("success", "failure") and not again:
                counted.append((result["time"], result["result"]))
    return counted


def read_log(text: str) -> list[Json]:
    """The agent's log lines; warnings before its log begins are plain text."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]
