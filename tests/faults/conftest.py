"""The matrix of the two quick servers, played once for all the tests of its cells."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future

import pytest

from tests.faults.cells import Cell
from tests.faults.matrix import FAULTS, QUICK, SHORT
from tests.faults.running import Key, played


@pytest.fixture(scope="module")
def cells(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[Key, "Future[Cell]"]]:
    """What is asked for by the tests that were selected, and nothing else; each cell as soon as it is played."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{line}", flush=True)  # noqa: T201 - minutes pass

    wanted = {item.callspec.params["key"] for item in request.session.items if hasattr(item, "callspec")
              and "key" in item.callspec.params}  # fmt: skip
    faults = [fault for fault in FAULTS if any(fault.name == key[1] for key in wanted)]
    kinds = [kind for kind in QUICK if any(kind.name == key[0] for key in wanted)]
    with played(kinds, faults, SHORT, tmp_path_factory.mktemp("faults"), say) as found:
        yield found
