"""docs/faults.md holds a whole run of the matrix, and is what this code makes of what was measured."""

from typing import Final

import pytest

from tests.faults.cells import Cell, Seen
from tests.faults.matrix import FAULTS, FULL, KNOWN, SERVERS
from tests.faults.page import PAGE, as_markdown, load, servers_of

EVERY: Final = {(kind.name, fault.name) for kind in SERVERS for fault in FAULTS if fault.applies(kind)}
FALSELY: Final = "**FALSELY restarted** after 11 s (hung)"
QUIET, KILLED = Seen(), Seen(unready=4.0, killed=11.0, reason="hung", check="liveness/progress")


def cell(wanted: str = "found", preset: Seen = KILLED, plain: Seen = QUIET, due: float = 12.0) -> Cell:
    assert wanted in ("found", "quiet")
    return Cell(
        server="mosec", fault="stopped", wanted="found" if wanted == "found" else "quiet", due=due, plain=plain,
        preset=preset,
    )  # fmt: skip


def test_the_page_is_what_this_code_makes_of_the_last_measurement() -> None:
    """A page edited by hand, or rows that were changed and not played again, fail here: make faults."""
    assert PAGE.read_text(encoding="utf-8") == as_markdown(load())


def test_the_page_has_every_row_of_every_server_from_a_run_with_the_full_times() -> None:
    """And the verdict that was wanted of each is still the one that is wanted."""
    measured = load()
    assert {(cell.server, cell.fault) for cell in measured.cells} == EVERY
    assert measured.pace == FULL
    page = PAGE.read_text(encoding="utf-8")
    for kind in SERVERS:
        _, _, section = page.partition(f"### {kind.name} ")
        rows = section.partition("\n### ")[0]
        assert all(f"| {fault.title} |" in rows for fault in FAULTS), kind.name
    wanted = {(kind.name, fault.name): fault.wanted_of(kind) for kind in SERVERS for fault in FAULTS}
    assert all(cell.wanted == wanted[cell.server, cell.fault] for cell in measured.cells)


def test_what_a_preset_got_wrong_is_known_and_told_with_its_reason() -> None:
    """A cell that fails stands on the page as it is; one that nobody has accounted for does not get there."""
    measured = load()
    wrong = {(cell.server, cell.fault): cell.problem() for cell in measured.cells if cell.problem()}
    assert {key: what for key, what in wrong.items() if key not in KNOWN} == {}
    tables = servers_of(measured)
    assert all(f"] {KNOWN[key]}." in tables for key in wrong)


@pytest.mark.parametrize(
    ("one", "problem"),
    [
        (cell(), ""),
        (cell(preset=QUIET), "missed"),
        (cell(preset=Seen(unready=4.0, killed=15.1)), "found after 15.1 s only, 12 s were due"),
        (cell(preset=Seen(unready=14.0, killed=11.0)), "in rotation until it was killed"),
        (cell(preset=Seen(killed=11.0)), "in rotation until it was killed"),
        (cell(preset=Seen(unready=4.0, killed=11.0, early=True)), "restarted before anything was done to it"),
        (cell("quiet", preset=QUIET), ""),
        (cell("quiet", preset=Seen(unready=2.0)), ""),
        (cell("quiet"), "restarted, for nothing (liveness/progress: hung)"),
    ],
)
def test_a_cell_is_held_to_its_promise(one: Cell, problem: str) -> None:
    """Late, in rotation, missed and for nothing are all told."""
    assert one.problem() == problem


@pytest.mark.parametrize(
    ("one", "plain", "preset"),
    [
        (cell(), "**missed**", "found after 11 s (hung), not ready after 4.0 s"),
        (cell("quiet", plain=KILLED), FALSELY, FALSELY),
        (cell("quiet", preset=QUIET), "quiet", "quiet"),
        (cell("quiet", preset=Seen(unready=2.0)), "quiet", "left alone, not ready meanwhile"),
    ],
)  # fmt: skip
def test_a_cell_tells_what_was_seen(one: Cell, plain: str, preset: str) -> None:
    """In the words of the page."""
    assert (one.told(one.plain), one.told(one.preset)) == (plain, preset)
