"""A container of a pod to a native one, and which containers and probes of a pod are the agent's own."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final

from agent.config.decode import Decoder
from agent.config.hosts import is_loopback
from agent.config.kubernetes_probe import PROBES, literal, native_check, port_name_problem
from agent.config.ourselves import PROGRAM, is_agent, is_answer
from agent.config.tree import Node, Over, below, items, texts
from agent.config.words import suggestion
from agent.core.settings import Server

_PORT_VARIABLE: Final = "HEALTH_AGENT_SERVER__PORT"
_LIKE_A_PROBE: Final = re.compile("(.*?)[-_]?(?:probe|check)s?")


class Conversion:
    """The reading of one manifest. ``listener`` is the port that the agent itself listens on."""

    def __init__(self, decoder: Decoder, exec_in: str, listener: int, over: Over) -> None:
        self.decoder = decoder
        self._over = over
        self.asked_agent = False  # some probe was left out because it asks the agent
        self._exec_in = exec_in
        self._listener = listener

    def without_agents(self, containers: Sequence[Node]) -> tuple[list[Node], set[int]]:
        """A pod's containers without the agent's own, and the ports that those listen on."""
        others: list[Node] = []
        ports: set[int] = set()
        for node in containers:
            if self._is_agent(node):
                ports |= _agent_ports(node)
            else:
                others.append(node)
        return others, ports

    def _is_agent(self, node: Node) -> bool:
        words = [*texts(node.value.get("command")), *texts(node.value.get("args"))]
        mounts = [text for mount in _maps(node, "volumeMounts") for text in texts(mount.value.get("mountPath"))]
        image = "".join(texts(node.value.get("image")))
        return is_agent(image, words, _env(node), mounts) or self._asks_itself(node)

    def _asks_itself(self, node: Node) -> bool:
        """Whether a container answers `/-/healthy` where the agent listens."""
        names = {name: port.value for name, port in _named_ports(node).items()}
        asked = [_asked(node.value[key], names) for key in PROBES if key in node.value]
        return any(port == self._listener and path.startswith("/-/") and is_answer(path) for port, path in asked)

    def container(self, node: Node, spec: Node, agent_ports: Collection[int]) -> Node | None:
        """The native container, or None where it has no probe of its own and nothing is laid over it."""
        ports = _named_ports(node)
        numbers = {name: port.value for name, port in ports.items()}
        env = _env(node)
        native: dict[str, Node] = {}
        for key, child in node.value.items():
            if key not in PROBES:
                self._look_at_key(key, child)
            elif child.value is not None and not self._asks_agent(child, numbers, agent_ports):
                kind = PROBES[key]
                native[f"{kind}_check"] = native_check(self.decoder, child, kind, env, self._exec_in)
        if not native and "".join(texts(node.value.get("name"))) not in self._over:
            return None
        native |= _identity(node, ports)
        restart = _restart(node, spec)
        if restart:
            native["restart"] = Node(restart, spec.file, spec.line, spec.path)
        return node.like(native)

    def _look_at_key(self, key: str, node: Node) -> None:
        """Whoever misspells a probe has none: beyond the probes, all else is left to the API server."""
        found = _LIKE_A_PROBE.fullmatch(key.lower())
        if found:
            guess = suggestion(found[1], PROBES.values())
            hint = f", did you mean '{guess}Probe'?" if guess else ""
            self.decoder.warn(node, "W-KUBERNETES-KEY", f"no key of a container, and not read{hint}")

    def _asks_agent(self, probe: Node, names: Mapping[str, int], agent_ports: Collection[int]) -> bool:
        """Whether a probe is answered by the agent, as those of a rendered manifest are."""
        port, path = _asked(probe, names)
        asks = port in agent_ports or (port == self._listener and is_answer(path))
        if asks or _runs_healthcheck(probe):
            self.asked_agent = True
            self.decoder.warn(
                probe,
                "W-KUBERNETES-AGENT",
                "asks the agent and not this container, left out: the agent would judge itself",
            )
            return True
        return False


def _asked(probe: Node, names: Mapping[str, int]) -> tuple[int, str]:
    """Port and path that a probe asks in its own pod; 0 where it asks another host, or nobody."""
    for key in ("httpGet", "tcpSocket", "grpc"):
        handler = probe.value.get(key) if isinstance(probe.value, dict) else None
        if handler is None or not isinstance(handler.value, dict):
            continue
        host = "".join(texts(handler.value.get("host")))
        port: Any = handler.value["port"].value if "port" in handler.value else None
        number = names.get(port, 0) if isinstance(port, str) else port
        if _is_number(number) and (not host or is_loopback(host)):
            return number, "".join(texts(handler.value.get("path")))
    return 0, ""


def _runs_healthcheck(probe: Node) -> bool:
    words = texts(probe.at("exec.command")) if isinstance(probe.value, dict) else []
    return bool(words) and PurePosixPath(words[0]).name == PROGRAM and "healthcheck" in words


def _identity(node: Node, ports: dict[str, Node]) -> dict[str, Node]:
    """Name and ports of the native container; a lone port is its default one."""
    native: dict[str, Node] = {}
    if "name" in node.value:
        native["name"] = literal(node.value["name"])
    if ports:
        native["ports"] = Node(dict(ports), node.file, node.line, below(node.path, "ports"))
    numbers = {port.value: port for _, port in _ports(node)}
    if len(numbers) == 1:
        native["port"] = next(iter(numbers.values()))
    return native


def _restart(node: Node, spec: Node) -> dict[str, Node]:
    """What the pod says of ends: a container's own restartPolicy wins over the pod's."""
    found: dict[str, Node] = {}
    policy = node.value.get("restartPolicy") or spec.value.get("restartPolicy")
    if policy is not None and policy.value is not None:
        found["policy"] = literal(policy)
    grace = spec.value.get("terminationGracePeriodSeconds")
    if grace is not None and grace.value is not None:
        negative = _is_number(grace.value) and grace.value < 0  # the API server makes it 1
        found["grace_period_seconds"] = Node(1, grace.file, grace.line, grace.path, "1") if negative else literal(grace)
    return found


def _maps(node: Node, key: str) -> list[Node]:
    return [item for item in items(node.value.get(key)) if isinstance(item.value, dict)]


def _env(node: Node) -> dict[str, str]:
    """The variables that the manifest spells out; one that comes from elsewhere reads as empty, as for the kubelet."""
    pairs = ((item.value.get("name"), item.value.get("value")) for item in _maps(node, "env"))
    return {
        name.value: "".join(texts(value)) for name, value in pairs if name is not None and isinstance(name.value, str)
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _ports(node: Node) -> Iterator[tuple[Node | None, Node]]:
    """Name and number of each port that a container declares, where there is sense in it."""
    for item in _maps(node, "ports"):
        number: Node | None = item.value.get("containerPort")
        if number is not None and _is_number(number.value) and 1 <= number.value <= 65535:
            yield item.value.get("name"), number


def _named_ports(node: Node) -> dict[str, Node]:
    """The ports that a probe of this container may name; of two with one name the first, as for the kubelet."""
    found: dict[str, Node] = {}
    for name, number in _ports(node):
        if name is not None and isinstance(name.value, str) and not port_name_problem(name):
            found.setdefault(name.value, number)
    return found


def _agent_ports(node: Node) -> set[int]:
    """Where an agent listens: as its variable says, else the default, and whatever its container declares."""
    given = _env(node).get(_PORT_VARIABLE, "")
    port = int(given) if given.isascii() and given.isdecimal() and len(given) < 6 else Server().port
    return {port, *(declared.value for _, declared in _ports(node))}
