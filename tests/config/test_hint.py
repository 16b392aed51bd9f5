"""Where a broken configuration is served."""

import pytest

from agent.config import SourceRef, listen_port_hint
from config.support import source


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("server: {port: 9900}\ncontainers: [", 9900),
        ("server:\n  port: 9900\n  prot: 1\n  port: 9901\n", 9900),
        ('{"server": {"port": 9900}, "containers": [{"name": ]}', 9900),
        ("server:\n  port: ${PORT}\n", 9902),
        ("server:\n  port: ${NO_PORT}\n", 9809),
        ("containers: [\nserver: {port: 9900}\n", 9809),
        ("server: {port: 99999}\n", 9809),
        ("server: {port: true}\n", 9809),
        ("server: 9900\n", 9809),
        ("[1]", 9809),
        ("", 9809),
        (b"\0", 9809),
    ],
)
def test_the_port_is_taken_from_what_can_be_read(text: str, port: int) -> None:
    assert listen_port_hint([source(text)], {"PORT": "9902"}) == port


def test_the_variable_wins_and_later_documents_do() -> None:
    one, two = source("server: {port: 1}\nx: ["), source("server: {port: 2}")
    missing = SourceRef("none", "/nonexistent/none.yaml")
    assert listen_port_hint([one, two, missing], {}) == 2
    assert listen_port_hint([one, two], {"HEALTH_AGENT_SERVER__PORT": "3"}) == 3
    assert listen_port_hint([one], {"HEALTH_AGENT_SERVER__PORT": "three"}) == 1
