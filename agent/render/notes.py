"""What whoever applies a rendered deployment has to know or to do beside it."""

from collections.abc import Iterator, Mapping
from typing import Any

from agent.render.document import Agent, acts
from agent.render.manifest import containers_of, name_of, owner_of, pod_of, user_of
from agent.render.options import Note
from agent.render.sidecar import secret_variables
from agent.render.windows import RESTARTED_BY_PLATFORM


def of_workload(before: Mapping[str, Any], agent: Agent, name: str) -> Iterator[Note]:
    """For a Kubernetes workload, ``before`` as it was given; ``name`` is that of what was made beside it."""
    what = f"{before.get('kind')} {name_of(before)}"
    owner = owner_of(before)
    if owner:
        yield Note("W-RENDER-OWNED", f"{what} was made by {owner}, which makes others without the agent: render that")
    secrets = secret_variables(agent)
    if secrets:
        literals = " ".join(f"--from-literal={variable}=..." for variable in secrets)
        yield Note("W-RENDER-SECRET", f"{what}: kubectl create secret generic {name} {literals}")
    yield from _of_files(agent, "a volume of the agent's container")
    if agent.runs_inside():
        named = ", ".join(one.name for one in agent.runs_inside())
        yield Note(
            "W-RENDER-EXEC",
            f"{what}: exec checks of {named} run through the API server, and the Role {name} lets the agent run "
            "anything in the pods it covers: http_get or tcp_socket checks, or --exec-in agent, need no right",
        )
    yield from _of_actions(what, before, agent)


def _of_actions(what: str, before: Mapping[str, Any], agent: Agent) -> Iterator[Note]:
    pod = pod_of(before) or {}
    users = {str(one.get("name")): user_of(pod, one) for one in containers_of(pod)}
    for one in agent.config.containers:
        action = one.restart.action_name
        if one.liveness and action not in RESTARTED_BY_PLATFORM:
            yield Note("W-RENDER-LIVENESS", f"{what}: {one.name} has no livenessProbe: its restart is left to {action}")
        yield from _of_port(agent, one.name, users.get(one.name))
        if "signal" in acts(one) and users.get(one.name) is None:
            yield Note(
                "W-RENDER-USER",
                f"{what}: a signal needs the server's own user, and {one.name} does not say which: the agent runs as "
                "root, without capabilities; where the image does not, set runAsUser of both",
            )


def _of_port(agent: Agent, name: str, user: Any) -> Iterator[Note]:
    """A root server has capabilities, the agent has none: the kernel does not tell it whose socket is whose."""
    written = next((one for one in agent.document["containers"] if one["name"] == name), None)
    if written is None:  # its name is a reference that nobody sets here
        return
    if "port" in (written.get("runtime") or {}).get("process", {}) and str(user or 0) in {"0", "root"}:
        told = f"{name}: as root without capabilities the agent may not see who listens: find it by command_contains"
        yield Note("W-RENDER-PORT", told)


def of_compose(agent: Agent, services: Mapping[str, Any]) -> Iterator[Note]:
    """For a Compose file; ``services`` are those that were given."""
    variables = [name for name, needed in agent.variables.items() if needed]
    if variables:
        yield Note("W-RENDER-SECRET", f"set {', '.join(variables)} in the environment or in .env")
    yield from _of_files(agent, "the service's volumes")
    for one in agent.config.containers:
        yield from _of_port(agent, one.name, (services.get(one.name) or {}).get("user"))
        if one.liveness and one.restart.action_name == "none":
            yield Note(
                "W-RENDER-NO-ACTION",
                f"{one.name}: nobody restarts it: Docker never does so for its health; give it a restart.action, "
                "docker or signal",
            )


def of_eas(agent: Agent) -> Iterator[Note]:
    """For a service.json."""
    variables = [name for name, needed in agent.variables.items() if needed]
    if variables:
        yield Note("W-RENDER-SECRET", f"give the agent's container {', '.join(variables)} in its env")
    yield from _of_files(agent, "the service's storage")


def _of_files(agent: Agent, where: str) -> Iterator[Note]:
    if agent.gpus:
        yield Note(
            "W-RENDER-GPU",
            "the agent sees GPUs where NVIDIA's container runtime heeds NVIDIA_VISIBLE_DEVICES, and then all of the "
            "machine: name the server's under gpu.devices",
        )
    for path in agent.files:
        yield Note("W-RENDER-FILE", f"the agent reads {path}: add it to {where}")
