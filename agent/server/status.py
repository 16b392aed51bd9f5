"""The JSON of /status: everything that is known of the containers, and no more than `server.details` permits."""

from typing import Any

import msgspec
from aiohttp import web

from agent import __version__
from agent.core import verdict
from agent.core.spared import Spared
from agent.core.verdict import CheckView, ContainerView, Record
from agent.server import Source, answers


def answer(source: Source, name: str | None, *, full: bool) -> web.Response:
    """/status, of all containers or of one with its history; ``full``: with detail texts, identities and evidence."""
    if name is None:
        return answers.json(document(source, full=full))
    view = source.view(name)
    if view is None:
        return answers.json({"error": f"no container is named {answers.shown(name)}"}, 404)
    return answers.json(one(source, view, full=full))


def document(source: Source, *, full: bool) -> dict[str, Any]:
    return {
        "containers": [container(source, view, full=full) for view in source.views()],
        "agent": {
            "version": __version__,
            "healthy": not source.healthy(),
            "serving": source.serving(),
            "stopping": source.stopping,
            "config_error": source.config_error,
            "config_reload_successful": source.reload_successful,
            "event_loop_lag_seconds": source.loop_lag_seconds,
        },
    }


def one(source: Source, view: ContainerView, *, full: bool) -> dict[str, Any]:
    """One container, each check with its last 100 results, and the kills that it was spared; all oldest first."""
    found = container(source, view, full=full)
    found["spared"] = [_spared(source, each, full=full) for each in view.spared]
    history = source.history(view.name)
    for check in found["checks"]:
        results = history.get(f"{check['type']}/{check['name']}", [])
        check["results"] = [_past(source, result, full=full) for result in results[-100:]]
    return {"containers": [found]}


def container(source: Source, view: ContainerView, *, full: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": view.name,
        "state": verdict.state(view),
        "step": view.step,
        "live": view.live,
        "started": verdict.is_started(view),
        "ready": verdict.is_ready(view) and not source.stopping,
        "running": view.running,
        "instance": view.instance,
        "restart_requested": view.requested,
        "cause": view.cause,
        "suppressed": view.suppressed,
        "maintenance": view.maintenance,
        "maintenance_seconds": view.maintenance_seconds,
        "drain_seconds": view.drain_seconds,
        "in_flight": view.in_flight,
        "checks": [_check(source, check, full=full) for check in view.checks],
        "depends_on": [_check(source, check, full=full) for check in view.depends_on],
        "kills_in_a_row": view.kills_in_a_row,
        "restarts": [_restart(source, record, full=full) for record in view.restarts],
        "budget_remaining": view.budget_remaining,
        "backoff_seconds": view.backoff_seconds,
        "last_exit": view.ended and {"exit_code": view.ended.exit_code, "oom": view.ended.oom},
    }
    if full:
        found["identity"] = view.identity
    return found


def _check(source: Source, check: CheckView, *, full: bool) -> dict[str, Any]:
    last = check.last
    found: dict[str, Any] = {
        "name": check.name,
        "type": check.type,
        "method": check.method,
        "published": check.published,
        "run": check.run,
        "run_of": check.counted,
        "success_threshold": check.success_threshold,
        "failure_threshold": check.failure_threshold,
        "period_seconds": check.period_seconds,
        "last_result": last and last.outcome,
        "last_time": check.last_time,
        "reason": last and last.reason,
        "duration_seconds": last and round(last.duration, 6),
        "state": check.said.state or None,
        "takes_readiness": check.said.unready,
    }
    if last is not None and full:
        found["detail"] = source.redact(last.detail)
    return found


def _past(source: Source, result: dict[str, Any], *, full: bool) -> dict[str, Any]:
    found = {
        "time": result["time"],
        "result": result["outcome"],
        "reason": result["reason"],
        "duration_seconds": round(result["duration_seconds"], 6),
    }
    if full:
        found["detail"] = source.redact(result.get("detail", ""))
    return found


def _restart(source: Source, record: Record, *, full: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "time": record.time,
        "action": record.action,
        "reason": record.reason,
        "check": record.check.rpartition("/")[2],
        "type": record.check.rpartition("/")[0],
        "outcome": record.outcome,
        "ended": record.ended,
        "also": record.also,
        "evidence": record.evidence if full else None,
    }
    if full:
        found["detail"] = source.redact(record.detail)
    return found


def _spared(source: Source, one: Spared, *, full: bool) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(one)
    found["detail"] = source.redact(one.detail) if full else None
    return found
