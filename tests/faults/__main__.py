"""Plays the fault matrix: `python -m tests.faults` all of it, and writes docs/faults.md; see --help."""

# ruff: noqa: T201 - a command prints

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.matrix import FAULTS, FULL, KNOWN, SERVERS, SHORT
from tests.faults.page import MEASURED, PAGE, Measured, as_markdown, load, machine, save, servers_of
from tests.faults.running import played

EXAMPLES = """examples:
  python -m tests.faults                                 everything, and docs/faults.md (14 minutes)
  python -m tests.faults --short --server mosec          one server, healthy rows of 15 s; writes nothing
  python -m tests.faults --fault stopped --fault busy    two rows; writes nothing
  python -m tests.faults --page                          the page again, from the last measurement
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="What is done to real model servers, and what a plain check and the presets think of it.",
    )  # fmt: skip
    parser.add_argument("--server", action="append", choices=[kind.name for kind in SERVERS], help="these alone")
    parser.add_argument("--fault", action="append", choices=[fault.name for fault in FAULTS], help="these alone")
    parser.add_argument("--short", action="store_true", help="healthy rows take seconds, not two minutes")
    parser.add_argument("--page", action="store_true", help="only write docs/faults.md again")
    parser.add_argument("--keep", type=Path, help="a folder, not there yet, for the logs of servers and agents")
    options = parser.parse_args()
    if options.page:
        PAGE.write_text(as_markdown(load()), encoding="utf-8")
        return 0
    kinds = [kind for kind in SERVERS if kind.name in (options.server or kind.name)]
    faults = [fault for fault in FAULTS if fault.name in (options.fault or [fault.name])]
    pace = SHORT if options.short else FULL
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {line}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as home:
        with played(kinds, faults, pace, options.keep or Path(home), say) as futures:
            problems = {key: future.exception() for key, future in futures.items()}
        cells = tuple(future.result() for key, future in futures.items() if problems[key] is None)
    measured = Measured(cells=cells, pace=pace, machine=machine())
    print(servers_of(measured))
    for key, problem in problems.items():
        if problem is not None:
            print(f"{key[0]}, {key[1]}: {problem}", file=sys.stderr)
    wrong = {(cell.server, cell.fault): cell.problem() for cell in cells if cell.problem()}
    for key, what in wrong.items():
        print(f"{key[0]}, {key[1]}: {what}{' (known)' if key in KNOWN else ''}", file=sys.stderr)
    whole = not (options.server or options.fault or options.short)
    if whole and all(problem is None for problem in problems.values()):
        save(measured)
        PAGE.write_text(as_markdown(measured), encoding="utf-8")
        print(f"\nwritten to {PAGE} and {MEASURED}")
    return 1 if wrong.keys() - KNOWN or any(problems.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
