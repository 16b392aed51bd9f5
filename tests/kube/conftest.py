"""Fixtures of the tests on a real cluster: a namespace each module has to itself, gone when it is over."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.kube import cluster
from tests.kube.cluster import MissingError, Namespace
from tests.runtimes.support import descriptors, until


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs the cluster."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.kube)


@pytest.fixture(scope="module")
def namespace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    """A namespace whose service account may do everything that deploy/ has a Role for."""
    try:
        cluster.kubectl_path()
    except MissingError as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    with cluster.namespace(tmp_path_factory.mktemp("account")) as made:
        made.grant("instance", "exec", "evict", "delete", "events")
        made.mount()
        yield made


@pytest.fixture(autouse=True)
async def nothing_open() -> AsyncIterator[None]:
    """Every connection that a test opened is closed; TLS takes its leave of the server in its own time."""
    before = descriptors()
    yield
    await until(lambda: descriptors() <= before, seconds=10)
