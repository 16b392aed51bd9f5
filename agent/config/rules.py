"""What keys must say of each other: ports and hosts that exist, commands that can run, actions that can work."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec

from agent.config.checks import Draft
from agent.config.choices import Choice
from agent.config.decode import Decoder, struct_fields
from agent.config.hosts import is_here, reaches, stays_here
from agent.config.problems import Problem
from agent.config.shapes import ContainerFields
from agent.config.tree import Node
from agent.core.settings import Admin, Restart

_ABSENT: Any = object()


class Surroundings(msgspec.Struct, frozen=True):
    """What a container's rules need to know of the rest of the document."""

    server_port: int
    server_host: str | None  # None: every address
    state_file: str | None
    allowed_hosts: frozenset[str]


def option(options: Any, key: str) -> Any:
    """An option by the key a document writes, or _ABSENT where the kind has no such key."""
    names = {field.encode_name: field.name for field in struct_fields(type(options))}
    return getattr(options, names[key]) if key in names else _ABSENT


def check_targets(
    decoder: Decoder, node: Node, container: ContainerFields, drafts: Sequence[Draft], around: Surroundings
) -> None:
    """Every network check has a port, and goes to a host that it may go to."""
    for draft in drafts:
        if draft.choice is None or draft.choice.options is None or not getattr(draft.choice.options, "dials", True):
            continue
        port = _port(decoder, node, container, draft.choice)
        host = option(draft.choice.options, "host")
        if isinstance(host, str):
            _allowed(decoder, draft.choice.node.at("host"), host, around)
        target = host if isinstance(host, str) else container.host
        if port is not None and port == around.server_port and reaches(target, around.server_host):
            place = draft.choice.node.at("port")
            decoder.report(
                place, f"port {port} is the agent's own listener: it would judge itself; give it another server.port"
            )


def _port(decoder: Decoder, node: Node, container: ContainerFields, choice: Choice) -> int | None:
    port = option(choice.options, "port")
    if isinstance(port, int):
        return port
    if isinstance(port, str):
        return _named_port(decoder, node, container, choice, port)
    written = {**node.value, **choice.node.value}
    misspelt = choice.node.value.keys() - {field.encode_name for field in struct_fields(type(choice.options))}
    if port is None and not misspelt and ("port" not in written or written["port"].value is None):
        decoder.report(choice.node, "needs a port: give it one, or give its container a port")
    return None if port is _ABSENT else container.port


def _named_port(decoder: Decoder, node: Node, container: ContainerFields, choice: Choice, port: str) -> int | None:
    named = node.value.get("ports")
    known = named.value if named is not None and isinstance(named.value, dict) else {}
    place = choice.node.at("port")
    name = place.raw
    if name.isdecimal():
        decoder.report(place, f'expected an integer or the name of a port, got the string "{name}" (remove the quotes)')
    elif port not in known:
        names = f"its container names {', '.join(known)}" if known else "its container names none in `ports`"
        decoder.report(place, f"no port is named '{name}': {names}")
    return container.ports.get(port)


def _allowed(decoder: Decoder, place: Node, host: str, around: Surroundings) -> None:
    is_url = bool(set(host) & set("@/?#"))  # told elsewhere, and not repeated: there may be a password in it
    if host not in around.allowed_hosts and not is_here(host) and not is_url:
        decoder.report(place, f"{place.raw} is not this pod, nor a container's host: add it to allow_hosts")


def check_methods(decoder: Decoder, drafts: Sequence[Draft], runtime: Choice | None) -> None:
    """Every method has the runtime that it asks."""
    for draft in drafts:
        needed = getattr(draft.choice.options, "needs_runtime", "") if draft.choice is not None else ""
        if draft.choice is not None and needed and (runtime is None or runtime.name != needed):
            decoder.report(draft.choice.node, f"needs runtime.{needed}, which it asks")


def exec_nowhere(drafts: Sequence[Draft], runtime: Choice | None) -> list[Problem]:
    """Commands that are to run in the container, where nothing can run them there."""
    if runtime is not None and getattr(runtime.options, "can_exec", False):
        return []
    return [
        Problem(
            draft.choice.node.file,
            draft.choice.node.line,
            draft.choice.node.path,
            "nothing here can run a command in the container: give it a runtime that can (docker, kubernetes), run it "
            "in the agent's own with --exec-in agent (HEALTH_AGENT_EXEC_IN=agent, or `in: agent`), or use http_get or "
            "tcp_socket",
            "W-EXEC-NOWHERE",
        )
        for draft in drafts
        if draft.choice is not None
        and draft.choice.name == "exec"
        and draft.choice.options is not None
        and option(draft.choice.options, "in") == "container"
    ]


def check_admin(decoder: Decoder, node: Node, admin: Admin, server_port: int) -> None:
    """The admin listener has one place, and nobody from outside gets there."""
    for path, message in admin.check_options():
        decoder.report(node.at(path), message)
    if not stays_here(admin.host):
        decoder.report(node.at("host"), "must be a loopback address: the admin listener is for this machine alone")
    if admin.port is not None and admin.port == server_port:
        decoder.report(node.at("port"), f"port {admin.port} is the public listener's")


def check_restart(decoder: Decoder, node: Node, restart: Restart, runtime: Choice | None, around: Surroundings) -> None:
    """The actions have what they need, and the brakes make sense."""
    steps = restart.escalations
    for action in (restart.action, *(step.action for step in steps)):
        if isinstance(action, Choice):
            _action(decoder, action, runtime, around)
    for at, (earlier, later) in enumerate(pairwise(steps), 1):
        if later.after <= earlier.after:
            message = f"is not above that of the step before it, {earlier.after}: that step would never be taken"
            decoder.report(node.at(f"escalate[{at}].after"), message)
    if restart.backoff.max_seconds < restart.backoff.initial_seconds:
        decoder.report(node.at("backoff"), "max_seconds is below initial_seconds")
    if restart.drain.until_idle and restart.drain.max_seconds == 0:
        decoder.report(node.at("drain.until_idle"), "needs drain.max_seconds above 0: how long to wait at most")


def _action(decoder: Decoder, action: Choice, runtime: Choice | None, around: Surroundings) -> None:
    if getattr(action.options, "needs_state_file", False) and around.state_file is None:
        decoder.report(action.node, "needs state_file: without it the agent forgets that it has restarted")
    caution = getattr(action.options, "caution", "")
    if caution:
        decoder.warn(action.node, "W-ACTION-CAUTION", caution)
    needed = getattr(action.options, "needs_runtime", None)
    if needed is not None and (runtime is None or runtime.name != needed):
        decoder.report(action.node, f"needs runtime.{needed}, which says what it is to act on")
