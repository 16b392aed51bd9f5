"""The native document to the engine's Config: decode, apply the rules, report everything that is wrong."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from agent.config.checks import TYPES, Draft, build_checks, decode_checks
from agent.config.choices import ACTION, HOOK, RUNTIME, Choice, Table, choose, struct_of
from agent.config.decode import Decoder, Special
from agent.config.problems import Problem
from agent.config.rules import Surroundings, check_admin, check_methods, check_restart, check_targets, exec_nowhere
from agent.config.scalars import INVALID
from agent.config.shapes import STAND_INS, ContainerFields, Document
from agent.config.tree import Node
from agent.core.model import CheckType
from agent.core.settings import Config, Container, Hooks, Restart


def new_decoder(environ: Mapping[str, str], *, keep_unset: bool = False) -> Decoder:
    """A decoder that knows the native document's own kinds of fields."""
    specials: dict[str, Special] = dict.fromkeys(TYPES, decode_checks)
    specials |= {
        "containers": _containers,
        "action": _one_of(ACTION),
        "hook": _one_of(HOOK),
        "runtime": _one_of(RUNTIME),
        "depends_on": decode_checks,
    }
    return Decoder(environ, specials, STAND_INS, keep_unset=keep_unset)


def _one_of(table: Table) -> Special:
    def special(decoder: Decoder, node: Node) -> Any:
        return choose(decoder, node, table) if node.value is not None else None

    return special


def _containers(decoder: Decoder, node: Node) -> Any:
    """Each container beside its node, for the rules that need both."""
    if not isinstance(node.value, list) or not node.value:
        decoder.report(node, "expected a list of at least one container")
        return ()
    drafts = [(child, decoder.struct(child, ContainerFields)) for child in node.value]
    return tuple((child, fields) for child, fields in drafts if fields is not INVALID)


def build(decoder: Decoder, root: Node) -> tuple[Config | None, list[Problem]]:
    """The configuration, None where anything was reported; and the commands that nothing can run."""
    document: Document = decoder.struct(root, Document)
    if document is INVALID:
        return None, []
    drafts: Any = document.containers
    around = Surroundings(
        document.server.port,
        document.server.host,
        document.state_file,
        frozenset(document.allow_hosts) | {fields.host for _, fields in drafts},
    )
    if document.admin is not None:
        check_admin(decoder, root.at("admin"), document.admin, document.server.port)
    _unique_names(decoder, drafts)
    nowhere: list[Problem] = []
    containers = tuple(_container(decoder, node, fields, around, nowhere) for node, fields in drafts)
    if decoder.problems:
        return None, nowhere
    config = Config(
        containers=containers,
        server=document.server,
        admin=document.admin,
        log=document.log,
        state_file=document.state_file,
        shutdown_delay_seconds=document.shutdown_delay_seconds,
        allow_hosts=document.allow_hosts,
        secrets=decoder.expansion.secrets,
    )
    return config, nowhere


def _unique_names(decoder: Decoder, drafts: Sequence[tuple[Node, ContainerFields]]) -> None:
    lines: dict[str, int] = {}
    for node, fields in drafts:
        if fields.name in lines and fields.name != STAND_INS[ContainerFields]["name"]:
            name = node.at("name")
            decoder.report(name, f"a second container named '{name.raw}', the first is on line {lines[fields.name]}")
        lines.setdefault(fields.name, node.line)


def _container(
    decoder: Decoder, node: Node, fields: ContainerFields, around: Surroundings, nowhere: list[Problem]
) -> Container:
    by_type: dict[CheckType, tuple[Draft, ...]] = {kind: getattr(fields, key) or () for key, kind in TYPES.items()}
    drafts = [draft for group in by_type.values() for draft in group]
    runtime: Choice | None = fields.runtime
    restart = fields.restart or Restart()
    place = node.at("restart")
    drafts += restart.depends_on
    check_targets(decoder, node, fields, drafts, around)
    check_methods(decoder, drafts, runtime)
    nowhere.extend(exec_nowhere(drafts, runtime))
    check_restart(decoder, place, restart, runtime, around)
    built = {str(kind): build_checks(decoder, kind, group) for kind, group in by_type.items()}
    return Container(
        name=fields.name,
        host=fields.host,
        port=fields.port,
        ports=fields.ports,
        runtime=_settled(decoder, runtime.options, fields.name) if runtime else None,
        load_seconds=fields.load_seconds,
        restart=_restart(decoder, place, restart),
        **built,
    )


def _settled(decoder: Decoder, options: Any, name: str) -> Any:
    """A runtime with what its document leaves to the container's name and to the environment (`agent.runtimes`)."""
    settle = getattr(options, "settled", None)
    return settle(name, decoder.environ) if settle else options


def _restart(decoder: Decoder, place: Node, restart: Restart) -> Restart:
    """The restart block with its actions, hooks and checks as the structs that act and look."""
    action: Choice | None = restart.action
    if action is None:
        cls = struct_of(decoder, "none", place, ACTION)
        action = Choice("none", cls() if cls else None, place)
    hooks = {name: hook.options if hook else None for name, hook in msgspec.structs.asdict(restart.hooks).items()}
    steps = tuple(
        msgspec.structs.replace(step, action=step.action.options, action_name=step.action.name)
        for step in restart.escalations
        if isinstance(step.action, Choice)
    )
    return msgspec.structs.replace(
        restart,
        action=action.options,
        action_name=action.name,
        escalate=steps,
        depends_on=build_checks(decoder, CheckType.READINESS, restart.depends_on, "depends_on"),
        hooks=Hooks(**hooks),
    )
