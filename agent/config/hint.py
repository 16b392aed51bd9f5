"""Where to listen while the configuration is broken."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from agent.config.expand import Expansion
from agent.config.parse import parse
from agent.config.problems import ConfigError
from agent.config.sources import SourceRef, read_text
from agent.config.syntax import resolved
from agent.config.tree import Node
from agent.core.settings import Server

_VARIABLE: Final = "HEALTH_AGENT_SERVER__PORT"


def listen_port_hint(sources: Sequence[SourceRef], environ: Mapping[str, str]) -> int:
    """The public listener's port as far as it can be told: the variable, else `server.port` of the last document that
    has one, read up to its fault, else the default.
    """
    candidates: list[Any] = [resolved(environ.get(_VARIABLE, ""))]
    candidates += [_port_in(source, environ) for source in reversed(sources)]
    return next((port for port in candidates if _is_port(port)), Server().port)


def _is_port(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 65535


def _port_in(source: SourceRef, environ: Mapping[str, str]) -> Any:
    try:
        documents = parse(read_text(source), source.name).documents
    except ConfigError:
        return None
    root = documents[0] if documents else None
    server = root.value.get("server") if root is not None and isinstance(root.value, dict) else None
    port: Node | None = server.value.get("port") if server is not None and isinstance(server.value, dict) else None
    if port is None or not isinstance(port.value, str):
        return None if port is None else port.value
    try:
        return resolved(Expansion(environ).expand(port.value))
    except ValueError:
        return None
