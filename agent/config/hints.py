"""What a lint rule finds, and the sets of methods that rules speak of."""

from typing import Final

import msgspec

from agent.core.model import Check

REQUESTS: Final = frozenset({"http_get", "tcp_socket", "grpc", "exec", "inference"})
"""Methods whose answer may just be late; the others have a clock of their own."""


class Hint(msgspec.Struct, frozen=True):
    """What a rule found: about a check, or about a field of the container, or the container as a whole."""

    message: str
    check: Check | None = None
    field: str = ""
