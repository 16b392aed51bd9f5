"""Compose files to a native tree: the `x-health-agent` blocks of services, and what the engine says of their health."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from agent.config.compose_files import BLOCK, Project
from agent.config.decode import Decoder
from agent.config.ourselves import is_agent
from agent.config.tree import Node, Over, below, items, texts

_HERE: Final = "127.0.0.1"
_PRIVATE: Final = frozenset({"none", "bridge"})
"""Network modes in which a service has a namespace of its own and no name that others could look up."""


def native_tree(decoder: Decoder, project: Project, over: Over | None = None) -> Node | None:
    """The native tree of a project's services.

    None where no service is to be looked at and no other document is laid over it; that is reported.
    """
    containers = list(_Services(decoder, project, over or {}).containers())
    if not containers and over is None:
        if not decoder.problems:
            decoder.problems += decoder.warnings  # they say what was left out
            place = project.root.value["services"]
            decoder.report(place, f"no service to look after: none of them has an `{BLOCK}` block")
        return None
    root = project.root
    settings = project.settings
    if settings is not None and settings.value is not None and not isinstance(settings.value, dict):
        decoder.report(settings, "expected a map with keys of the native document, such as server and log")
        settings = None
    native = dict(settings.value) if settings is not None and settings.value else {}
    if "containers" in native:
        decoder.report(native["containers"], f"containers are the services: give each an `{BLOCK}` block")
    native["containers"] = Node(containers, root.file, root.line, "services")
    return Node(native, root.file, root.line, settings.path if settings is not None else "")


class _Services:
    """One project's services on their way."""

    def __init__(self, decoder: Decoder, project: Project, over: Over) -> None:
        self.decoder = decoder
        self.over = over
        self.project = project
        self.agents = {name for name, node in project.services.items() if BLOCK not in node.value and _is_agent(node)}

    def containers(self) -> Iterator[Node]:
        for name, node in self.project.services.items():
            if name not in self.agents and self._is_active(name, node):
                container = self._container(name, node)
                if container is not None:
                    yield container

    def _is_active(self, name: str, node: Node) -> bool:
        """Whether the service is started: those with profiles are only where one of them is wanted."""
        profiles = texts(node.value.get("profiles"))
        wanted = {word.strip() for word in self.project.variables.get("COMPOSE_PROFILES", "").split(",")}
        if not profiles or "*" in wanted or wanted.intersection(profiles):
            return True
        if BLOCK in node.value:
            self.decoder.warn(
                node.value[BLOCK],
                "W-COMPOSE-PROFILE",
                f"{name} is left out, its profile is not active: set COMPOSE_PROFILES={profiles[0]}",
            )
        return False

    def _container(self, name: str, node: Node) -> Node | None:
        """A service's block as a native container; what it does not say follows from the service."""
        block: Node | None = node.value.get(BLOCK)
        over = self.over.get(name)
        if block is None and over is None:
            self._healthcheck_unread(node)
            return None
        block = Node(None, node.file, node.line, below(node.path, BLOCK)) if block is None else block
        if block.value is not None and not isinstance(block.value, dict):
            return block  # the native reading says what is wrong with it
        native: dict[str, Node] = {"name": _literal(block, "name", name), **(block.value or {})}
        if "host" not in native:
            native["host"] = _literal(block, "host", self._host(name, block))
        port = _lone_port(node)
        if port is not None and "port" not in native:
            native["port"] = port
        said = {**native, **(over or {})}  # what will stand
        self._runtime(name, block, native, said)
        if not _holds(said.get("runtime"), "docker") and not _holds(native.get("runtime"), "docker"):
            self._healthcheck_unread(node)
        elif _has_healthcheck(node):
            verdict = node.value["healthcheck"]
            check = verdict.like({"engine_health": verdict.like({})})
            native.setdefault("readiness_check", check)
            if "restart" in said and said["restart"].value is not None:
                native.setdefault("liveness_check", check)
        return block.like(native)

    def _healthcheck_unread(self, node: Node) -> None:
        if _has_healthcheck(node):
            self.decoder.warn(
                node.value["healthcheck"],
                "W-COMPOSE-HEALTHCHECK",
                "left out, the engine itself runs it; its verdict is to be had with the docker runtime: "
                f"{BLOCK}: {{runtime: {{docker: {{}}}}}}",
            )

    def _runtime(self, name: str, block: Node, native: dict[str, Node], said: Mapping[str, Node]) -> None:
        """The docker runtime, where it is wanted, looks for the service's own container unless it is told another.

        ``native`` is the block's own word, ``said`` that with what is laid over it.
        """
        runtime = said.get("runtime")
        if runtime is None and _restarts_with_docker(said):
            runtime = _map(block, "runtime", {"docker": _map(block, "runtime.docker", {})})
        if runtime is None or not _holds(runtime, "docker"):
            return
        docker = runtime.value["docker"]
        told = {} if docker.value is None else docker.value
        if not isinstance(told, dict) or told.keys() & {"container", "service"}:
            return
        options = {"service": _literal(block, "runtime.docker.service", name)}
        # Beside its service the agent knows its project better: `docker compose -p` may have given it another name.
        own = None if self.agents else self.project.name
        project = self.project.variables.get("COMPOSE_PROJECT_NAME") or own
        if project:
            options["project"] = _literal(block, "runtime.docker.project", project)
        native["runtime"] = runtime.like({**runtime.value, "docker": docker.like({**options, **told})})

    def _host(self, name: str, block: Node) -> str:
        """Where a service is reached: by its name, or right here where the agent shares its network namespace."""
        namespace = self._namespace(name)
        if any(self._namespace(agent) == namespace for agent in self.agents):
            return _HERE
        kind, _, owner = namespace.partition(":")
        if kind == "service":
            return owner
        mode = kind if kind in _PRIVATE else namespace
        message = f"network_mode {mode}: no name leads to it; say in `{BLOCK}` which host does"
        self.decoder.warn(block, "W-COMPOSE-NETWORK", message)
        return name

    def _namespace(self, name: str) -> str:
        """Whose network namespace a service is in: `service:NAME`, `host`, `container:NAME`, `none:NAME`."""
        for _ in self.project.services:
            node = self.project.services.get(name)
            mode = "".join(texts(node.value.get("network_mode"))) if node is not None else ""
            if not mode.startswith("service:"):
                return f"{mode}:{name}" if mode in _PRIVATE else mode or f"service:{name}"
            name = mode.removeprefix("service:")
        return f"service:{name}"


def _literal(block: Node, path: str, value: str) -> Node:
    """What the block could have said itself at ``path``."""
    return Node(value, block.file, block.line, below(block.path, path), value, "literal")


def _map(block: Node, path: str, value: dict[str, Node]) -> Node:
    return Node(value, block.file, block.line, below(block.path, path))


def _holds(node: Node | None, key: str) -> bool:
    return node is not None and isinstance(node.value, dict) and key in node.value


def _restarts_with_docker(native: Mapping[str, Node]) -> bool:
    restart = native.get("restart")
    return restart is not None and _holds(restart, "action") and _holds(restart.value["action"], "docker")


def _has_healthcheck(node: Node) -> bool:
    """Whether the file gives the engine something to run; what the image brings is not known here."""
    check = node.value.get("healthcheck")
    if check is None or not isinstance(check.value, dict) or not check.value:
        return False
    disable = check.value.get("disable")
    if disable is not None and (disable.value is True or str(disable.value).lower() == "true"):
        return False
    return texts(check.value.get("test"))[:1] != ["NONE"]


def _lone_port(node: Node) -> Node | None:
    """The one TCP port that a service listens on, where it publishes or exposes just one."""
    found: dict[int, Node] = {}
    for key in ("ports", "expose"):
        for item in items(node.value.get(key)):
            port = _container_port(item)
            if port is None:
                return None
            found.setdefault(port.value, port)
    return next(iter(found.values())) if len(found) == 1 else None


_SHORT: Final = re.compile(r"(?:.*:)?(?P<port>[0-9]{1,5})(?:/tcp)?")


def _container_port(item: Node) -> Node | None:
    """The container's port of `8000`, `"127.0.0.1:80:8000/tcp"` or `{target: 8000}`; None for ranges and others."""
    target = item.value.get("target") if isinstance(item.value, dict) else item
    if target is None or isinstance(target.value, bool | dict | list | float):
        return None
    short = _SHORT.fullmatch(str(target.value))
    if short is None or not 1 <= int(short["port"]) <= 65535:
        return None
    return Node(int(short["port"]), target.file, target.line, target.path, short["port"])


def _is_agent(node: Node) -> bool:
    words = [word for key in ("entrypoint", "command") for word in texts(node.value.get(key))]
    words = [part for word in words for part in (word.split() if len(words) <= 2 else [word])]
    mounts = [place for key in ("volumes", "configs") for item in items(node.value.get(key)) for place in _mounts(item)]
    image = "".join(texts(node.value.get("image")))
    return is_agent(image, words, _variables(node.value.get("environment")), mounts)


def _variables(node: Node | None) -> Collection[str]:
    if node is not None and isinstance(node.value, dict):
        return node.value.keys()
    return [word.partition("=")[0] for word in texts(node)]


def _mounts(item: Node) -> list[str]:
    """Where something is mounted: the second part of `./config.yaml:/etc/health-agent/config.yaml:ro`, or `target`."""
    if isinstance(item.value, dict):
        return texts(item.value.get("target"))
    return "".join(texts(item)).split(":")[1:2]
