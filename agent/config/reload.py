"""What a reload must know: whether the files changed, and which changes only a restart can follow."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.config.sources import MAX_BYTES
from agent.core.settings import Config


def fingerprint(files: Sequence[str]) -> str:
    """A digest of the files' content, through whatever links a ConfigMap mount makes of them; blocking."""
    digest = hashlib.sha256()
    for name in files:
        try:
            with Path(name).open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except OSError as problem:
            content = repr(problem.errno).encode()
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()


def changed_listeners(before: Config, after: Config) -> Iterator[str]:
    """The settings that changed and that a running agent can't follow."""
    if (before.server.host, before.server.port) != (after.server.host, after.server.port):
        yield "server.host or server.port"
    if before.admin != after.admin:
        yield "admin"
    if before.state_file != after.state_file:
        yield "state_file"
