"""Measures every row and writes docs/performance.md; `python -m bench NAME...` measures and prints some rows only."""

import sys
import tempfile
from pathlib import Path

from bench.measurements import ALL, Row, import_memory
from bench.report import as_markdown, as_text

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"


def main() -> int:
    wanted = sys.argv[1:]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as home:
        for measure in ALL:
            if not wanted or measure.__name__ in wanted:
                print(f"measuring {measure.__name__.replace('_', ' ')} ...", file=sys.stderr, flush=True)
                rows += measure(Path(home))
    print(as_text(rows))
    if not wanted:
        PAGE.write_text(as_markdown(rows, import_memory()), encoding="utf-8")
        print(f"\nwritten to {PAGE}")
    return 1 if any(row.holds is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
