"""EAS service.json to a native tree: strict inside the checks, tolerant outside, both wordings of its thresholds."""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from agent.config.decode import Decoder
from agent.config.problems import Problem
from agent.config.scalars import INVALID
from agent.config.tree import Node, Over, below
from agent.core.model import CheckType
from agent.core.settings import Port

Semantics = Literal["kubernetes", "eas-page"]
RESERVED_PORTS: Final = (8080, 9090)
_METHODS: Final = ("http_get", "tcp_socket", "exec")
_CHECKS: Final = {f"{kind}_check": kind for kind in CheckType}
_Whole = Annotated[int, Meta(ge=0, le=2_147_483_647)]
_Positive = Annotated[int, Meta(ge=1, le=2_147_483_647)]


class EasHttpGet(msgspec.Struct, frozen=True, kw_only=True):
    path: str = "/"
    port: Port | None = None


class EasTcpSocket(msgspec.Struct, frozen=True, kw_only=True):
    port: Port | None = None


class EasExec(msgspec.Struct, frozen=True, kw_only=True):
    command: list[str] | str


class EasCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One check as the page describes it; absent thresholds depend on the semantics."""

    http_get: EasHttpGet | None = None
    tcp_socket: EasTcpSocket | None = None
    exec: EasExec | None = None
    initial_delay_seconds: _Whole = 0
    period_seconds: _Positive = 10
    timeout_seconds: _Positive = 1
    success_threshold: _Positive | None = None
    failure_threshold: _Positive | None = None


class Reading(msgspec.Struct, frozen=True):
    """What a check's two thresholds amount to; ``clamped`` is the success count that had to become 1."""

    failures: int
    successes: int
    clamped: int | None = None

    def __str__(self) -> str:
        note = f" ({self.clamped} become 1)" if self.clamped else ""
        return f"{_counted(self.failures, 'failure')} to fail, {_counted(self.successes, 'success')}{note} to recover"


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}{'es' if word.endswith('s') else 's'}"


def reading(check: EasCheck, kind: CheckType, semantics: Semantics) -> Reading:
    """The thresholds in one of the two wordings (contract 1.2): the page has the two names swapped."""
    if semantics == "kubernetes":
        failures, successes = check.failure_threshold or 3, check.success_threshold or 1
    else:
        default = 3 if kind is CheckType.READINESS else 1
        failures, successes = check.success_threshold or default, check.failure_threshold or 1
    if kind is not CheckType.READINESS and successes > 1:
        return Reading(failures, 1, successes)
    return Reading(failures, successes)


class _Conversion:
    """One document on its way; remembers the checks whose two readings differ."""

    def __init__(self, decoder: Decoder, semantics: Semantics, exec_in: str, over: Over) -> None:
        self.decoder = decoder
        self.over = over
        self.semantics: Semantics = semantics
        self.exec_in = exec_in
        self.differing: list[tuple[Node, str]] = []

    def container(self, node: Node, number: int) -> Node | None:
        """A native container, or None where there is nothing to probe."""
        if not isinstance(node.value, dict):
            self.decoder.report(node, "expected a container (a map)")
            return None
        native: dict[str, Node] = {"name": self._name(node, number)}
        port = node.value.get("port")
        if port is not None and port.value is not None:
            self._reserved(port)
            native["port"] = port
        for key, child in node.value.items():
            if key in _CHECKS:
                self._into(native, key, child)
            elif key == "health_check":
                self._undocumented(native, node, child)
        probed = native.keys() - {"name", "port"} or native["name"].value in self.over
        return Node(native, node.file, node.line, node.path) if probed else None

    def _name(self, node: Node, number: int) -> Node:
        name: Node | None = node.value.get("name")
        if name is not None and isinstance(name.value, str) and name.value:
            return name
        text = f"container-{number}"
        return Node(text, node.file, node.line, below(node.path, "name"), text, "quoted")

    def _undocumented(self, native: dict[str, Node], node: Node, child: Node) -> None:
        if "readiness_check" in node.value:
            self.decoder.report(child, "beside a readiness_check: health_check means the same, remove one")
            return
        self.decoder.warn(child, "W-EAS-HEALTH-CHECK", "not a documented EAS key; taken as readiness_check")
        self._into(native, "readiness_check", child)

    def _into(self, native: dict[str, Node], key: str, node: Node) -> None:
        if node.value is not None:
            native[key] = self._check(node, _CHECKS[key])

    def _check(self, node: Node, kind: CheckType) -> Node:
        """The native check; where anything is wrong, one that natively has nothing more to report."""
        if isinstance(node.value, list):
            self.decoder.report(node, "one check of a type, not a list: lists are for native documents")
            return node.like(None)
        before = len(self.decoder.problems)
        if isinstance(node.value, dict) and "grpc" in node.value:
            self.decoder.report(node.value["grpc"], "grpc is not an EAS method: use http_get, tcp_socket or exec")
            node = node.like({key: child for key, child in node.value.items() if key != "grpc"})
        check = self.decoder.struct(node, EasCheck)
        if check is INVALID:
            return node.like(None)
        methods = [key for key in node.value if key in _METHODS and node.value[key].value is not None]
        if len(methods) != 1 and len(self.decoder.problems) == before:
            found = f"{len(methods)} methods, {' and '.join(methods)}" if methods else "no method"
            self.decoder.report(node, f"{found}: exactly one is needed, of {', '.join(_METHODS)}")
        for method in methods:
            port = node.value[method].value.get("port") if isinstance(node.value[method].value, dict) else None
            if port is not None:
                self._reserved(port)
        if len(self.decoder.problems) > before:
            return node.like(None)
        return self._native(node, kind, check, methods[0])

    def _native(self, node: Node, kind: CheckType, check: EasCheck, method: str) -> Node:
        native = {key: child for key, child in node.value.items() if key == method or key not in _METHODS}
        if method == "exec":
            place = node.value[method]
            inside = Node(self.exec_in, place.file, place.line, below(place.path, "in"), self.exec_in, "quoted")
            native[method] = place.like({**place.value, "in": inside})
        chosen = reading(check, kind, self.semantics)
        other = reading(check, kind, "eas-page" if self.semantics == "kubernetes" else "kubernetes")
        if (chosen.failures, chosen.successes) != (other.failures, other.successes):
            self.differing.append((node, f"{chosen} (the other way: {other})"))
        elif chosen.clamped:
            place = node.at("success_threshold")
            self.decoder.warn(place, "W-EAS-CLAMPED", f"{chosen.clamped} successes become 1: a {kind} check allows 1")
        for key, value in (("failure_threshold", chosen.failures), ("success_threshold", chosen.successes)):
            native[key] = node.value.get(key, node).like(value)
            native[key].path = below(node.path, key)
        return node.like(native)

    def _reserved(self, node: Node) -> None:
        if node.value in RESERVED_PORTS and not isinstance(node.value, bool):
            self.decoder.report(node, f"{node.value} is taken by the EAS engine itself, choose another port")

    def warn_of_thresholds(self) -> None:
        """Once a document, with every check whose two readings differ."""
        if not self.differing:
            return
        node = self.differing[0][0]
        texts = [f"{one.path}: {text}" if at else text for at, (one, text) in enumerate(self.differing)]
        said = "Kubernetes means them" if self.semantics == "kubernetes" else "the EAS page words them"
        other = "eas-page" if self.semantics == "kubernetes" else "kubernetes"
        message = f"thresholds are read as {said} (--threshold-semantics {other} is the other way): {'; '.join(texts)}"
        self.decoder.warnings.append(Problem(node.file, node.line, node.path, message, "W-EAS-THRESHOLD"))


def native_tree(
    decoder: Decoder, root: Node, semantics: Semantics, exec_in: str, over: Over | None = None
) -> Node | None:
    """The native tree of a service.json, without the containers that have no checks, nor any in what is laid ``over``.

    None where nothing is left to probe and no other document is laid over it; that is reported.
    """
    containers = root.value.get("containers")
    if containers is None or not isinstance(containers.value, list):
        decoder.report(root, "expected a list of containers with checks", "containers")
        return None
    conversion = _Conversion(decoder, semantics, exec_in, over or {})
    found = [conversion.container(child, number) for number, child in enumerate(containers.value)]
    conversion.warn_of_thresholds()
    native: list[Any] = [container for container in found if container is not None]
    if not native and over is None:
        decoder.report(containers, "no container has a liveness_check, readiness_check or startup_check")
        return None
    return root.like({"containers": containers.like(native)})
