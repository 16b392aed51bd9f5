"""A model server as other formats describe it: as much of it as every one of them can say."""

import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from agent.render.manifest import containers_of, pod_of

_OF_COMPOSE: Final = re.compile(r"\$[A-Za-z_{]")
_OF_KUBERNETES: Final = re.compile(r"(?<!\$)\$\([A-Za-z_]")
ELSEWHERE: Final = None
"""The value of a variable that comes from somewhere only its own format knows: a Secret, the shell."""


class Server(msgspec.Struct, kw_only=True):
    """One server. ``entrypoint`` and ``arguments`` are None where the image's own stand; ``left_out`` are the keys
    that have no place elsewhere, ``references`` those whose words hold references that only their own format fills.
    """

    name: str
    image: str | None = None
    entrypoint: list[str] | None = None
    arguments: list[str] | None = None
    variables: dict[str, str | None] = {}
    ports: list[int] = []
    left_out: list[str] = []
    references: list[str] = []

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
            entrypoint=_words(container.get("command")) or _script(container.get("script")),
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
    running = list(containers_of(pod))
    once = [str(one.get("name")) for one in pod.get("initContainers") or [] if one not in running]
    left_out += [f"initContainers ({', '.join(once)})"] if once else []
    left_out += ["replicas"] if (document.get("spec") or {}).get("replicas", 1) != 1 else []
    return [
        Server(
            name=str(container.get("name")),
            image=container.get("image"),
            entrypoint=_words(container.get("command")),
            arguments=_words(container.get("args")),
            variables=_pairs(container.get("env")),
            ports=_numbers([port.get("containerPort") for port in container.get("ports") or []]),
            left_out=[*_others(container, {"name", "image", "command", "args", "env", "ports"}), *left_out],
            references=[key for key in ("command", "args", "env") if _OF_KUBERNETES.search(str(container.get(key)))],
        )
        for container in running
    ]


def of_compose(document: Mapping[str, Any]) -> list[Server]:
    """The services of a Compose file."""
    return [_of_service(name, one) for name, one in (document.get("services") or {}).items() if isinstance(one, dict)]


def _of_service(name: str, service: Mapping[str, Any]) -> Server:
    """Its `$$` are a `$` elsewhere; what Compose would fill comes from elsewhere, or is told where it is needed."""
    ports = [_target(port) for port in [*(service.get("ports") or []), *(service.get("expose") or [])]]
    pairs = _pairs(service.get("environment"))
    variables = {key: ELSEWHERE if _refers(value) else _literal(value) for key, value in pairs.items()}
    references = [key for key in ("image", "entrypoint", "command") if _refers(service.get(key))]
    return Server(
        name=name,
        image=_literal(service.get("image")),
        entrypoint=_words(_literal(service.get("entrypoint"))),
        arguments=_words(_literal(service.get("command"))),
        variables=variables,
        ports=_numbers(ports),
        left_out=_others(service, {"image", "entrypoint", "command", "environment", "ports", "expose", "restart"}),
        references=[*references, *(["ports"] if any(map(_refers, ports)) else [])],
    )


def _refers(written: Any) -> bool:
    return _OF_COMPOSE.search(str(written).replace("$$", "")) is not None


def _literal(written: Any) -> Any:
    if isinstance(written, list):
        return [_literal(word) for word in written]
    return written.replace("$$", "$") if isinstance(written, str) else written


def _script(script: Any) -> list[str] | None:
    """Lines for a shell, where a command is one program and its words (EAS)."""
    return ["/bin/sh", "-c", script] if isinstance(script, str) and script else None


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
    text = str(port).partition("/")[0]
    return text if text.endswith("}") else text.rpartition(":")[2]  # `${PORT:-8000}` has a colon of its own


def _numbers(ports: Iterable[Any]) -> list[int]:
    texts = (str(port) for port in ports if port is not None)
    return list(dict.fromkeys(int(text) for text in texts if text.isascii() and text.isdigit()))
