"""Puts the agent into a Compose file: one more service, which looks at the others by their names on the network."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from agent.config.hosts import is_loopback
from agent.render.document import Agent
from agent.render.options import RenderError, Settings
from agent.render.servers import Server
from agent.render.sidecar import ARGUMENTS, GPUS, NAME, PORT_VARIABLE, serves
from agent.render.yaml_text import Path, to_yaml

CONFIG_VARIABLE: Final = "HEALTH_AGENT_CONFIG"
BLOCK: Final = "x-health-agent"
PROCESSES: Final = "processes"
OWN_NETWORK: Final = f"service:{NAME}"
_SOCKET: Final = "/var/run/docker.sock"
_GROUP: Final = f"${{DOCKER_GROUP_ID:?the group of {_SOCKET} (stat -c %g)}}"
_ORDER: Final = (
    "image", "entrypoint", "command", "user", "group_add", "environment", "network_mode", "networks", "pid", "ports",
    "volumes", "restart", "read_only", "cap_drop", "security_opt",
)  # fmt: skip


def has_agent(document: Mapping[str, Any]) -> bool:
    services = document.get("services") or {}
    return any(_is_agent(service) for service in services.values() if isinstance(service, dict))


def _is_agent(service: Mapping[str, Any]) -> bool:
    environment = service.get("environment") or {}
    names = environment if isinstance(environment, dict) else [str(word).partition("=")[0] for word in environment]
    return PORT_VARIABLE in names and serves(service.get("command"), service.get("entrypoint"))


def inject(document: dict[str, Any], agent: Agent, settings: Settings) -> None:
    """Put the agent into ``document``; its own document is told where the servers are. Raises RenderError."""
    services = document["services"]
    if NAME in services:
        raise RenderError(f"there is a service named {NAME} that was not rendered: rename it, or take it out")
    for service in services.values():
        if isinstance(service, dict):
            service.pop(BLOCK, None)
    document.pop(BLOCK, None)
    guarded = {one.name: services[one.name] for one in agent.config.containers if one.name in services}
    added: dict[str, Any] = {"image": settings.image, "command": list(ARGUMENTS), "restart": "unless-stopped"}
    _connect(added, guarded, agent)
    added["environment"] = _environment(agent)
    added |= {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}
    if agent.runtimes("process"):
        _share_processes(services, guarded, added, settings)
    volumes = [f"{_volume(at)}:{path}" for at, path in enumerate(agent.folders)]
    if agent.runtimes("docker"):
        added["group_add"] = [_GROUP]
        volumes.append(f"{_SOCKET}:{_SOCKET}")
    if volumes:
        added["volumes"] = volumes
    services[NAME] = {key: added[key] for key in _ORDER if key in added}
    if agent.folders:
        named = {_volume(at): None for at in range(len(agent.folders))}
        document["volumes"] = {**(document.get("volumes") or {}), **named}


def fresh(servers: Sequence[Server], agent: Agent, settings: Settings) -> dict[str, Any]:
    """A whole Compose file for servers that come from elsewhere."""
    document: dict[str, Any] = {"services": {server.name: _server(server) for server in servers}}
    inject(document, agent, settings)
    return document


def _connect(added: dict[str, Any], guarded: Mapping[str, dict[str, Any]], agent: Agent) -> None:
    """Put the agent where it reaches the servers, and say so in its document.

    It joins their networks: a shared namespace dies with the server whose it is. A server may join the agent's own.
    """
    published = [f"127.0.0.1:{agent.port}:{agent.port}"]
    modes = {name: str(service.get("network_mode") or "") for name, service in guarded.items()}
    for name, mode in modes.items():
        if mode.startswith(("container:", "none")) or (mode.startswith("service:") and mode != OWN_NETWORK):
            raise RenderError(
                f"services.{name}: with network_mode {mode} the agent can't reach it: leave that out, or let it join "
                f"the agent's network: network_mode: {OWN_NETWORK}"
            )
    if "host" in modes.values():
        if set(modes.values()) != {"host"}:
            raise RenderError(f"some of {', '.join(modes)} are on the host's network and some are not: use two files")
        added["network_mode"] = "host"
        published = []
    for container in agent.document["containers"]:
        mode = modes.get(container["name"], "")
        _place(container, "127.0.0.1" if mode in {"host", OWN_NETWORK} else container["name"])
    for name, mode in modes.items():
        if mode == OWN_NETWORK:  # whoever owns the network publishes the ports
            published = [*guarded[name].pop("ports", []), *published]
    networks = _joined(service for service in guarded.values() if not service.get("network_mode"))
    if networks:
        added["networks"] = networks
    if published:
        added["ports"] = published


def _place(container: dict[str, Any], host: str) -> None:
    """Loopback is not where the server is any more, or only there; another host is somebody's own choice."""
    said = container.pop("host", "127.0.0.1")
    own = said if not is_loopback(said) and said not in {container["name"], NAME} else host
    rest = {key: value for key, value in container.items() if key != "name"}
    container |= {"name": container["name"]}
    for key in rest:
        del container[key]
    container |= {"host": own, **rest}
    for key in ("startup_check", "readiness_check", "liveness_check"):
        checks = container.get(key) or []
        for check in checks if isinstance(checks, list) else [checks]:
            for options in check.values():
                if isinstance(options, dict) and is_loopback(str(options.get("host", ""))):
                    options["host"] = host


def _joined(services: Iterable[Mapping[str, Any]]) -> list[str]:
    """The networks that these services are on, each once; none where all of them are on the default one alone."""
    named = [[str(name) for name in service.get("networks") or ["default"]] for service in services]
    found = list(dict.fromkeys(name for names in named for name in names))
    return [] if found == ["default"] else found


def _environment(agent: Agent) -> dict[str, str]:
    """The configuration in a variable, which works with every Compose; its own `$` are doubled."""
    text = to_yaml(agent.document).replace("$", "$$")
    told = {name: f"${{{name}}}" if needed else f"${{{name}:-}}" for name, needed in agent.variables.items()}
    return {**told, **(GPUS if agent.gpus else {}), PORT_VARIABLE: str(agent.port), CONFIG_VARIABLE: text}


def _share_processes(
    services: dict[str, Any], guarded: Mapping[str, dict[str, Any]], added: dict[str, Any], settings: Settings
) -> None:
    """One process namespace, of a third container that only sleeps: neither end takes the other one down."""
    owners = {str(service["pid"]) for service in guarded.values() if service.get("pid")}
    if len(owners) > 1:
        raise RenderError(f"the servers are in several process namespaces ({', '.join(sorted(owners))}): use one")
    owner = next(iter(owners), f"service:{PROCESSES}")
    for service in guarded.values():
        service["pid"] = owner
    added["pid"] = owner
    added["user"] = next((str(service["user"]) for service in guarded.values() if "user" in service), "0")
    if not owners:
        services[PROCESSES] = {
            "image": settings.image,
            "entrypoint": ["sleep", "infinity"],
            "init": True,
            "restart": "unless-stopped",
            "network_mode": "none",
            "healthcheck": {"disable": True},
        }


def _volume(number: int) -> str:
    return f"health-agent-state{f'-{number + 1}' if number else ''}"


def _server(server: Server) -> dict[str, Any]:
    service: dict[str, Any] = {"image": server.image}
    if server.entrypoint:
        service["entrypoint"] = [word.replace("$", "$$") for word in server.entrypoint]
    if server.arguments:
        service["command"] = [word.replace("$", "$$") for word in server.arguments]
    if server.variables:
        service["environment"] = {
            name: f"${{{name}}}" if value is None else value.replace("$", "$$")
            for name, value in server.variables.items()
        }
    if server.ports:
        service["ports"] = [f"{port}:{port}" for port in server.ports]
    service["restart"] = "unless-stopped"
    return service


_AGENT: Final = ("The health agent, without privileges; its status page and metrics are on this machine's loopback.",)
_SOCKET_REMARK: Final = (
    "Who may write to the engine's socket is root on this machine. It is the socket's group's:",
    f"  echo DOCKER_GROUP_ID=$(stat -c %g {_SOCKET}) >> .env",
)
_PROCESSES_REMARK: Final = (
    "Holds the process namespace, as a pod does: the agent ends a server that hangs with a signal, Docker's restart",
    "policy starts it again, and neither takes the other one down.",
)
_USER: Final = ("The server's user, which is why it may signal the server.",)
_OWNER: Final = (
    "The server is in the agent's network namespace, which stays when the server is restarted; whoever makes the",
    "agent's container anew makes the server's anew too, as `up` does.",
)


def remarks(document: Mapping[str, Any]) -> dict[Path, tuple[str, ...]]:
    """Path to comment; they follow from what the file holds, so that rendering again says the same."""
    return dict(_remarks(document))


def _remarks(document: Mapping[str, Any]) -> Iterator[tuple[Path, tuple[str, ...]]]:
    for name, service in document["services"].items():
        at: Path = ("services", name)
        if not isinstance(service, dict):
            continue
        if _is_agent(service):
            yield at, _AGENT
            if "group_add" in service:
                yield (*at, "group_add"), _SOCKET_REMARK
            if "user" in service:
                yield (*at, "user"), _USER
        elif name == PROCESSES:
            yield at, _PROCESSES_REMARK
        elif service.get("network_mode") == OWN_NETWORK:
            yield (*at, "network_mode"), _OWNER
