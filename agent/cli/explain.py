"""`explain`: how fast a configuration sees faults, and what it risks."""

import json
from argparse import ArgumentParser, Namespace
from typing import Any, Final

import msgspec

from agent.cli.arguments import add_documents, add_format
from agent.cli.tables import aligned
from agent.core.explain import PLATFORM_WINDOW, Figures, figures
from agent.core.model import CheckType
from agent.core.settings import Container

DESCRIPTION: Final = """\
Says what a configuration's numbers come to: when each check first probes, how soon it sees a fault at best (refused
at once, just before a probe) and at worst (just after one, every probe runs into its time-out), how long a start may
take, and what is likely to hurt. Nothing is probed."""
EXAMPLES: Final = """\
  health-agent explain config.yaml
  health-agent explain compose.yaml --format json
  kubectl get deployment model -o yaml | health-agent explain -"""


def add_arguments(parser: ArgumentParser) -> None:
    add_documents(parser)
    add_format(parser)


def main(args: Namespace) -> int:
    from agent.cli.loading import load_or_tell, located, tell
    from agent.config.lint import lint

    loaded = load_or_tell(args)
    if loaded is None:
        return 2
    findings = lint(loaded.config)
    warnings: dict[str, list[dict[str, str]]] = {container.name: [] for container in loaded.config.containers}
    for finding, place in zip(findings, located(loaded, findings), strict=True):
        if finding.container:
            warnings[finding.container].append({"code": place.code, "path": place.path, "message": place.message})
        else:
            tell([place])
    where = places(loaded)
    for problem in (*loaded.warnings, *loaded.exec_nowhere, *loaded.blind_spots):
        name = where.get((problem.file, problem.line, problem.path))
        if name is not None:
            warnings[name].append({"code": problem.code, "path": problem.path, "message": problem.message})
    containers = [
        {"name": one.name, "checks": msgspec.to_builtins(figures(one)), "warnings": warnings[one.name]}
        for one in loaded.config.containers
    ]
    if args.format == "json":
        print(json.dumps({"containers": containers}, indent=2, ensure_ascii=False))
    else:
        print("\n\n".join(text(one, warnings[one.name]) for one in loaded.config.containers))
    return 0


def places(loaded: Any) -> dict[tuple[str, int, str], str]:
    """Every place of the documents that a container was read from, with its name."""
    found = {}
    for index, container in enumerate(loaded.config.containers):
        waiting = [loaded.tree.at(f"containers[{index}]")]
        while waiting:
            node = waiting.pop()
            found[node.file, node.line, node.path] = container.name
            waiting += [child for _, child in node.children()]
    return found


def text(container: Container, warnings: list[dict[str, str]]) -> str:
    """One container's figures, what they mean, and its warnings."""
    numbers = figures(container)
    lines = [f"{container.name} (restart action: {container.restart.action_name})"]
    if numbers:
        lines += ["", aligned([HEAD, *map(_row, numbers)], indent="  ")]
    lines += ["", *(f"  {sentence}" for sentence in timeline(container, numbers))]
    if warnings:
        lines += ["", *(f"  {w['code']} {w['path']}: {w['message']}" for w in warnings)]
    return "\n".join(lines)


HEAD: Final = ("TYPE", "CHECK", "METHOD", "FIRST PROBE", "FAULT SEEN AFTER", "PROBES AN HOUR")


def _row(one: Figures) -> tuple[str, ...]:
    seen = _between(one.detect_best_seconds, one.detect_worst_seconds)
    return (str(one.type), one.name, one.method, _seconds(one.first_probe_seconds), seen, f"{one.probes_per_hour:g}")


def timeline(container: Container, numbers: list[Figures]) -> list[str]:
    """What happens to the container, in plain language and in order."""
    startup = [one for one in numbers if one.type is CheckType.STARTUP]
    readiness = [one for one in numbers if one.type is CheckType.READINESS]
    # A progress check's own clock is told in a sentence of its own; its rounds say nothing of when a hang is seen.
    liveness = [one for one in numbers if one.type is CheckType.LIVENESS and one.method != "progress"]
    hang = _hang(container)
    if not liveness and not hang:
        hang = ["fault: there is no liveness check, a started server is never restarted"]
    return [
        *_start(startup, readiness),
        *_fault(readiness, liveness),
        *hang,
        *_restart(container, liveness or startup),
    ]


def _start(startup: list[Figures], readiness: list[Figures]) -> list[str]:
    lines = ["start: there is no startup check, it counts as started at once"]
    if startup:
        earliest = _seconds(max(one.first_probe_seconds for one in startup))
        budget = _seconds(min(one.startup_budget_seconds or 0.0 for one in startup))
        lines = [f"start: first looked for after {earliest}; an instance that has not started after {budget} is killed"]
    if not readiness:
        return [*lines, "ready: there is no readiness check, it is ready as soon as it has started"]
    earliest = _seconds(max(one.first_probe_seconds for one in readiness))
    return [*lines, f"ready: once started, {earliest} after the instance began at the earliest"]


def _fault(readiness: list[Figures], liveness: list[Figures]) -> list[str]:
    lines = []
    if readiness:
        lines.append(f"fault: {_span(readiness)} after it, no more traffic (not ready)")
    if liveness:
        lines.append(f"fault: {_span(liveness)} after it, to be restarted (not live)")
    return lines


def _hang(container: Container) -> list[str]:
    """What a progress check adds to the figures of a fault, which a server that hangs does not show."""
    lines = []
    for check in container.checks():
        if check.method == "progress":
            options = check.options
            step = options.max_step_seconds
            longer = "" if step is None else f", or 1.2 times the longest step of {_seconds(step)}"
            lines.append(
                f"hang: after {_seconds(options.warn_after_seconds)} of work in flight without progress, no more "
                f"traffic (not ready); after {_seconds(options.hung_after_seconds)}{longer}, {check.type} fails; later "
                "where such pauses are usual, 1800 s at most"
            )
    if lines and not any(check.method == "inference" for check in container.checks()):
        lines.append(
            "hang: not seen where the metrics themselves read zero, nor where nothing new arrives; an inference check "
            "(a canary) sees both"
        )
    return lines


def _restart(container: Container, deciding: list[Figures]) -> list[str]:
    restart = container.restart
    if not deciding:
        return []
    if restart.action_name == "none":
        worst = max(one.platform_detect_worst_seconds or 0.0 for one in deciding)
        sentence = (
            f"restart: left to the platform, which asks /healthz/{container.name}; with the probe that is recommended "
            f"({PLATFORM_WINDOW:g} s) up to {_seconds(worst)} after the fault"
        )
        return [sentence]
    if restart.action_name == "notify":
        return ["restart: none; notify tells the log, the metrics and the hooks, and the server stays in service"]
    first = restart.backoff.initial_seconds
    waits = [f"{min(first * 2**doubled, restart.backoff.max_seconds):g}" for doubled in range(3)]
    dry = " (dry run: it is only said what would be done)" if restart.dry_run else ""
    sentence = (
        f"restart: {restart.action_name}{dry}, after up to {_seconds(restart.drain.max_seconds)} of draining, with "
        f"{_seconds(restart.grace_period_seconds)} to leave; when it recurs waits of 0, {', '.join(waits)} ... "
        f"{_seconds(restart.backoff.max_seconds)}; at most {restart.budget.restarts} times in "
        f"{_seconds(restart.budget.window_seconds)}"
    )
    return [sentence]


def _span(numbers: list[Figures]) -> str:
    """From the quickest check at its best to the slowest at its worst: which one sees a fault is not known."""
    return _between(min(one.detect_best_seconds for one in numbers), max(one.detect_worst_seconds for one in numbers))


def _between(best: float, worst: float) -> str:
    return f"{best:g} to {worst:g} s"


def _seconds(number: float) -> str:
    return f"{number:g} s"
