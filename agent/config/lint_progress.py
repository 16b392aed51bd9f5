"""Warns of progress checks that will not see a hang, or will see one that is none; `agent.config.lint` names them."""

from collections.abc import Iterator
from typing import Any, Final

from agent.config.hints import Hint
from agent.core.model import Check
from agent.core.progress import LOOKS, SAFETY
from agent.core.remembered import NO_HEALTH
from agent.core.settings import Container

EAGER: Final = 60.0  # the shortest time that anybody proposes for a language model; a long prefill may take as long


def alone(container: Container) -> Iterator[Hint]:
    for check in _progress(container):
        if all(other.method in NO_HEALTH or other.method == "inference" for other in container.checks()):
            yield Hint(
                "when its metrics can't be read nothing tells whether the server still answers: it is only blind, for "
                "ever; add a check of its health endpoint, e.g. http_get",
                check,
            )


def period(container: Container) -> Iterator[Hint]:
    for check in _progress(container):
        needed = LOOKS * check.period_seconds
        if needed > _threshold(check.options):
            yield Hint(
                f"a stall has to be seen {LOOKS} times, so that a hang is found after {needed:g} s, not "
                f"{_threshold(check.options):g} s; shorten period_seconds",
                check,
                "period_seconds",
            )


def warn(container: Container) -> Iterator[Hint]:
    for check in _progress(container):
        after, step = check.options.warn_after_seconds, check.options.max_step_seconds
        if after >= _threshold(check.options):
            message = (
                f"readiness goes after {after:g} s without progress, and the check has failed after "
                f"{_threshold(check.options):g} s: let readiness act first"
            )
        elif step is not None and step > after:
            message = (
                f"a step of {step:g} s is legitimate, and takes readiness away after {after:g} s of it; raise "
                "warn_after_seconds unless that is wanted"
            )
        else:
            continue
        yield Hint(message, check, "progress.warn_after_seconds")


def step(container: Container) -> Iterator[Hint]:
    for check in _progress(container):
        if check.options.series.by_request and check.options.max_step_seconds is None:
            yield Hint(
                f"the counters of {check.options.server} move when a request ends: if every one under way takes longer "
                f"than {check.options.hung_after_seconds:g} s, that looks like a hang; give max_step_seconds the "
                "longest request",
                check,
                "progress",
            )


def eager(container: Container) -> Iterator[Hint]:
    for check in _progress(container):
        if _threshold(check.options) < EAGER:
            yield Hint(
                f"a prefill may take longer than {_threshold(check.options):g} s, and is then a hang; 120 s, or "
                "max_step_seconds",
                check,
                "progress.hung_after_seconds",
            )


def gauges(container: Container) -> Iterator[Hint]:
    asked = any(check.method == "inference" for check in container.checks())
    for check in _progress(container):
        series = check.options.series
        if not (series.busy or series.waiting) and not asked:
            yield Hint(
                "no gauge tells whether work is in flight, so that nothing is ever hung; name one in `busy` or "
                "`waiting`, or add an inference check, whose waiting shows it",
                check,
                "progress",
            )


def _progress(container: Container) -> list[Check]:
    return [check for check in container.checks() if check.method == "progress"]


def _threshold(options: Any) -> float:
    """What is known of it before anything is seen, seconds."""
    return float(max(options.hung_after_seconds, SAFETY * (options.max_step_seconds or 0.0)))
