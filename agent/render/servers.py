"""A model server as other formats describe it: as much of it as every one of them can say."""

import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from agent.render.manifest import containers_of, pod_of

ELSEWHERE: Final = None
"""The value of a variable that comes from somewhere only its own format knows: a Secret, the shell."""


class Server(msgspec.Struct, kw_only=True):
    """One server. ``entrypoint`` and ``arguments`` are None where the image's own stand; ``left_out`` are the keys
    that have no place elsewhere.
    """

    name: str
    image: str | None = None
    entrypoint: list[str] | None = None
    arguments: list[str] | None = None
    variables: dict[str, str | None] = {}
    ports: list[int] = []
    left_out: list[str] = []

    @property
    def command(self) -> list[str]:
        """Everything that is run, as far as it is said."""
        return [*(self.entrypoint or []), *(self.arguments or [])]


def of_eas(document: Mapping[str, Any], name_of: Callable[[int, Mapping[str, Any]], str]) -> list[Server]:
    """The containers of a service.json."""
    return [
        Server(
            name=name_of(number, container),
            image=container.get("image"),
            entrypoint=_words(container.get("command") or container.get("script")),
            variables=_pairs(container.get("env")),
            ports=_numbers([container.get("port")]),
            left_out=_others(container, {"name", "image", "command", "script", "env", "port"}),
        )
        for number, container in enumerate(document.get("containers") or [])
    ]


def of_kubernetes(document: Mapping[str, Any]) -> list[Server]:
    """The containers of a workload's pod that keep running."""
    pod = pod_of(document) or {}
    left_out = _others(pod, {"containers", "initContainers", "restartPolicy", "terminationGracePeriodSeconds"})
    return [
        Server(
            name=str(container.get("name")),
            image=container.get("image"),
            entrypoint=_words(container.get("command")),
            arguments=_words(container.get("args")),
            variables=_pairs(container.get("env")),
            ports=_numbers([port.get("containerPort") for port in container.get("ports") or []]),
            left_out=[*_others(container, {"name", "image", "command", "args", "env", "ports"}), *left_out],
        )
        for container in containers_of(pod)
    ]


def of_compose(document: Mapping[str, Any]) -> list[Server]:
    """The services of a Compose file."""
    return [
        Server(
            name=name,
            image=service.get("image"),
            entrypoint=_words(service.get("entrypoint")),
            arguments=_words(service.get("command")),
            variables=_pairs(service.get("environment")),
            ports=_numbers([_target(port) for port in [*(service.get("ports") or []), *(service.get("expose") or [])]]),
            left_out=_others(service, {"image", "entrypoint", "command", "environment", "ports", "expose", "restart"}),
        )
        for name, service in (document.get("services") or {}).items()
        if isinstance(service, dict)
    ]


def _others(written: Mapping[str, Any], known: set[str]) -> list[str]:
    checks = ("_check", "Probe", "healthcheck")
    return [key for key in written if key not in known and not key.endswith(checks) and not key.startswith("x-")]


def _words(command: Any) -> list[str] | None:
    """A command as a list; a string is split as a shell would, as EAS and Compose do."""
    if isinstance(command, str) and command:
        return shlex.split(command)
    return [str(word) for word in command] if isinstance(command, list) and command else None


def _pairs(written: Any) -> dict[str, str | None]:
    """Variables, from a map, a list of `NAME=VALUE` or a list of {name, value}."""
    if isinstance(written, dict):
        return {name: ELSEWHERE if value is None else _text(value) for name, value in written.items()}
    found: dict[str, str | None] = {}
    for item in written if isinstance(written, list) else []:
        if isinstance(item, dict) and "name" in item:
            elsewhere = "valueFrom" in item
            found[str(item["name"])] = ELSEWHERE if elsewhere else _text(item.get("value") or "")
        elif isinstance(item, str):
            name, equals, value = item.partition("=")
            found[name] = value if equals else ELSEWHERE
    return found


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _target(port: Any) -> Any:
    """The container's end of a Compose port: `8000`, `127.0.0.1:80:8000/tcp`, {target: 8000}."""
    if isinstance(port, dict):
        return port.get("target")
    return str(port).partition("/")[0].rpartition(":")[2]


def _numbers(ports: Iterable[Any]) -> list[int]:
    texts = (str(port) for port in ports if port is not None)
    return list(dict.fromkeys(int(text) for text in texts if text.isascii() and text.isdigit()))
