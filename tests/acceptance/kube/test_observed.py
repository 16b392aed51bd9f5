"""How transitions are read from pod statuses, events, the server's trace and the agent's log."""

import json
from datetime import UTC, datetime
from typing import Any

from tests.acceptance.kube import observed
from tests.acceptance.kube.comparison import Seen
from tests.acceptance.kube.observed import Json, Trace

T = 1_700_000_000.0


def stamp(second: float) -> str:
    return datetime.fromtimestamp(T + second, UTC).isoformat(timespec="milliseconds")[:23] + "Z"


def trace(*lines: tuple[float, str, dict[str, Any]]) -> Trace:
    text = "\n".join(json.dumps({"event": event, "unix": T + at, **more}) for at, event, more in lines)
    return observed.read_trace(f"not of the trace\n{text}\n")


def zero(at: float, instance: int = 1) -> tuple[float, str, dict[str, Any]]:
    return at, "zero", {"instance": instance, "process": T + at - 0.5}


def probed(at: float, probe: str, answer: str) -> tuple[float, str, dict[str, Any]]:
    return at, "round", {"probe": probe, "answer": answer}


def status(second: float, ready: bool, *, started: bool = True, restarts: int = 0) -> Json:
    condition = {"type": "ContainersReady", "status": str(ready), "lastTransitionTime": stamp(second)}
    return {
        "conditions": [condition],
        "containerStatuses": [{"name": "main", "started": started, "restartCount": restarts}],
    }


def killing(probe: str, *seconds: float) -> Json:
    message = f"Container main failed {probe} probe, will be restarted"
    return {
        "reason": "Killing", "message": message,
        "firstTimestamp": stamp(seconds[0]), "lastTimestamp": stamp(seconds[-1]),
    }  # fmt: skip


def seen_of_kubelet(statuses: list[Json], events: list[Json], told: Trace, *probes: Any) -> list[tuple[Any, ...]]:
    side = observed.kubelet_side(statuses, events, told, probes)
    return [(one.probe, one.to, one.earliest - T, one.latest - T) for one in side.seen]


def test_readiness_is_read_from_the_stamp_of_each_change() -> None:
    statuses = [status(1, ready=False), status(5, ready=True), status(5, ready=True), status(9, ready=False)]
    seen = seen_of_kubelet(statuses, [], trace(zero(0)), "readiness")
    assert seen == [("readiness", "ready", 5, 6), ("readiness", "unready", 9, 10)]


def test_a_change_that_the_kubelet_left_out_is_told_by_the_next_stamp() -> None:
    """Ready twice in a row, the second time since another moment: it was unready some time in between."""
    statuses = [status(1, ready=False), status(5, ready=True), status(20, ready=True)]
    seen = seen_of_kubelet(statuses, [], trace(zero(0)), "readiness")
    assert seen == [("readiness", "ready", 5, 6), ("readiness", "unready", 5, 21), ("readiness", "ready", 20, 21)]


def test_started_is_the_last_startup_probe_of_an_instance_that_was_taken_for_started() -> None:
    told = trace(zero(0), probed(1, "startup", "bad"), probed(3, "startup", "good"))
    assert seen_of_kubelet([status(1, ready=False, started=False)], [], told, "startup") == []
    assert seen_of_kubelet([status(4, ready=True)], [], told, "startup") == [("startup", "started", 3, 3)]


def test_a_liveness_probe_after_startup_shows_too_that_it_was_taken_for_started() -> None:
    told = trace(zero(0), probed(3, "startup", "good"), probed(4, "liveness", "bad"))
    assert seen_of_kubelet([], [], told, "startup") == [("startup", "started", 3, 3)]


def test_a_kill_is_between_the_last_failed_probe_and_sigterm_and_named_by_the_event() -> None:
    told = trace(
        zero(0), probed(3, "liveness", "good"), probed(6, "liveness", "bad"), (6.5, "term", {}), zero(8, 2),
        probed(9, "startup", "bad"), (12, "term", {}),
    )  # fmt: skip
    events = [killing("startup", 12), killing("liveness", 6), {"reason": "Killing", "message": "Stopping container"}]
    assert seen_of_kubelet([], events, told) == [("liveness", "killed", 6, 6.5), ("startup", "killed", 9, 9)]


def test_a_kill_by_a_refused_port_is_at_sigterm_and_one_event_tells_of_two() -> None:
    told = trace(zero(0), (6.5, "term", {}), zero(8, 2), (12.5, "term", {}))
    seen = seen_of_kubelet([], [killing("liveness", 6, 12)], told)
    assert seen == [("liveness", "killed", 6.5, 6.5), ("liveness", "killed", 12.5, 12.5)]


def line(at: float, event: str, **more: Any) -> Json:
    return {"time": stamp(at), "event": event, **more}


def seen_of_agent(log: list[Json], told: Trace, *probes: Any) -> list[Seen]:
    return list(observed.agent_side(log, told, probes).seen)


def test_what_the_agent_sees_of_an_instance_that_is_to_be_killed_does_not_count() -> None:
    """Only what it had seen until it asked, and what it sees of the next one."""
    log = [
        line(1, "agent.started"), line(2, "container.started"), line(2, "container.ready"),
        line(9, "liveness.failure"), line(9.1, "container.not_ready"),
        line(9.2, "restart.requested", check="liveness/http_get"),
        line(10, "container.started"), line(11, "instance.new"), line(13, "container.started"),
    ]  # fmt: skip
    seen = seen_of_agent(log, trace(zero(0), zero(10.5, 2)), "startup", "readiness", "liveness")
    assert [(one.probe, one.to, round(one.earliest - T, 3)) for one in seen] == [
        ("startup", "started", 2), ("readiness", "ready", 2), ("readiness", "unready", 9.1), ("liveness", "killed", 9),
        ("startup", "started", 13),
    ]  # fmt: skip


def test_a_request_that_was_withdrawn_is_over_when_the_next_instance_serves() -> None:
    log = [
        line(9, "startup.failure"), line(9, "restart.requested", check="startup/http_get"),
        line(10, "container.started"),
        line(12, "container.started"), line(12, "restart.withdrawn"),
    ]  # fmt: skip
    seen = seen_of_agent(log, trace(zero(0), zero(11, 2)), "startup")
    assert [(one.to, round(one.earliest - T, 3)) for one in seen] == [("killed", 9), ("started", 12)]


def test_a_probe_that_does_not_exist_has_no_transitions() -> None:
    """A container without a readiness probe is ready as soon as it is started, on both sides."""
    assert seen_of_kubelet([status(5, ready=True)], [], trace(zero(0)), "liveness") == []
    assert seen_of_agent([line(1, "container.started"), line(1, "container.ready")], trace(zero(0)), "liveness") == []


def test_rounds_that_the_agent_threw_away_do_not_count() -> None:
    """Nor does the look at once after a verdict."""
    results = [(1, "failure"), (2, "error"), (3, "failure"), (3.004, "failure"), (4, "success")]
    past = [{"time": time, "result": result} for time, result in results]
    checks = [{"type": "liveness", "results": past}, {"type": "startup", "results": past[:1]}]
    answers = observed.agent_answers({"containers": [{"checks": checks}]}, "liveness")
    assert answers == [(1, "failure"), (3, "failure"), (4, "success")]
