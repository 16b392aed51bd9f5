"""Warns of configurations that are valid and will hurt: one small function a rule, one line in the table below.

To add one: write a function that takes a container and yields `Hint`s, and name it with its code in RULES.
"""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Final

import msgspec

from agent.config import lint_progress
from agent.config.hints import REQUESTS, Hint
from agent.core.explain import detect_best, detect_worst, first_probe, longest, startup_budget
from agent.core.redact import redactor
from agent.core.settings import Config, Container

LOADING_SECONDS: Final = 120.0  # what even a small model server may take to load, on a cold disk
READINESS_WINDOW: Final = 30.0  # until a platform with default readiness numbers (3 failures, 10 s) stops routing
FAR_HIGHER: Final = 6.0  # times the threshold of readiness: then the same request may serve liveness too
WORK_PATHS: Final = ("completions", "generate", "predict", "/infer", "embeddings", "invocations")
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A warning with its place: ``path`` is the native document's, e.g. `containers[0].liveness_check`."""

    code: str
    path: str
    message: str
    container: str = ""


def lint(config: Config) -> list[Finding]:
    """Every rule over every container, in document order, then over the agent's own settings."""
    redact = redactor(config.secrets)  # a host, say, that stands in a variable
    found = [
        Finding(code=code, path=_path(index, container, hint), message=redact(hint.message), container=container.name)
        for index, container in enumerate(config.containers)
        for code, rule in RULES.items()
        for hint in rule(container)
    ]
    if config.server.details == "full" and config.server.host not in LOOPBACK:
        message = "detail texts and URLs are shown to whoever reaches the port; listen on loopback, or use 'reasons'"
        found.append(Finding(code="W-DETAILS-PUBLIC", path="server.details", message=message))
    return found


def _path(index: int, container: Container, hint: Hint) -> str:
    path = f"containers[{index}]"
    if hint.check is not None:
        siblings = container.of_type(hint.check.type)
        path += f".{hint.check.type}_check"
        if len(siblings) > 1:
            path += f"[{siblings.index(hint.check)}]"
    return f"{path}.{hint.field}" if hint.field else path


def liveness_timeout(container: Container) -> Iterator[Hint]:
    for check in container.liveness:
        if check.method in REQUESTS - {"tcp_socket"} and check.timeout_seconds <= 1:
            yield Hint(
                f"a busy model server answers late: with a timeout of {check.timeout_seconds:g} s it is restarted "
                "under load; give liveness 5 s or more",
                check,
                "timeout_seconds",
            )


def liveness_eager(container: Container) -> Iterator[Hint]:
    """Only between checks that ask for answers: a process check may well be quicker than readiness."""
    asking = [check for check in container.liveness if check.method in REQUESTS]
    if not asking or not container.readiness:
        return
    check = min(asking, key=detect_best)
    readiness = min(detect_best(other) for other in container.readiness)
    if detect_best(check) <= readiness:
        yield Hint(
            f"it kills after {detect_best(check):g} s of failures, while readiness takes {readiness:g} s to stop the "
            "traffic: let readiness act first; raise liveness's failure_threshold or period_seconds",
            check,
            "failure_threshold",
        )


def no_startup(container: Container) -> Iterator[Hint]:
    if container.startup:
        return
    asking = [check for check in container.liveness if check.method in REQUESTS]
    if not asking:
        return
    check = min(asking, key=startup_budget)
    if startup_budget(check) < LOADING_SECONDS:
        yield Hint(
            f"a server that loads for longer than {startup_budget(check):g} s is killed while it loads, again and "
            "again; add a startup_check",
            check,
            "initial_delay_seconds",
        )


def startup_short(container: Container) -> Iterator[Hint]:
    usual = container.load_seconds or LOADING_SECONDS / 2
    for check in container.startup:
        if startup_budget(check) < usual:
            yield Hint(
                f"a start that takes longer than {startup_budget(check):g} s is killed, and {usual:g} s are usual on a "
                "cold cache: raise failure_threshold",
                check,
                "failure_threshold",
            )


def liveness_tcp(container: Container) -> Iterator[Hint]:
    for check in container.liveness:
        if check.method == "tcp_socket":
            yield Hint(
                "a hung model server still accepts connections: the kernel does it; ask its health path with http_get",
                check,
            )


def same_request(container: Container) -> Iterator[Hint]:
    for live, ready in product(container.liveness, container.readiness):
        far = detect_best(live) >= FAR_HIGHER * max(detect_best(ready), ready.period_seconds)
        if live.method == ready.method and live.options == ready.options and not far:
            yield Hint(
                f"it asks the same as readiness {ready.name!r}: whatever makes the server unready restarts it as "
                "well; ask something cheaper, or give liveness a far higher failure_threshold",
                live,
            )
            return


def exec_often(container: Container) -> Iterator[Hint]:
    for check in container.checks():
        if check.method == "exec" and check.period_seconds <= 5:
            yield Hint(
                f"a new process every {check.period_seconds:g} s takes CPU from the model; 10 s or more, or http_get",
                check,
                "period_seconds",
            )


def drain_short(container: Container) -> Iterator[Hint]:
    drain = container.restart.drain
    if 0 < drain.max_seconds < READINESS_WINDOW and not drain.until_idle:
        yield Hint(
            f"the platform may still route to the server when it is stopped: it takes up to {READINESS_WINDOW:g} s to "
            "see that /ready is 503 (3 failures, 10 s apart); drain for longer than that",
            field="restart.drain.max_seconds",
        )


def drain_blind(container: Container) -> Iterator[Hint]:
    drain = container.restart.drain
    if drain.until_idle and not any(hasattr(check.options, "in_flight") for check in container.checks()):
        yield Hint(
            f"no check here can tell what is in flight: each drain takes the whole {drain.max_seconds:g} s; add a "
            "progress check",
            field="restart.drain.until_idle",
        )


def depends_on_itself(container: Container) -> Iterator[Hint]:
    own = {(container.host, container.port), *map(container.address_of, container.checks())} - {None}
    for check in container.restart.depends_on:
        if container.address_of(check) in own:
            yield Hint(
                f"{check.name!r} asks this server itself: each of its failures would hold the restart back for "
                f"{container.restart.correlated_hold_seconds:g} s; ask what it depends on",
                field="restart.depends_on",
            )


def threshold_one(container: Container) -> Iterator[Hint]:
    for check in container.liveness:
        if check.failure_threshold == 1 and check.method in REQUESTS - {"inference"}:
            yield Hint("one late answer kills the server; 3 or more", check, "failure_threshold")


def no_readiness(container: Container) -> Iterator[Hint]:
    if container.liveness and not container.readiness:
        yield Hint("without a readiness_check it gets traffic from its start until it is killed")


def no_checks(container: Container) -> Iterator[Hint]:
    if not container.checks():
        yield Hint("it has no checks: it always counts as live, started and ready")


def action_unused(container: Container) -> Iterator[Hint]:
    restart = container.restart
    if restart.action_name != "none" and container.checks() and not (container.liveness or container.startup):
        yield Hint(
            f"nothing ever calls for {restart.action_name!r}: only liveness and startup checks do",
            field="restart.action",
        )


def timeout_over_period(container: Container) -> Iterator[Hint]:
    for check in container.checks():
        if check.timeout_seconds > check.period_seconds:
            yield Hint(
                f"while the server hangs, rounds are {check.timeout_seconds:g} s apart, not "
                f"{check.period_seconds:g} s: a fault is seen after up to {detect_worst(check):g} s",
                check,
                "timeout_seconds",
            )


def period_short(container: Container) -> Iterator[Hint]:
    for check in container.checks():
        if check.period_seconds < 1:
            yield Hint(
                f"{3600 / check.period_seconds:.0f} probes an hour, each a connection of its own; 1 s or more",
                check,
                "period_seconds",
            )


def liveness_works(container: Container) -> Iterator[Hint]:
    for check in container.liveness:
        path = str(getattr(check.options, "path", "")).lower()
        method = getattr(check.options, "method", None)
        if check.method == "http_get" and (method == "POST" or any(word in path for word in WORK_PATHS)):
            yield Hint(
                "a real request queues behind those of users, so that load looks like death; liveness asks a health "
                "path, readiness may ask for work",
                check,
            )


def canary_alone(container: Container) -> Iterator[Hint]:
    """Between hung and busy it cannot tell: it waits in the same queue as everybody."""
    watched = any(check.method == "progress" for check in container.checks())
    for check in container.liveness:
        if check.method == "inference" and not watched:
            yield Hint(
                f"no progress check tells busy from hung: the canary alone decides, after {longest(check, container):g}"
                " s, which must be longer than any request waits under load (overload_timeout_seconds)",
                check,
                "inference",
            )


def liveness_elsewhere(container: Container) -> Iterator[Hint]:
    for check in container.liveness:
        host = getattr(check.options, "host", None)
        if host and host != container.host and not {host, container.host} <= LOOPBACK:
            yield Hint(
                f"it asks {host}, not {container.host}: when something else is down this server is restarted, which "
                "does not help; make it a readiness check",
                check,
            )


def errors_kill(container: Container) -> Iterator[Hint]:
    for check in container.liveness:
        if check.errors_are_failures and check.method != "exec":
            yield Hint(
                "trouble of the agent itself (no file descriptors, no memory) then restarts a server that is well",
                check,
                "errors_are_failures",
            )


def readiness_slow(container: Container) -> Iterator[Hint]:
    for check in container.readiness:
        # A canary has to be patient; what is dead and not just hung is another check's to see.
        if detect_worst(check) > 60 and check.method != "inference":
            yield Hint(
                f"a dead server keeps its traffic for up to {detect_worst(check):g} s; shorten period_seconds",
                check,
                "period_seconds",
            )


def delay_over_startup(container: Container) -> Iterator[Hint]:
    for check in container.startup:
        if first_probe(check) > 30:
            yield Hint(
                f"a server that is up at once still waits {first_probe(check):g} s; a startup check needs no delay, "
                "its failures do no harm before the threshold",
                check,
                "initial_delay_seconds",
            )


def budget_none(container: Container) -> Iterator[Hint]:
    if container.restart.budget.restarts == 0:
        yield Hint("no restart is ever permitted: the first kill gives up", field="restart.budget.restarts")


def grace_short(container: Container) -> Iterator[Hint]:
    restart = container.restart
    if restart.action_name == "signal" and restart.grace_period_seconds < 5:
        yield Hint(
            f"{restart.grace_period_seconds:g} s are seldom enough to free GPUs: a SIGKILL may leave them occupied",
            field="restart.grace_period_seconds",
        )


def eviction_young(container: Container) -> Iterator[Hint]:
    restart = container.restart
    age = getattr(restart.action, "min_pod_age_seconds", 0.0)
    if age > restart.arm_after_seconds:
        yield Hint(
            f"a pod younger than {age:g} s is left alone, but each attempt before uses one of the budget: set "
            f"arm_after_seconds to {age:g} too",
            field="restart.arm_after_seconds",
        )


RULES: Final[dict[str, Callable[[Container], Iterator[Hint]]]] = {
    "W-LIVENESS-TIMEOUT": liveness_timeout,
    "W-LIVENESS-EAGER": liveness_eager,
    "W-NO-STARTUP": no_startup,
    "W-STARTUP-BUDGET": startup_short,
    "W-LIVENESS-TCP": liveness_tcp,
    "W-SAME-REQUEST": same_request,
    "W-EXEC-OFTEN": exec_often,
    "W-DRAIN-SHORT": drain_short,
    "W-DRAIN-BLIND": drain_blind,
    "W-DEPENDS-ON-SELF": depends_on_itself,
    "W-THRESHOLD-ONE": threshold_one,
    "W-NO-READINESS": no_readiness,
    "W-NO-CHECKS": no_checks,
    "W-ACTION-UNUSED": action_unused,
    "W-TIMEOUT-OVER-PERIOD": timeout_over_period,
    "W-PERIOD-SHORT": period_short,
    "W-LIVENESS-WORK": liveness_works,
    "W-CANARY-ALONE": canary_alone,
    "W-LIVENESS-ELSEWHERE": liveness_elsewhere,
    "W-ERRORS-KILL": errors_kill,
    "W-READINESS-SLOW": readiness_slow,
    "W-STARTUP-DELAY": delay_over_startup,
    "W-BUDGET-NONE": budget_none,
    "W-GRACE-SHORT": grace_short,
    "W-EVICTION-YOUNG": eviction_young,
    "W-PROGRESS-ALONE": lint_progress.alone,
    "W-PROGRESS-PERIOD": lint_progress.period,
    "W-PROGRESS-WARN": lint_progress.warn,
    "W-PROGRESS-STEP": lint_progress.step,
    "W-PROGRESS-EAGER": lint_progress.eager,
    "W-PROGRESS-GAUGES": lint_progress.gauges,
}
"""Code to rule. Codes are public: people look for them and filter by them."""
