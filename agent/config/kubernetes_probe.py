"""A probe of a Kubernetes container to a native check: what the API refuses is refused, a 0 is the default."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from agent.config.decode import Decoder
from agent.config.scalars import INVALID
from agent.config.tree import Node, Style, below
from agent.config.words import shown
from agent.core.model import CheckType

PROBES: Final = {f"{kind}Probe": kind for kind in CheckType}
_INT32: Final = 2_147_483_647
_Whole = Annotated[int, Meta(ge=0, le=_INT32)]
_Number = Annotated[int, Meta(ge=1, le=65535)]
_SCHEMES: Final = ("HTTP", "HTTPS")


class _Camel(msgspec.Struct, frozen=True, rename="camel"):
    """Fields as the API spells them."""


class ExecAction(_Camel, frozen=True, kw_only=True):
    command: Annotated[list[str], Meta(min_length=1)]


class HttpHeader(_Camel, frozen=True, kw_only=True):
    name: Annotated[str, Meta(pattern="^[-A-Za-z0-9]+$")]
    value: str | None = None


class HttpGetAction(_Camel, frozen=True, kw_only=True):
    path: str | None = None
    port: _Number | str
    host: str | None = None
    scheme: str | None = None
    http_headers: list[HttpHeader] | None = None


class TcpSocketAction(_Camel, frozen=True, kw_only=True):
    port: _Number | str
    host: str | None = None


class GrpcAction(_Camel, frozen=True, kw_only=True):
    port: _Number
    service: str | None = None
    mode: Literal["Plaintext", "TLS"] | None = None  # KEP-4939, alpha in 1.37


class Probe(_Camel, frozen=True, kw_only=True):
    """What the API's Probe may hold; numbers that are absent, null or 0 are the API's defaults."""

    exec: ExecAction | None = None
    http_get: HttpGetAction | None = None
    tcp_socket: TcpSocketAction | None = None
    grpc: GrpcAction | None = None
    initial_delay_seconds: _Whole | None = None
    period_seconds: _Whole | None = None
    timeout_seconds: _Whole | None = None
    success_threshold: _Whole | None = None
    failure_threshold: _Whole | None = None
    termination_grace_period_seconds: Annotated[int, Meta(ge=1)] | None = None


HANDLERS: Final = {"exec": "exec", "httpGet": "http_get", "tcpSocket": "tcp_socket", "grpc": "grpc"}
_NUMBERS: Final = (
    "initial_delay_seconds", "period_seconds", "timeout_seconds", "success_threshold", "failure_threshold",
    "termination_grace_period_seconds",
)  # fmt: skip
"""Their defaults are the same natively: what is not given stays so, for other documents to say."""


def literal(node: Node) -> Node:
    """A copy in which `${NAME}` is text like any other: Kubernetes does not know it, and shells do."""
    value = node.value
    if isinstance(value, dict):
        return node.like({key: literal(child) for key, child in value.items()})
    if isinstance(value, list):
        return node.like([literal(child) for child in value])
    return Node(value, node.file, node.line, node.path, node.raw, "literal" if isinstance(value, str) else node.style)


def native_check(decoder: Decoder, node: Node, kind: CheckType, env: Mapping[str, str], exec_in: str) -> Node:
    """The native check of a probe; where anything is wrong it is reported, and the check is null."""
    node = literal(node)
    before = len(decoder.problems)
    probe = decoder.struct(node, Probe)
    if isinstance(node.value, dict):
        _look_at_handlers(decoder, node)
        _look_at_numbers(decoder, node, kind, probe)
    if len(decoder.problems) > before:
        return node.like(None)
    key = next(key for key in HANDLERS if _is_given(node, key))
    place = node.value[key]
    options: Any = getattr(probe, HANDLERS[key])
    native = {HANDLERS[key]: place.like(_OPTIONS[key](place, options, env, exec_in))}
    native |= {name: node.value[camel(name)] for name in _NUMBERS if getattr(probe, name)}
    return node.like(native)


def camel(name: str) -> str:
    """`periodSeconds` of `period_seconds`: as the API spells a key, or the keys of a path."""
    return re.sub("_([a-z])", lambda found: found[1].upper(), name)


def written(node: Node, key: str, value: Any) -> Node:
    """``value`` in the place where ``node`` has, or could have, ``key``."""
    child = node.value.get(key)
    style: Style = "literal" if isinstance(value, str) else "plain"
    raw = child.raw if child is not None and child.value == value else str(value)
    return Node(value, node.file, (child or node).line, below(node.path, key), raw, style)


def _is_given(node: Node, key: str) -> bool:
    return key in node.value and node.value[key].value is not None


def _look_at_handlers(decoder: Decoder, node: Node) -> None:
    given = [key for key in HANDLERS if _is_given(node, key)]
    strangers = [key for key in node.value if key not in HANDLERS and isinstance(node.value[key].value, dict)]
    if not given and not strangers:  # a stranger has been reported: it is the handler, misspelt
        decoder.report(node, f"no handler: exactly one is needed, of {', '.join(HANDLERS)}")
    for key in given[1:]:
        decoder.report(node.value[key], f"a second handler, beside {given[0]}: exactly one is needed")
    for key in given:
        if isinstance(node.value[key].value, dict):
            _look_at_handler(decoder, node.value[key], key)


def _look_at_handler(decoder: Decoder, node: Node, key: str) -> None:
    port, scheme = node.value.get("port"), node.value.get("scheme")
    if key in {"httpGet", "tcpSocket"} and port is not None and isinstance(port.value, str):
        problem = port_name_problem(port)
        if problem:
            decoder.report(port, problem)
    if key == "httpGet" and scheme is not None and isinstance(scheme.value, str):
        upper = scheme.value.upper()
        hint = f", did you mean '{upper}'?" if upper in _SCHEMES else ""
        if scheme.value not in {"", *_SCHEMES}:
            decoder.report(scheme, f"{shown(scheme)} is none of {', '.join(_SCHEMES)}{hint}")


def port_name_problem(node: Node) -> str | None:
    """What the API has against the name of a port (IsValidPortName)."""
    name = node.value
    if re.fullmatch("[-+]?[0-9]+", name):
        return f'expected an integer or the name of a port, got the string "{name}" (remove the quotes)'
    wrong = (
        not re.fullmatch("[-a-z0-9]{1,15}", name)
        or not re.search("[a-z]", name)
        or "--" in name
        or name.startswith("-")
        or name.endswith("-")
    )
    rule = "at most 15 of a-z, 0-9 and single inner hyphens, a letter among them"
    return f"{shown(node)} is no name of a port: {rule}" if wrong else None


def _look_at_numbers(decoder: Decoder, node: Node, kind: CheckType, probe: Any) -> None:
    """What depends on the type (validateLivenessProbe and its siblings)."""
    if probe is not INVALID and kind is not CheckType.READINESS and (probe.success_threshold or 1) != 1:
        decoder.report(node.at("successThreshold"), f"must be 1 for a {kind}Probe")
    if kind is CheckType.READINESS and _is_given(node, "terminationGracePeriodSeconds"):
        place = node.at("terminationGracePeriodSeconds")
        decoder.report(place, "not allowed on a readinessProbe: it never ends a container")


def _http_get(node: Node, action: HttpGetAction, _: Mapping[str, str], __: str) -> dict[str, Node]:
    native = {
        "path": written(node, "path", action.path or "/"),
        "port": node.value["port"],
        "scheme": written(node, "scheme", (action.scheme or "HTTP").lower()),
    }
    if action.host:
        native["host"] = node.value["host"]
    if action.http_headers:
        headers = node.value["httpHeaders"]
        native["http_headers"] = headers.like(
            [
                child.like({"name": child.value["name"], "value": written(child, "value", header.value or "")})
                for child, header in zip(headers.value, action.http_headers, strict=True)
            ]
        )
    return native


def _tcp_socket(node: Node, action: TcpSocketAction, _: Mapping[str, str], __: str) -> dict[str, Node]:
    host = {"host": node.value["host"]} if action.host else {}
    return {"port": node.value["port"], **host}


def _grpc(node: Node, action: GrpcAction, _: Mapping[str, str], __: str) -> dict[str, Node]:
    return {
        "port": node.value["port"],
        "service": written(node, "service", action.service or ""),
        "tls": written(node, "mode", action.mode == "TLS"),
    }


def _exec(node: Node, action: ExecAction, env: Mapping[str, str], exec_in: str) -> dict[str, Node]:
    command = node.value["command"]
    words = [
        Node(expanded(word, env), child.file, child.line, child.path, child.raw, "literal")
        for child, word in zip(command.value, action.command, strict=True)
    ]
    return {"command": command.like(words), "in": written(node, "in", exec_in)}


_OPTIONS: Final[dict[str, Any]] = {"exec": _exec, "httpGet": _http_get, "tcpSocket": _tcp_socket, "grpc": _grpc}

_REFERENCE: Final = re.compile(r"\$(?:\$|\(([^)]*)\))")


def expanded(word: str, env: Mapping[str, str]) -> str:
    """`$(NAME)` replaced by what the manifest itself gives the container; other names stay, and `$$` is a `$`.

    The kubelet's ExpandContainerCommandOnlyStatic.
    """
    return _REFERENCE.sub(lambda found: "$" if found[1] is None else env.get(found[1], found[0]), word)
