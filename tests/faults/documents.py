"""What the agent is given for a row: two containers on one server, a plain check and the preset with shorter times.

Everything is shortened by configuration alone: checks of one's own, with the names of the preset's, laid over them.
The preset's times are about a twelfth of what it ships with; how it judges is its own.
"""

import json
from typing import Any, Final

from tests.acceptance.model_servers import BENTOML, LITSERVE, MLSERVER_ALONE, MLSERVER_POOL, Kind

PLAIN, PRESET = "plain", "preset"
"""The two containers of the one agent: what the kubelet would do, and the preset; both are the same server."""

PERIOD: Final = 1.0
WARN, HUNG, BLIND = 4.0, 10.0, 15.0
"""`progress`: warn_after_, hung_after_ and blind_after_seconds, of 30, 120 and 180."""
WAIT, QUIET, COOLDOWN = 2.5, 2.5, 5.0
"""A canary beside metrics: its time-out, quiet_ and cooldown_seconds, of 30, 30 and 60."""
ALONE, ALONE_UNREADY, ALONE_COOLDOWN, ALONE_PERIOD, ALONE_FAILURES = 10.0, 5.0, 2.5, 2.5, 2
"""A canary where no metrics are: overload_timeout_seconds for liveness and readiness, of 120 and 60, cooldown of 30."""
HEALTH_PERIOD, HEALTH_TIMEOUT, HEALTH_FAILURES = 2.0, 5.0, 5
"""The health endpoint for liveness, of 10, 10 and 12."""
PLAIN_PERIOD, PLAIN_TIMEOUT, PLAIN_FAILURES = 1.0, 1.0, 3
"""A livenessProbe with the kubelet's own time-out and threshold; its period would be 10."""

MODEL: Final = "square"
METRICS_AT: Final = {MLSERVER_POOL.name: 2, MLSERVER_ALONE.name: 2}
"""How far from its own port a server's metrics are, where they have a port."""
PRESETS: Final = {MLSERVER_POOL.name: "mlserver", MLSERVER_ALONE.name: "mlserver"}
"""The presets of those that are not named like theirs."""
HEALTH_NAMES: Final = {
    "mosec": ("answers", "answers"),
    "litserve": ("health", "health"),
    "mlserver": ("live", "model"),
    "bentoml": ("live", "ready"),
}
"""What each preset calls its liveness and readiness checks of the health endpoint."""
OF_HANG: Final = frozenset({"stopped", "deadlocked", "deadlocked-idle"})


def document(kind: Kind, port: int, metrics: int, *, shipped: bool = False) -> dict[str, Any]:
    """Nothing is ever done: what would be shows as restart.suppressed in the log, with why=dry_run.

    ``shipped``: the preset's own times, for comparison.
    """
    plain = {
        "name": PLAIN,
        "port": port,
        "liveness_check": {
            "http_get": {"path": kind.health},
            "period_seconds": PLAIN_PERIOD,
            "timeout_seconds": PLAIN_TIMEOUT,
            "failure_threshold": PLAIN_FAILURES,
        },
    }
    preset = {
        "name": PRESET,
        "preset": preset_of(kind),
        "port": port,
        **({"ports": {"metrics": metrics}, "model": MODEL} if kind.name in METRICS_AT else {}),
        **(_canary_alone(kind) if shipped else _checks(kind)),
    }
    return {"containers": [{**one, "restart": {"dry_run": True}} for one in (plain, preset)]}


def preset_of(kind: Kind) -> str:
    return PRESETS.get(kind.name, kind.name)


def has_metrics(kind: Kind) -> bool:
    return kind.name != LITSERVE.name


def _asks(kind: Kind) -> dict[str, Any]:
    """What a preset cannot know of its canary."""
    asks: dict[str, Any] = {"body": json.loads(kind.body)}
    return asks if kind.name in METRICS_AT else {**asks, "path": kind.predict}


def _canary_alone(kind: Kind) -> dict[str, Any]:
    asked = [{"name": "canary", "inference": _asks(kind)}]
    return {"readiness_check": asked} if has_metrics(kind) else {"liveness_check": asked, "readiness_check": asked}


def _checks(kind: Kind) -> dict[str, Any]:
    """Each of them changes the preset's check of that name."""
    live, ready = HEALTH_NAMES[preset_of(kind)]
    asks = _asks(kind)
    health = {
        "name": live, "period_seconds": HEALTH_PERIOD, "timeout_seconds": HEALTH_TIMEOUT,
        "failure_threshold": HEALTH_FAILURES,
    }  # fmt: skip
    if has_metrics(kind):
        canary = {**asks, "quiet_seconds": QUIET, "cooldown_seconds": COOLDOWN, "overload_timeout_seconds": ALONE}
        progress = {
            "warn_after_seconds": WARN, "hung_after_seconds": HUNG, "blind_after_seconds": BLIND,
            "max_step_seconds": 2.5,
        }  # fmt: skip
        liveness = [health, {"name": "progress", "progress": progress, "period_seconds": PERIOD}]
        asked = {"period_seconds": PERIOD, "timeout_seconds": WAIT}
        readiness = {"name": "canary", "inference": canary, **asked}
    else:
        canary = {**asks, "cooldown_seconds": ALONE_COOLDOWN}
        asked = {"period_seconds": ALONE_PERIOD, "timeout_seconds": WAIT}
        alone = {**canary, "overload_timeout_seconds": ALONE}
        liveness = [health, {"name": "canary", "inference": alone, **asked, "failure_threshold": ALONE_FAILURES}]
        readiness = {"name": "canary", "inference": {**canary, "overload_timeout_seconds": ALONE_UNREADY}, **asked}
    return {
        "startup_check": {"period_seconds": PERIOD / 2, "failure_threshold": 600},
        "liveness_check": liveness,
        "readiness_check": [
            {"name": ready, "period_seconds": PERIOD / 2, "timeout_seconds": HEALTH_TIMEOUT},
            readiness,
        ],
    }


SECONDS: Final[dict[str, float]] = {
    "`hung_after_seconds`": HUNG,
    "`blind_after_seconds`": BLIND,
    "the health check's time-out": HEALTH_TIMEOUT,
    "the canary that brings the first work (`quiet_seconds` and a period)": QUIET + PERIOD,
    "the canary's `overload_timeout_seconds` twice with `cooldown_seconds` between": ALONE_FAILURES * ALONE
    + ALONE_COOLDOWN,
    "the health check's `failure_threshold` periods": HEALTH_FAILURES * HEALTH_PERIOD,
}
"""What thresholds are made of, and how long each part is here."""
_HUNG, _BLIND, _HEALTH, _FIRST_WORK, _ALONE, _DEAD = SECONDS


def made_of(kind: Kind, fault: str) -> tuple[str, ...]:
    """The parts of the effective threshold, keys of SECONDS."""
    if fault in OF_HANG and has_metrics(kind):
        first_work = (_FIRST_WORK,) if fault == "deadlocked-idle" else ()
        if kind.name == MLSERVER_ALONE.name or (kind.name == BENTOML.name and fault == "stopped"):
            return (_BLIND, _HEALTH, *first_work)  # what answers is stuck itself: no metrics, and no health either
        return (_HUNG, *first_work)
    if fault in OF_HANG or (kind.name == LITSERVE.name and fault == "worker-killed"):  # its front lingers
        return (_ALONE,)
    return (_DEAD,)


def threshold(kind: Kind, fault: str) -> float:
    """The effective threshold in seconds: after how long this configuration promises to have found this fault."""
    return sum(SECONDS[part] for part in made_of(kind, fault))


def periods(kind: Kind) -> float:
    """Two periods of the check that finds a hang."""
    return 2 * (PERIOD if has_metrics(kind) else ALONE_PERIOD)
