"""docs/faults.md, made of what was measured last: measured.json beside this file."""

import datetime as dt
import json
from pathlib import Path
from typing import Any, Final

import msgspec

from agent.config import SourceRef
from agent.config import load as load_config
from agent.core.settings import Check
from bench.report import machine as bench_machine
from tests.acceptance.model_servers import Kind
from tests.faults.cells import SLACK_SECONDS, Cell
from tests.faults.documents import PRESET, document, made_of, threshold
from tests.faults.matrix import FAULTS, KNOWN, PLAIN_SECONDS, SERVERS, Pace

HERE: Final = Path(__file__).parent
PAGE: Final = HERE.parents[1] / "docs" / "faults.md"
MEASURED: Final = HERE / "measured.json"
PROSE: Final = HERE / "faults.md"


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the whole matrix."""

    cells: tuple[Cell, ...]
    pace: Pace
    machine: tuple[str, ...]


def load() -> Measured:
    return msgspec.json.decode(MEASURED.read_bytes(), type=Measured)


def save(measured: Measured) -> None:
    MEASURED.write_bytes(msgspec.json.format(msgspec.json.encode(measured), indent=1) + b"\n")


def machine() -> tuple[str, ...]:
    """Processor and Python, and the day."""
    return (*bench_machine()[:2], f"measured on {dt.datetime.now(tz=dt.UTC):%Y-%m-%d}")


def servers_of(measured: Measured) -> str:
    """One table for each server, in the order of the rows."""
    return "\n\n".join(
        _server(kind, {cell.fault: cell for cell in measured.cells if cell.server == kind.name}, measured.pace)
        for kind in SERVERS
        if any(cell.server == kind.name for cell in measured.cells)
    )


def as_markdown(measured: Measured) -> str:
    """The whole page."""
    words = {
        "busy": f"{measured.pace.busy:g}",
        "load": f"{measured.pace.load:g}",
        "slack": f"{SLACK_SECONDS:g}",
        "plain": f"{PLAIN_SECONDS:g}",
        "times": times(),
        "due": due(),
        "sums": sums(measured),
        "servers": servers_of(measured),
        "machine": "\n".join(f"- {fact}" for fact in measured.machine),
    }
    text = PROSE.read_text(encoding="utf-8")
    for name, value in words.items():
        text = text.replace(f"<!-- {name} -->", value)
    return text


def due() -> str:
    """Each effective threshold, what it is made of, and whose it is."""
    whose: dict[tuple[str, float], list[str]] = {}
    for kind in SERVERS:
        for fault in FAULTS:
            if fault.wanted_of(kind) == "found":
                made = (made_of(kind, fault.name), threshold(kind, fault.name))
                whose.setdefault(made, []).append(f"{kind.name} {fault.name}")
    lines = (
        f"| {' and '.join(names)} | {seconds:g} s | {', '.join(cells)} |" for (names, seconds), cells in whose.items()
    )
    return "\n".join(("| effective threshold | here | of |", "|---|---|---|", *lines))


def times() -> str:
    """Every kind of check that is shortened: its numbers here, and those that the presets have."""
    lines: dict[str, None] = {}
    for kind in SERVERS:
        here, own = (_checks(document(kind, 8000, 8002, shipped=shipped)) for shipped in (False, True))
        lines |= {
            f"| {check.type} {check.method} | {_numbers(check)} | {_numbers(shipped)} |": None
            for check, shipped in zip(here, own, strict=True)
        }
    return "\n".join(sorted(lines, key=lambda line: line.split(" | ")[0]))


def _checks(written: dict[str, Any]) -> list[Check]:
    loaded = load_config([SourceRef("document", content=json.dumps(written).encode())], {})
    return [check for one in loaded.config.containers if one.name == PRESET for check in one.checks()]


def _numbers(check: Check) -> str:
    """When it is asked, what it waits for, and the method's own times."""
    options = msgspec.to_builtins(check.options)
    own = [f"{name} {value:g}" for name, value in options.items() if name.endswith("_seconds") and value is not None]
    asked = f"every {check.period_seconds:g} s, at most {check.timeout_seconds:g} s, {check.failure_threshold} times"
    return "; ".join([asked, ", ".join(own)] if own else [asked])


def sums(measured: Measured) -> str:
    """Both counted, over all servers but the one that is known to be blind, and for all."""
    lines = ["| | plain `http_get` | preset |", "|---|---|---|"]
    found = [cell for cell in measured.cells if cell.wanted == "found"]
    quiet = [cell for cell in measured.cells if cell.wanted == "quiet"]
    for what, cells, killed in (("faults found", found, True), ("false restarts", quiet, True)):
        plain = sum((cell.plain.killed is not None) is killed for cell in cells)
        preset = sum((cell.preset.killed is not None) is killed for cell in cells)
        lines.append(f"| {what} | {plain} of {len(cells)} | {preset} of {len(cells)} |")
    return "\n".join(lines)


def _server(kind: Kind, cells: dict[str, Cell], pace: Pace) -> str:
    lines = [f"### {kind.name} ({kind.requirement.replace('==', ' ')})\n",
             f"| what is done to it | plain `http_get` of {kind.health} | preset | |", "|---|---|---|---|"]  # fmt: skip
    reasons = []
    for fault in FAULTS:
        if not fault.applies(kind):
            lines.append(f"| {fault.title} | - | - | it has no metrics |")
        cell = cells.get(fault.name)
        if cell is None:
            continue
        mark = ""
        reason = KNOWN.get((kind.name, fault.name)) if cell.problem() else None
        if reason is not None:
            reasons += [reason] if reason not in reasons else []
            mark = f" [{reasons.index(reason) + 1}]"
        note = "it mends itself within seconds" if kind.name in fault.heals else cell.note
        lines.append(f"| {fault.title} | {cell.told(cell.plain)} | {cell.told(cell.preset)}{mark} | {note} |")
    return "\n".join([*lines, *(f"\n[{at}] {reason}." for at, reason in enumerate(reasons, 1))])
