"""The table, for a terminal and for docs/performance.md, with the machine it was measured on."""

import datetime as dt
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from bench.measurements import BLACKBOX, Row

HEADINGS = ("", "the agent", "compared with", "ratio", "bound", "")
VERDICT = {True: "ok", False: "MISSED", None: ""}
EXPLANATION = """# What the agent costs

Written by `make bench`, all of it in one run on one machine; run it on yours. Each figure is the median of several
runs, taken in turn with the program it is compared with. Processor time and memory are the kernel's figures for the
whole process. The programs are in [bench/](../bench).
"""
MEMORY = """## Where the memory goes

Resident memory after each import, one on top of the other, in a fresh interpreter. Shared with every other process that
uses the same Python is only what is mapped from files.
"""


def cells(row: Row) -> tuple[str, ...]:
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    return (row.what, row.ours, row.against, ratio, row.bound, VERDICT[row.holds])


def as_text(rows: Sequence[Row]) -> str:
    lines = [HEADINGS, *map(cells, rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def as_markdown(rows: Sequence[Row], imports: Sequence[tuple[str, float]]) -> str:
    table = markdown_table(HEADINGS, [cells(row) for row in rows])
    steps = [
        (name, f"{mib:.1f} MiB", f"+{mib - before:.1f} MiB" if before else "")
        for (name, mib), before in zip(imports, (0.0, *(mib for _, mib in imports)), strict=False)
    ]
    memory = markdown_table(("import", "resident", "more"), steps)
    where = "\n".join(f"- {fact}" for fact in machine())
    return f"{EXPLANATION}\n{table}\n\n{MEMORY}\n{memory}\n\n## The machine\n\n{where}\n"


def markdown_table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---"] * len(headings)
    return "\n".join("| " + " | ".join(line) + " |" for line in (headings, rule, *lines))


def machine() -> list[str]:
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1024**3
    packages = ", ".join(f"{name} {version(name)}" for name in ("aiohttp", "prometheus-client", "PyYAML", "msgspec"))
    return [
        f"{cpu}, {os.cpu_count()} cores, {memory:.0f} GiB",
        f"{platform.system()} {platform.release().partition('-')[0]}, Python {platform.python_version()}",
        packages,
        *(line for line in (tool_version(BLACKBOX, "--version"), tool_version("wrk", "-v")) if line),
        f"measured on {dt.datetime.now(tz=dt.UTC):%Y-%m-%d}",
    ]


def tool_version(program: str, flag: str) -> str:
    """Its first line; "" where it is not installed."""
    if shutil.which(program) is None:
        return ""
    run = subprocess.run([program, flag], capture_output=True, text=True, check=False, timeout=10)
    line = (run.stdout + run.stderr).splitlines()[0]
    return line.partition(" Copyright")[0].partition(" (branch")[0].partition(" [")[0]
