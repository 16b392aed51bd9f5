"""Which targets are the agent's own listener, told by address."""

import pytest

from agent.config.hosts import is_here, is_loopback, reaches


@pytest.mark.parametrize(
    ("host", "listener", "reached"),
    [
        ("127.0.0.1", None, True),
        ("localhost", None, True),
        ("192.0.2.7", None, False),  # another machine
        ("224.0.0.1", None, False),  # no machine, though a socket can be bound to it
        ("255.255.255.255", None, False),
        ("127.0.0.1", "127.0.0.1", True),
        ("localhost", "127.0.0.1", True),
        ("127.0.0.2", "127.0.0.1", False),
        ("127.0.0.1", "0.0.0.0", True),
        ("::1", "127.0.0.1", False),
        ("127.0.0.1", "192.0.2.7", False),
        ("192.0.2.7", "127.0.0.1", False),
    ],
)
def test_a_target_is_the_listener_where_a_connection_would_end_there(
    host: str, listener: str | None, reached: bool
) -> None:
    assert reaches(host, listener) is reached


def test_a_name_other_than_localhost_is_never_looked_up() -> None:
    assert not is_here("model.example")
    assert not is_loopback("model.example")
