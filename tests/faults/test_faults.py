"""The fault matrix on real mosec and LitServe servers, briefly: what the presets promise holds in every cell."""

from collections.abc import Mapping
from concurrent.futures import Future

import pytest

from tests.faults.cells import Cell
from tests.faults.matrix import FAULTS, KNOWN, QUICK
from tests.faults.running import Key

pytestmark = pytest.mark.acceptance

CELL_SECONDS = 400.0
KEYS = [(kind.name, fault.name) for kind in QUICK for fault in FAULTS if fault.applies(kind)]


@pytest.mark.parametrize("key", KEYS, ids="-".join)
def test_a_preset_finds_what_is_wrong_in_time_and_leaves_alone_what_is_well(
    key: Key, cells: Mapping[Key, "Future[Cell]"]
) -> None:
    """A fault within its threshold and two periods, out of rotation before the kill; nothing healthy ever restarted."""
    problem = cells[key].result(CELL_SECONDS).problem()
    if key in KNOWN:
        assert problem, f"{KNOWN[key]}: no longer so? then it need not be excused any more"
    else:
        assert problem == ""


@pytest.mark.parametrize("key", [key for key in KEYS if key[1] in ("stopped", "deadlocked-idle")], ids="-".join)
def test_a_plain_check_of_the_health_endpoint_sees_no_hang_of_these_servers(
    key: Key, cells: Mapping[Key, "Future[Cell]"]
) -> None:
    """Else the rows would show nothing that needs a preset."""
    assert cells[key].result(CELL_SECONDS).plain.killed is None
