"""Puts the agent into an EAS service.json: one more container, which the server's checks ask from then on."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from agent.config.eas import RESERVED_PORTS, Semantics
from agent.core.model import CheckType
from agent.render.document import Agent
from agent.render.options import Note, RenderError, Settings
from agent.render.servers import Server
from agent.render.sidecar import ARGUMENTS, GPUS, NAME, PORT_VARIABLE, is_agent
from agent.render.windows import Window, windows
from agent.render.yaml_text import Plain, to_flow, to_yaml

CONFIG_VARIABLE: Final = "HEALTH_AGENT_CONFIG"
_ORDER: Final = (CheckType.STARTUP, CheckType.READINESS, CheckType.LIVENESS)
_OLD_CHECKS: Final = (*(f"{kind}_check" for kind in CheckType), "health_check")
_BLOCKS: Final = {
    **{f"{kind}_check": f"HEALTH_AGENT_{kind.upper()}_CHECK" for kind in _ORDER},
    "restart": "HEALTH_AGENT_RESTART",
    "runtime": "HEALTH_AGENT_RUNTIME",
}
_SCALARS: Final = {
    "name": "HEALTH_AGENT_CONTAINER",
    "host": "HEALTH_AGENT_TARGET_HOST",
    "port": "HEALTH_AGENT_TARGET_PORT",
    "preset": "HEALTH_AGENT_PRESET",
}


def container_name(number: int, container: Mapping[str, Any]) -> str:
    """What the agent calls a container of a service.json (contract 1)."""
    name = container.get("name")
    return name if isinstance(name, str) and name else f"container-{number}"


def has_agent(document: Mapping[str, Any]) -> bool:
    return any(is_agent(one) for one in document.get("containers") or [] if isinstance(one, dict))


def inject(document: dict[str, Any], agent: Agent, settings: Settings, semantics: Semantics) -> None:
    """Put the agent into ``document``. Raises RenderError."""
    names = [container_name(number, container) for number, container in enumerate(document["containers"])]
    _inject(document, names, agent, settings, semantics)


def fresh(servers: Sequence[Server], agent: Agent, settings: Settings, semantics: Semantics) -> dict[str, Any]:
    """A whole service.json for servers that come from elsewhere."""
    document: dict[str, Any] = {
        "metadata": {"name": settings.name or servers[0].name, "instance": 1, "enable_webservice": True},
        "containers": [_container(server) for server in servers],
    }
    _inject(document, [server.name for server in servers], agent, settings, semantics)
    return document


def _inject(
    document: dict[str, Any], names: Sequence[str], agent: Agent, settings: Settings, semantics: Semantics
) -> None:
    if agent.port in RESERVED_PORTS:
        raise RenderError(f"port {agent.port} is the EAS engine's own: give the agent another one with --port")
    for written in agent.document["containers"]:
        for kind in written.get("runtime") or ():
            raise RenderError(f"{written['name']}: EAS has no {kind} runtime: leave it out, EAS restarts the server")
    for name, container in zip(names, document["containers"], strict=True):
        if container.get("port") == agent.port:
            raise RenderError(f"port {agent.port} is {name}'s: give the agent another one with --port")
        spec = agent.container(name)
        if spec is not None:
            _point_at(container, windows(spec), agent.port, semantics)
    document["containers"].append(
        {
            "image": settings.image,
            "command": shlex.join([NAME, *ARGUMENTS]),
            "port": agent.port,
            "env": [{"name": name, "value": value} for name, value in variables(agent).items()],
        }
    )


def variables(agent: Agent) -> dict[str, str]:
    """The agent's configuration as variables: one by one where that says it all, else the document in one of them."""
    found = {**(GPUS if agent.gpus else {}), PORT_VARIABLE: str(agent.port)}
    containers = agent.document["containers"]
    if len(containers) > 1 or agent.document.keys() != {"containers"} or containers[0].keys() - {*_BLOCKS, *_SCALARS}:
        return {**found, CONFIG_VARIABLE: _text(agent.document)}
    for key, value in containers[0].items():
        found[{**_BLOCKS, **_SCALARS}[key]] = _text(value) if key in _BLOCKS else str(value)
    return found


def to_text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _text(value: Any) -> str:
    """In one line, unless something in it can only stand on a line of its own."""
    return to_yaml(value) if _holds_plain(value) else to_flow(value)


def _holds_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_plain, value.values()))
    if isinstance(value, list):
        return any(map(_holds_plain, value))
    return isinstance(value, Plain)


def _point_at(container: dict[str, Any], wanted: Mapping[CheckType, Window], port: int, semantics: Semantics) -> None:
    for key in _OLD_CHECKS:
        container.pop(key, None)
    for kind in _ORDER:
        if kind in wanted:
            window = wanted[kind]
            failures, successes = window.failures, 1
            if semantics == "eas-page":  # the page has the two names swapped
                failures, successes = successes, failures
            container[f"{kind}_check"] = {
                "http_get": {"path": window.path, "port": port},
                "period_seconds": window.period,
                "timeout_seconds": window.timeout,
                "success_threshold": successes,
                "failure_threshold": failures,
            }


def told_of(servers: Sequence[Server]) -> Iterator[Note]:
    """A command takes the place of all that an image would run, its entrypoint too (EAS)."""
    for server in servers:
        if server.arguments and not server.entrypoint:
            told = f"{server.name}: only its arguments are known, and EAS wants the program too: put it before them"
            yield Note("W-RENDER-COMMAND", told)


def _container(server: Server) -> dict[str, Any]:
    container: dict[str, Any] = {"image": server.image}
    if server.variables:
        container["env"] = [{"name": name, "value": value or ""} for name, value in server.variables.items()]
    if server.command:
        container["command"] = shlex.join(server.command)
    if server.ports:
        container["port"] = server.ports[0]
    return container
