"""Where the agent listens, told before the configuration is decoded, or although it can't be."""

from collections.abc import Iterable, Mapping, Sequence
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
    return listen_port((root for source in sources for root in _roots(source)), environ)


def listen_port(roots: Iterable[Node], environ: Mapping[str, str]) -> int:
    """The same of documents that are read already."""
    candidates: list[Any] = [resolved(environ.get(_VARIABLE, ""))]
    candidates += [_port_in(root, environ) for root in reversed(list(roots))]
    return next((port for port in candidates if _is_port(port)), Server().port)


def _is_port(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 65535


def _roots(source: SourceRef) -> list[Node]:
    try:
        return parse(read_text(source), source.name).documents
    except ConfigError:
        return []


def _port_in(root: Node, environ: Mapping[str, str]) -> Any:
    """`server.port` of a native document, or of the block that a Compose file has for it."""
    port = next(
        (found for path in ("server.port", "x-health-agent.server.port") if (found := _exactly(root, path))), None
    )
    if port is None or not isinstance(port.value, str):
        return None if port is None else port.value
    try:
        return resolved(Expansion(environ).expand(port.value))
    except ValueError:
        return None


def _exactly(root: Node, path: str) -> Node | None:
    node, rest = root.reached(path)
    return None if rest else node
