"""The agent's own document, as it is written beside the server, and what it asks of the place where it will run."""

import re
from collections.abc import Collection, Iterator
from posixpath import dirname
from typing import Any, Final

import msgspec

from agent.config import Loaded
from agent.config.decode import struct_fields
from agent.config.shapes import CheckFields, ContainerFields, Document
from agent.core.model import CheckType
from agent.core.settings import Config, Container, Restart
from agent.render.trees import native

_VARIABLE: Final = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(:-)?")
_LOOPBACK: Final = "127.0.0.1"
_URL: Final = re.compile(r"([a-z]+://)([^/:?#@]+)(?=[/:?#]|$)")
_WRITES: Final = frozenset({"state_file", "evidence_dir"})
_READS: Final = re.compile(r"[a-z_]+_file")
_CHECKS: Final = tuple(f"{kind}_check" for kind in CheckType)
_USUAL: Final[dict[str, dict[str, Any]]] = {
    "check": {"initial_delay_seconds": 0, "success_threshold": 1},
    "http_get": {"scheme": "http"},
    "grpc": {"service": "", "tls": False},
    "restart": {"policy": "Always", "grace_period_seconds": 30},
}
"""What other formats' absent keys became on their way here, and what they would be anyway."""


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """An agent to be put beside servers: its configuration, and the document that says the same."""

    config: Config
    document: dict[str, Any]
    port: int

    def container(self, name: str) -> Container | None:
        return next((one for one in self.config.containers if one.name == name), None)

    @property
    def variables(self) -> dict[str, bool]:
        """The environment variables that the document refers to, in the order in which it does, and whether it needs
        them: one with a default may be absent.
        """
        found: dict[str, bool] = {}
        for name, needed in _variables(self.document):
            found[name] = found.get(name, False) or needed
        return found

    @property
    def folders(self) -> list[str]:
        """Where the agent writes, none within another: they outlive its own restart."""
        paths = [value if key == "evidence_dir" else dirname(value) for key, value in _paths(self.document, _WRITES)]
        admin = self.document.get("admin")
        if isinstance(admin, dict) and isinstance(admin.get("socket"), str):
            paths.append(dirname(admin["socket"]))
        found = list(dict.fromkeys(path.rstrip("/") or "/" for path in paths))
        return [path for path in found if not any(path.startswith(f"{other}/") for other in found)]

    @property
    def files(self) -> list[str]:
        """Files that the agent reads and that nobody but their owner can put beside it: keys, tokens, authorities."""
        keys = {key for key, _ in _strings(self.document) if _READS.fullmatch(key)} - _WRITES
        return list(dict.fromkeys(value for _, value in _paths(self.document, frozenset(keys))))

    def runtimes(self, kind: str) -> list[Container]:
        """The containers whose runtime is ``kind``."""
        named = {one["name"] for one in self.document["containers"] if kind in (one.get("runtime") or {})}
        return [one for one in self.config.containers if one.name in named]

    @property
    def gpus(self) -> bool:
        """Whether a check asks the GPUs' driver."""
        return any(check.method == "gpu" for one in self.config.containers for check in one.checks())

    def runs_inside(self) -> list[Container]:
        """The containers in which commands are to run."""
        return [
            one
            for one in self.config.containers
            if any(check.method == "exec" and check.options.in_ == "container" for check in one.checks())
        ]


def acts(container: Container) -> dict[str, Any]:
    """Every action that may be taken, the steps of an escalation too, by name."""
    restart = container.restart
    steps = {step.action_name: step.action for step in restart.escalations}
    return {**steps, restart.action_name: restart.action}


def agent_of(loaded: Loaded) -> Agent:
    """The agent that a configuration describes. Its listener's port is not in the document: a variable tells it."""
    document = _ordered(native(loaded), Document)
    document["containers"] = [_container(one) for one in document["containers"]]
    server = document.get("server") or {}
    server.pop("port", None)
    if not server:
        document.pop("server", None)
    return Agent(config=loaded.config, document=document, port=loaded.config.server.port)


def beside(agent: Agent, hosts: Collection[str]) -> None:
    """The servers that were ``hosts`` of a network share the agent's from now on: its document is told so."""
    agent.document["containers"] = [_on_loopback(one, hosts) for one in agent.document["containers"]]
    for container in agent.document["containers"]:
        if container.get("host") == _LOOPBACK:
            del container["host"]  # where servers are looked for anyway


def _on_loopback(value: Any, hosts: Collection[str], key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _on_loopback(child, hosts, name) for name, child in value.items()}
    if isinstance(value, list):
        return [_on_loopback(child, hosts, key) for child in value]
    if key == "host" and value in hosts:
        return _LOOPBACK
    if key == "url" and isinstance(value, str) and (found := _URL.match(value)) and found[2] in hosts:
        return f"{found[1]}{_LOOPBACK}{value[found.end() :]}"
    return value


def _container(written: dict[str, Any]) -> dict[str, Any]:
    container = _ordered(written, ContainerFields)
    for key in _CHECKS:
        checks = container.get(key)
        if isinstance(checks, list):
            container[key] = [_check(check) for check in checks]
        elif isinstance(checks, dict):
            container[key] = _check(checks)
    if "restart" in container:
        container["restart"] = _unusual("restart", _ordered(container["restart"], Restart))
    return {key: value for key, value in container.items() if key != "restart" or value}


def _check(written: dict[str, Any]) -> dict[str, Any]:
    check = _unusual("check", _ordered(written, CheckFields))
    return {key: _unusual(key, value) if key in _USUAL else value for key, value in check.items()}


def _unusual(of: str, written: dict[str, Any]) -> dict[str, Any]:
    usual = _USUAL[of]
    return {key: value for key, value in written.items() if key not in usual or value != usual[key]}


def _ordered(written: dict[str, Any], cls: type) -> dict[str, Any]:
    """The keys in the order of the documentation, which is that of the struct; others (the method) after the name."""
    known = {field.encode_name: at for at, field in enumerate(struct_fields(cls))}
    kept = {key: value for key, value in written.items() if value is not None}
    return dict(sorted(kept.items(), key=lambda item: known.get(item[0], 0.5)))


def _variables(value: Any) -> Iterator[tuple[str, bool]]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for child in value:
            yield from _variables(child)
    elif isinstance(value, str):
        yield from ((found[1], found[2] is None) for found in _VARIABLE.finditer(value) if found[1])


def _strings(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every string below, with the key that leads to it."""
    if isinstance(value, dict):
        for name, child in value.items():
            yield from _strings(child, name)
    elif isinstance(value, list):
        for child in value:
            yield from _strings(child, key)
    elif isinstance(value, str):
        yield key, value


def _paths(document: dict[str, Any], keys: frozenset[str]) -> Iterator[tuple[str, str]]:
    """The absolute paths under these keys."""
    return ((key, value) for key, value in _strings(document) if key in keys and value.startswith("/"))
