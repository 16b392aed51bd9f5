"""The tcp_socket check: whoever accepts a connection is alive."""

from typing import Annotated

import msgspec
from msgspec import Meta

from agent.core.model import Result, Target, success
from agent.probes.parts.dial import connect
from agent.probes.parts.faults import Fault
from agent.probes.parts.names import host_problem

Port = Annotated[int, Meta(ge=1, le=65535)]


class TcpSocket(msgspec.Struct, frozen=True, kw_only=True):
    """Connects, sends nothing, reads nothing, closes."""

    port: Annotated[Port | str | None, Meta(description="number or name; null: the container's")] = None
    host: Annotated[str | None, Meta(description="null: the container's host")] = None

    def check_options(self) -> list[tuple[str, str]]:
        problem = None if self.host is None else host_problem(self.host)
        return [] if problem is None else [("host", problem)]

    async def probe(self, target: Target) -> Result:
        try:
            sock = await connect(self.host or target.host, target.port_of(self.port))
        except Fault as fault:
            return fault.result()
        sock.close()
        return success()
