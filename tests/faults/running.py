"""Plays the rows side by side, two at a time, and says how far it is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.acceptance.model_servers import Kind, install
from tests.faults.cells import Cell
from tests.faults.matrix import Fault, Pace, play

AT_ONCE: Final = 2
"""Rows, each with a server of its own; more would disturb each other on two cores."""

Key = tuple[str, str]
"""The names of the server and of the fault."""


@contextmanager
def played(
    kinds: Sequence[Kind], faults: Sequence[Fault], pace: Pace, home: Path, say: Callable[[str], None]
) -> Iterator[Mapping[Key, "Future[Cell]"]]:
    """The cells to come; leaving before all are there gives the rest up."""
    futures: dict[Key, Future[Cell]] = {
        (kind.name, fault.name): Future() for kind in kinds for fault in faults if fault.applies(kind)
    }

    def one_row(kind: Kind, fault: Fault) -> None:
        future = futures[kind.name, fault.name]
        if not future.set_running_or_notify_cancel():
            return
        try:
            install(kind, say)
            cell = play(fault, kind, home / kind.name / fault.name, pace)
        except BaseException as problem:  # noqa: BLE001 - whoever asks for the cell is told
            say(f"{kind.name}, {fault.title}: FAILED {type(problem).__name__}")
            future.set_exception(problem)
        else:
            say(f"{kind.name}, {fault.title}: plain {cell.told(cell.plain)} | preset {cell.told(cell.preset)}")
            future.set_result(cell)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for kind in kinds:
            for fault in faults:
                if fault.applies(kind):
                    pool.submit(one_row, kind, fault)
        try:
            yield futures
        finally:
            for future in futures.values():
                future.cancel()
