"""What the docker runtime leaves open is settled by the container's name and the variables of the docker CLI."""

import pytest

from agent.runtimes.docker import Docker

HERE = "unix:///var/run/docker.sock"


@pytest.mark.parametrize(
    ("options", "environ", "settled"),
    [
        ({}, {}, {"container": "model", "host": HERE}),
        ({"container": "other"}, {}, {"container": "other", "host": HERE}),
        ({"service": "model"}, {}, {"service": "model", "container": None, "host": HERE}),
        ({}, {"DOCKER_HOST": "unix:///run/user/1000/docker.sock"}, {"host": "unix:///run/user/1000/docker.sock"}),
        ({}, {"DOCKER_HOST": ""}, {"host": HERE}),
        ({"host": "tcp://proxy:2375"}, {"DOCKER_HOST": "tcp://other:2375"}, {"host": "tcp://proxy:2375"}),
        (
            {},
            {"DOCKER_HOST": "tcp://far:2376", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/certs"},
            {"host": "tcp://far:2376", "cert_path": "/certs"},
        ),
        ({}, {"DOCKER_HOST": "tcp://far:2375", "DOCKER_CERT_PATH": "/certs"}, {"cert_path": None}),
        ({}, {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/certs"}, {"cert_path": None}),
        ({"cert_path": "/mine"}, {"DOCKER_HOST": "tcp://far:2376"}, {"cert_path": "/mine"}),
    ],
)
def test_the_document_wins_over_the_environment(
    options: dict[str, str], environ: dict[str, str], settled: dict[str, str | None]
) -> None:
    found = Docker(**options).settled("model", environ)
    assert {key: getattr(found, key) for key in settled} == settled
    assert found.check_options() == [] or found.cert_path is not None


async def test_an_engine_of_the_environment_that_is_not_spoken_to_is_told() -> None:
    server = Docker().settled("model", {"DOCKER_HOST": "ssh://me@there"})
    with pytest.raises(OSError, match=r"ssh://me@there: must be unix:///PATH or tcp://HOST:PORT"):
        await server.instance()
