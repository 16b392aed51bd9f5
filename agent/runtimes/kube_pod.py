"""What a pod tells of one of its containers: pure, over the object that the API server sends."""

import errno
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from agent.runtimes import Ended, Instance
from agent.runtimes.kube_answers import ApiError
from agent.runtimes.moments import monotonic, unix_time

OOM: Final = "OOMKilled"
_MOST_WORDS: Final = 1024  # of an Event


class Running(msgspec.Struct, frozen=True, rename="camel"):
    """Of a state: it runs."""

    started_at: str | None = None


class Terminated(msgspec.Struct, frozen=True, rename="camel"):
    """Of a state: it has ended. ``message`` is left out: it is the container's own output."""

    exit_code: int | None = None
    reason: str | None = None
    container_id: str | None = msgspec.field(default=None, name="containerID")


class ContainerState(msgspec.Struct, frozen=True):
    """At most one of them; neither: it waits."""

    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(msgspec.Struct, frozen=True, rename="camel"):
    """One container as the kubelet last told of it."""

    name: str
    state: ContainerState | None = None
    last_state: ContainerState | None = None
    container_id: str | None = msgspec.field(default=None, name="containerID")
    restart_count: int = 0


class PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    """A native sidecar is an init container that goes on running."""

    container_statuses: list[ContainerStatus] | None = None
    init_container_statuses: list[ContainerStatus] | None = None


class Named(msgspec.Struct, frozen=True):
    """A container of the specification."""

    name: str


class PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    """The containers that the pod is to have."""

    containers: list[Named] | None = None
    init_containers: list[Named] | None = None


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """Who the pod is; timestamps are RFC 3339."""

    name: str
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


class Pod(msgspec.Struct, frozen=True):
    """As much of a pod as the agent reads."""

    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    def containers(self) -> list[str]:
        specified = (*(self.spec.init_containers or ()), *(self.spec.containers or ()))
        return list(dict.fromkeys([*(one.name for one in specified), *(one.name for one in self.told())]))

    def told(self) -> tuple[ContainerStatus, ...]:
        return (*(self.status.container_statuses or ()), *(self.status.init_container_statuses or ()))

    def of(self, container: str) -> ContainerStatus | None:
        """The container's status; None while the kubelet has told nothing of it."""
        return next((one for one in self.told() if one.name == container), None)

    def age(self, now: datetime | None) -> float | None:
        """Seconds since it was created, by the server's own clock ``now``; None where that can't be told."""
        created = unix_time(self.metadata.creation_timestamp or "")
        return None if created is None else (now or datetime.now(UTC)).timestamp() - created

    def itself(self) -> dict[str, Any]:
        """A precondition for calls that end it: no namesake that follows."""
        return {"preconditions": {"uid": self.metadata.uid}} if self.metadata.uid else {}


def running(pod: Pod, container: str) -> Instance | None:
    """The container's running instance, if there is one."""
    told = pod.of(container)
    if told is None or told.state is None or told.state.running is None:
        return None
    identity = told.container_id or f"pod {pod.metadata.uid} restart {told.restart_count}"
    return Instance(identity, monotonic(unix_time(told.state.running.started_at or "")))


def ended(pod: Pod, container: str) -> Ended | None:
    """How the container's newest instance that has ended did so."""
    told = pod.of(container)
    states = (told.state, told.last_state) if told is not None else ()
    last = next((one.terminated for one in states if one is not None and one.terminated is not None), None)
    if last is None:
        return None
    oom = last.reason == OOM
    return Ended(last.container_id or "", last.exit_code, oom, last.reason or "")


def decoded(body: bytes) -> Pod:
    """The pod that an answer holds. Raises ApiError where it is none."""
    try:
        return msgspec.json.decode(body, type=Pod)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise ApiError(errno.EPROTO, "the answer is no pod: is this an API server, or a proxy's page?") from None


def event(pod: Pod, namespace: str, container: str, reason: str, message: str) -> dict[str, Any]:
    """An Event about a container of the pod; the uid is what lets `kubectl describe` find it."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    kind = "initContainers" if container in [one.name for one in pod.spec.init_containers or ()] else "containers"
    return {
        "apiVersion": "v1", "kind": "Event", "type": "Warning", "reason": reason, "message": message[:_MOST_WORDS],
        "metadata": {"generateName": f"{pod.metadata.name[:200]}.", "namespace": namespace},
        "involvedObject": {
            "apiVersion": "v1", "kind": "Pod", "name": pod.metadata.name, "namespace": namespace,
            "uid": pod.metadata.uid, "fieldPath": f"spec.{kind}{{{container}}}",
        },
        "source": {"component": "model-health-agent"}, "firstTimestamp": now, "lastTimestamp": now, "count": 1,
    }  # fmt: skip
