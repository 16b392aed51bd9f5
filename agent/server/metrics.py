"""The metrics: read from the source at scrape time, with labels from configured names and closed sets only."""

from collections.abc import Callable, Iterator
from typing import Final

import msgspec
from aiohttp import web
from multidict import CIMultiDict
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.samples import Sample

from agent import __version__
from agent.core import verdict
from agent.core.brakes import WHYS
from agent.core.model import CheckType, Published
from agent.engine.stats import DURATION_BUCKETS, Histogram
from agent.server import Source, answers, exposition

RESULT: Final = {"success": "successful", "failure": "failed", "warning": "warning", "error": "unknown"}
"""Outcome to the label `result`."""
PROBE_TYPE: Final = {str(kind): kind.value.capitalize() for kind in CheckType}


class Family(msgspec.Struct, frozen=True):
    """What HELP, TYPE and docs/metrics.md say of a metric."""

    type: str
    labels: tuple[str, ...]
    help: str


FAMILIES: Final[dict[str, Family]] = {
    "health_agent_probe": Family(
        "counter",
        ("container", "probe_type", "check", "method", "result", "reason"),
        "Probe rounds by what they found; the attempts of one round count once.",
    ),
    "health_agent_probe_duration_seconds": Family(
        "histogram", ("container", "probe_type"), "Time that probe rounds took, whatever they found."
    ),
    "health_agent_probe_success": Family(
        "gauge",
        ("container", "probe_type", "check"),
        "Whether the check's published value is Success (1) or not (0).",
    ),
    "health_agent_probe_consecutive": Family(
        "gauge",
        ("container", "probe_type", "check", "result"),
        "Equal counted results in a row up to now; 0 for the result that is not the current one.",
    ),
    "health_agent_probe_lateness_seconds": Family(
        "histogram", (), "Start of a probe round minus the time at which it was due."
    ),
    "health_agent_container_live": Family(
        "gauge", ("container",), "Whether no liveness check has published Failure in the current instance."
    ),
    "health_agent_container_ready": Family("gauge", ("container",), "Whether the container is ready for requests."),
    "health_agent_container_started": Family(
        "gauge", ("container",), "Whether every startup check has succeeded in the current instance."
    ),
    "health_agent_container_state": Family(
        "gauge", ("container", "state"), "The container's state: 1 for the one that applies, 0 for all others."
    ),
    "health_agent_transitions": Family(
        "counter", ("container", "probe_type", "to"), "Changes of a published value, by the value it changed to."
    ),
    "health_agent_time_to_ready_seconds": Family(
        "gauge", ("container",), "Time from the start of the latest instance that became ready to its first readiness."
    ),
    "health_agent_restarts": Family(
        "counter", ("container", "action", "reason", "outcome"), "Restart attempts that have ended, by how they ended."
    ),
    "health_agent_restarts_suppressed": Family(
        "counter", ("container", "why"), "Decisions to restart that a brake did not permit."
    ),
    "health_agent_restart_backoff_seconds": Family(
        "gauge", ("container",), "Time that the next restart has to wait after the one before."
    ),
    "health_agent_restart_budget_remaining": Family(
        "gauge", ("container",), "Restarts that the budget still permits in its current window."
    ),
    "health_agent_gpu_action_required": Family(
        "gauge", ("gpu", "action"), "Whether a GPU needs an action that no restart of a container replaces."
    ),
    "health_agent_event_loop_lag_seconds": Family("gauge", (), "How late the agent's own event loop last woke up."),
    "health_agent_config_last_reload_successful": Family(
        "gauge", (), "Whether the last attempt to load the configuration succeeded."
    ),
    "health_agent_config_last_reload_success_timestamp_seconds": Family(
        "gauge", (), "Unix time at which the configuration was last loaded successfully."
    ),
    "health_agent_build": Family("info", ("version",), "The version of the agent."),
}
"""Every family, named without the suffixes of its samples."""

Add = Callable[..., None]


class Collected:
    """The families of one scrape, filled sample by sample."""

    def __init__(self) -> None:
        self._families = {name: Metric(name, family.help, family.type) for name, family in FAMILIES.items()}

    def families(self) -> list[Metric]:
        return list(self._families.values())

    def add(self, name: str, value: float, *labels: str, suffix: str = "") -> None:
        pairs = dict(zip(FAMILIES[name].labels, labels, strict=True))
        self._families[name].samples.append(Sample(name + suffix, pairs, value))

    def add_histogram(self, name: str, histogram: Histogram, *labels: str) -> None:
        pairs = dict(zip(FAMILIES[name].labels, labels, strict=True))
        samples = self._families[name].samples
        bucket = name + "_bucket"
        cumulative = histogram.cumulative()
        samples += [Sample(bucket, {**pairs, "le": bound}, count) for bound, count in cumulative]
        samples.append(Sample(name + "_count", pairs, cumulative[-1][1]))
        samples.append(Sample(name + "_sum", pairs, histogram.total))


class AgentCollector:
    """Reads a source whenever its registry is scraped."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def describe(self) -> list[Metric]:
        """The families without samples, so that registering needs no scrape."""
        return Collected().families()

    def collect(self) -> Iterator[Metric]:
        found = Collected()
        self._checks(found)
        gpus: dict[str, str] = {}
        for view in self._source.views():
            _container(found, view)
            gpus |= {gpu: action for gpu, action in view.gpus.items() if action or gpu not in gpus}
        for gpu, needed in gpus.items():
            for action in ("reset", "drain"):
                found.add("health_agent_gpu_action_required", needed == action, gpu, action)
        self._counts(found)
        self._agent(found)
        yield from found.families()

    def _checks(self, found: Collected) -> None:
        durations: dict[tuple[str, str], Histogram] = {}
        for container, kind, check, method, stats in self._source.check_stats():
            probe_type = PROBE_TYPE[kind]
            for (outcome, reason), count in stats.results.items():
                labels = (container, probe_type, check, method, RESULT[outcome], reason)
                found.add("health_agent_probe", count, *labels, suffix="_total")
            whole = durations.setdefault((container, probe_type), Histogram(DURATION_BUCKETS))
            whole.counts = [a + b for a, b in zip(whole.counts, stats.durations.counts, strict=True)]
            whole.total += stats.durations.total
        for (container, probe_type), histogram in durations.items():
            found.add_histogram("health_agent_probe_duration_seconds", histogram, container, probe_type)

    def _counts(self, found: Collected) -> None:
        for container, stats in self._source.container_stats():
            for (kind, to), count in stats.transitions.items():
                found.add("health_agent_transitions", count, container, PROBE_TYPE[kind], to, suffix="_total")
            for labels, count in stats.restarts.items():
                found.add("health_agent_restarts", count, container, *labels, suffix="_total")
            for why in WHYS:  # from 0 on: increase() does not see a series that appears with its first 1
                count = stats.suppressed.get(why, 0)
                found.add("health_agent_restarts_suppressed", count, container, why, suffix="_total")
            if stats.time_to_ready is not None:
                found.add("health_agent_time_to_ready_seconds", stats.time_to_ready, container)

    def _agent(self, found: Collected) -> None:
        source = self._source
        reloaded = "health_agent_config_last_reload_success"
        found.add_histogram("health_agent_probe_lateness_seconds", source.lateness)
        found.add("health_agent_event_loop_lag_seconds", source.loop_lag_seconds)
        found.add(f"{reloaded}ful", source.reload_successful)
        found.add(f"{reloaded}_timestamp_seconds", source.reload_success_time)
        found.add("health_agent_build", 1, __version__, suffix="_info")


def _container(found: Collected, view: verdict.ContainerView) -> None:
    name = view.name
    for check in view.checks:
        labels = (name, PROBE_TYPE[check.type], check.name)
        found.add("health_agent_probe_success", check.published is Published.SUCCESS, *labels)
        for value, result in ((Published.SUCCESS, "successful"), (Published.FAILURE, "failed")):
            run = check.run if check.counted is value else 0
            found.add("health_agent_probe_consecutive", run, *labels, result)
    found.add("health_agent_container_live", view.live, name)
    found.add("health_agent_container_ready", verdict.is_ready(view), name)
    found.add("health_agent_container_started", verdict.is_started(view), name)
    current = verdict.state(view)
    for state in verdict.STATES:
        found.add("health_agent_container_state", state == current, name, state)
    found.add("health_agent_restart_backoff_seconds", view.backoff_seconds, name)
    found.add("health_agent_restart_budget_remaining", view.budget_remaining, name)


def registry(source: Source) -> CollectorRegistry:
    """A registry of its own: the agent's families, process_* and python_info."""
    found = CollectorRegistry(auto_describe=False)
    found.register(AgentCollector(source))
    ProcessCollector(registry=found)
    PlatformCollector(registry=found)
    return found


class Metrics:
    """The answer of /metrics."""

    def __init__(self, source: Source) -> None:
        self._registry = registry(source)

    def answer(self, request: web.BaseRequest) -> web.Response:
        openmetrics = exposition.prefers_openmetrics(request.headers.get("Accept", ""))
        kind = exposition.OPENMETRICS_TYPE if openmetrics else exposition.TEXT_TYPE
        body = exposition.write(self._registry.collect(), openmetrics=openmetrics)
        return web.Response(body=body, headers=CIMultiDict(answers.SAFE, **{"Content-Type": kind}))
