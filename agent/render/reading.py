"""Documents that are to be rendered, read as `run` would read them where it will run, and not as if it ran here."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from agent.config import ConfigError, Loaded, Options, Problem, SourceRef, load
from agent.config.eas import Semantics
from agent.config.environment import EXEC_IN, PREFIX, THRESHOLD_SEMANTICS
from agent.config.expand import Expansion, is_reference
from agent.config.load import WrittenDocument, read_document
from agent.config.tree import Node
from agent.core.settings import Container
from agent.render.document import Agent, agent_of
from agent.render.options import RenderError, Settings, Target
from agent.render.sidecar import PORT_VARIABLE

_READERS: Final = frozenset({EXEC_IN, THRESHOLD_SEMANTICS})
_NUMBERS: Final = ("initial_delay_seconds", "period_seconds", "failure_threshold")
_NOT_THERE: Final = {
    "kubernetes": ("docker", "a pod has no engine's socket: use runtime kubernetes, or process"),
    "compose": ("kubernetes", "there is no API server: use runtime docker, or process"),
}


class Reading(msgspec.Struct, kw_only=True):
    """The document to render and the native ones laid over it; ``warnings`` grows with each look at them."""

    target: Target
    first: WrittenDocument
    over: list[WrittenDocument]
    variables: Mapping[str, str]
    options: Options
    settings: Settings
    warnings: list[Problem] = []

    @property
    def kind(self) -> str:
        return self.first.kind.name

    def agent(self, roots: Sequence[Node] | None = None, names: frozenset[str] | None = None) -> Agent:
        """The agent for the first document, or for one of its ``roots`` alone, whose containers are ``names``.

        Raises ConfigError or RenderError.
        """
        over = [SourceRef("", roots=[_only(one.roots[0], names)]) for one in self.over]
        given = self.first.sources[0]
        source = SourceRef(given.name, given.path, roots=list(roots or self.first.roots))
        loaded = self._loaded([source, *over])
        nowhere = _without_runtime(loaded)
        if nowhere and self.target == "kubernetes":
            loaded = self._loaded([source, *over, _runtimes(nowhere)])
        elif nowhere:
            raise ConfigError(loaded.exec_nowhere)
        self.warnings += loaded.warnings
        self._settled(loaded)
        agent = agent_of(loaded)
        runtime, remedy = _NOT_THERE.get(self.target, ("", ""))
        for container in agent.runtimes(runtime):
            raise RenderError(f"{container.name}: runtime.{runtime}: {remedy}")
        return agent

    def semantics(self) -> Semantics:
        """How the numbers of a service.json are meant."""
        said = self.options.threshold_semantics or self.variables.get(THRESHOLD_SEMANTICS)
        return "eas-page" if said == "eas-page" else "kubernetes"

    def over_names(self) -> dict[str, Node]:
        """The containers that are laid over the document's own, by name."""
        return {
            name.value: name
            for document in self.over
            for container in document.roots[0].at("containers").children()
            if (name := container[1].at("name")).value and isinstance(name.value, str)
        }

    def _loaded(self, sources: Sequence[SourceRef]) -> Loaded:
        environ = {
            name: value for name, value in self.variables.items() if not name.startswith(PREFIX) or name in _READERS
        }
        if self.settings.port is not None:
            environ[PORT_VARIABLE] = str(self.settings.port)
        return load(sources, environ, self.options)

    def _settled(self, loaded: Loaded) -> None:
        """What the deployment's own numbers follow from must be known here."""
        for place in _deciding(loaded.tree):
            node = loaded.tree.at(place)
            if isinstance(node.value, str) and is_reference(node.value):
                expansion = Expansion(self.variables, keep_unset=True)
                if expansion.expand(node.value) == node.value:
                    raise RenderError(
                        f"{node.file}:{node.line}: {node.path}: {node.value} is not set here, and the server's probes "
                        "follow from it: set it for this command"
                    )
        if loaded.config.server.port == 0:
            raise RenderError("server.port 0 is another one at each start: give the agent a port with --port")


def read(
    target: Target, sources: Sequence[SourceRef], environ: Mapping[str, str], options: Options, settings: Settings
) -> Reading:
    """Every document, parsed. Raises ConfigError with everything that is wrong."""
    problems: list[Problem] = []
    found = [read_document(source, problems) for source in sources]
    documents = [document for document in found if document is not None]
    for document in documents[1:]:
        if document.kind.name != "native":
            root = document.roots[0]
            message = (
                f"{document.kind.title}: only a native document can be laid over another: render this one by itself"
            )
            problems.append(Problem(root.file, root.line, "", message))
    if problems:
        raise ConfigError(problems)
    keeping = msgspec.structs.replace(options, keep_unset=True)
    return Reading(
        target=target, first=documents[0], over=documents[1:], variables=environ, options=keeping, settings=settings
    )


def _only(root: Node, names: frozenset[str] | None) -> Node:
    """A native document without the containers that are somebody else's."""
    containers = root.value.get("containers")
    if names is None or containers is None or not isinstance(containers.value, list):
        return root
    kept: list[Any] = [one for one in containers.value if one.at("name").value in names]
    others = {key: child for key, child in root.value.items() if key != "containers"}
    return root.like({**others, "containers": containers.like(kept)} if kept else others)


def _without_runtime(loaded: Loaded) -> list[Container]:
    return [
        one
        for one in loaded.config.containers
        if one.runtime is None
        and any(check.method == "exec" and check.options.in_ == "container" for check in one.checks())
    ]


def _runtimes(containers: Sequence[Container]) -> SourceRef:
    """A document that has the API server run these containers' commands in them."""
    named = "".join(f"  - {{name: {one.name}, runtime: {{kubernetes: {{}}}}}}\n" for one in containers)
    return SourceRef("--exec-in container", content=f"containers:\n{named}".encode())


def _deciding(tree: Node) -> Iterator[str]:
    """The paths of the values that a server's startup window follows from."""
    yield "server.port"
    for index, container in enumerate(tree.at("containers").value):
        checks = container.value.get("startup_check")
        if checks is None:
            continue
        many = len(checks.value) if isinstance(checks.value, list) else None
        for at in [""] if many is None else [f"[{at}]" for at in range(many)]:
            yield from (f"containers[{index}].startup_check{at}.{key}" for key in _NUMBERS)
