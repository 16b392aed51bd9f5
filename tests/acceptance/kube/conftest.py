"""Fixtures of the suite on a real kubelet: its pods all run at once, each test looks at its own."""

import os
from collections.abc import Iterator

import pytest

from tests.acceptance.engine import need_engine
from tests.acceptance.kube.pods import Pods, build_images
from tests.kube.cluster import MissingError, Namespace, kubectl_path


@pytest.fixture(scope="session")
def pods(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    """The pods of every selected test, started: they are the arguments of its mark `kube`."""
    try:
        kubectl_path()
    except MissingError as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    need_engine()
    build_images()
    made = Pods(Namespace(tmp_path_factory.mktemp("kube")))
    try:
        made.grant("instance", "events")
        marks = [mark for item in request.session.items for mark in item.iter_markers("kube")]
        given = [pod for mark in marks for pod in mark.args]
        # Last those whose every status counts: the kubelet tells the API server of two changes a second, and of the
        # last one alone where it comes too late.
        watched = [pod for pod in given if pod["metadata"]["labels"].get("side") == "kubelet"]
        made.start([pod for pod in given if pod not in watched])
        made.start(watched)
        yield made
    finally:
        made.close()
