"""The check methods: one small file each, one line in the table below.

To add one: write `agent/probes/NAME.py` with a frozen msgspec struct whose fields are the options (documented with
`Meta(description=...)`) and whose `async def probe(self, target)` looks once (see `agent.core.model.Method`), then name
it here. Keys, types, defaults, documentation, JSON Schema and "did you mean" come from the struct.
"""

from collections.abc import Mapping
from typing import Final

METHODS: Final[Mapping[str, str]] = {
    "http_get": "agent.probes.http:HttpGet",
    "tcp_socket": "agent.probes.tcp:TcpSocket",
    "exec": "agent.probes.exec:Exec",
    "grpc": "agent.probes.grpc:Grpc",
    "engine_health": "agent.probes.engine_health:EngineHealth",
    "progress": "agent.probes.progress:Progress",
}
"""Method name to import string: a module is imported when the configuration uses it."""
