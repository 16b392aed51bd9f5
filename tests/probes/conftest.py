"""What every probe owes, whatever its target did: no descriptor, no task and no unhandled exception is left."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trustme

from .support import descriptors


@pytest.fixture(autouse=True)
async def _nothing_left() -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    unhandled: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    before = descriptors()
    yield
    for _ in range(200):
        if descriptors() <= before and asyncio.all_tasks() == {asyncio.current_task()}:
            break
        await asyncio.sleep(0.005)
    assert descriptors() <= before
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert unhandled == []


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def served(authority: trustme.CA) -> ssl.SSLContext:
    """A server's side of TLS, with a certificate of its own authority for localhost and 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context
