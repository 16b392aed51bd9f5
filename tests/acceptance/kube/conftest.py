"""Fixtures of the suite on a real kubelet: its pods all run at once, each test looks at its own."""

import os
from collections.abc import Iterator

import pytest

from tests.acceptance.kube.cluster import MissingError, Namespace, build_images, kubectl_path, namespace


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    """A namespace in which the pods of every selected test have been started (the arguments of their mark `kube`)."""
    try:
        kubectl_path()
    except MissingError as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    build_images()
    with namespace(tmp_path_factory.mktemp("kube")) as made:
        made.grant("instance", "events")
        marks = [mark for item in request.session.items for mark in item.iter_markers("kube")]
        pods = [pod for mark in marks for pod in mark.args]
        # Last those whose every status counts: the kubelet tells the API server of two changes a second, and of the
        # last one alone where it comes too late.
        watched = [pod for pod in pods if pod["metadata"]["labels"].get("side") == "kubelet"]
        made.start([pod for pod in pods if pod not in watched])
        made.start(watched)
        yield made
