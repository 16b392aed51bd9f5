"""What a Docker Engine tells of containers, as far as it is read here; whatever else an answer holds is left alone."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

PROJECT: Final = "com.docker.compose.project"
SERVICE: Final = "com.docker.compose.service"
NUMBER: Final = "com.docker.compose.container-number"
ONE_OFF: Final = "com.docker.compose.oneoff"
DEPENDS_ON: Final = "com.docker.compose.depends_on"

_NEVER: Final = "0001-01-01"  # the moment that Go writes for none
_T = TypeVar("_T")


class Address(msgspec.Struct, frozen=True):
    """Where an engine listens, and the folder with the files of TLS."""

    host: str
    cert_path: str | None = None


class Tried(msgspec.Struct, frozen=True, rename="pascal"):
    """One run of the container's own health check; its output is not read, for it may hold anything."""

    exit_code: int = 0  # -1 where it took too long


class Health(msgspec.Struct, frozen=True, rename="pascal"):
    """The engine's verdict on a container with a health check."""

    status: str = ""  # starting, healthy, unhealthy; none or "" without a check
    failing_streak: int = 0
    log: tuple[Tried, ...] | None = None


class State(msgspec.Struct, frozen=True, rename="pascal"):
    """How a container is; it is ``running`` also while it is paused, or waits to be restarted by its policy."""

    status: str = ""
    running: bool = False
    paused: bool = False
    restarting: bool = False
    oom_killed: bool = msgspec.field(name="OOMKilled", default=False)
    exit_code: int = 0
    error: str = ""  # why it could not be started
    started_at: str = ""
    finished_at: str = ""
    health: Health | None = None

    @property
    def runs(self) -> bool:
        """Whether there is an instance: a paused one is one, a container that waits to be restarted has none."""
        return self.running and not self.restarting

    @property
    def has_run(self) -> bool:
        return bool(self.started_at) and not self.started_at.startswith(_NEVER)

    @property
    def has_ended(self) -> bool:
        return bool(self.finished_at) and not self.finished_at.startswith(_NEVER)


class Settings(msgspec.Struct, frozen=True, rename="pascal"):
    labels: dict[str, str] | None = None


class RestartPolicy(msgspec.Struct, frozen=True, rename="pascal"):
    name: str = ""  # "" or no: nobody starts it again


class Host(msgspec.Struct, frozen=True, rename="pascal"):
    network_mode: str = ""  # container:ID where it shares that one's network namespace
    pid_mode: str = ""
    restart_policy: RestartPolicy | None = None


class Layers(msgspec.Struct, frozen=True, rename="pascal"):
    data: dict[str, str] | None = None


class Inspected(msgspec.Struct, frozen=True, rename="pascal"):
    """GET /containers/ID/json."""

    id: str
    state: State
    name: str = ""
    path: str = ""
    args: tuple[str, ...] | None = None
    config: Settings = Settings()
    host_config: Host = Host()
    graph_driver: Layers | None = None

    @property
    def called(self) -> str:
        """Its name, as people know it."""
        return self.name.removeprefix("/") or self.id[:12]

    @property
    def labels(self) -> Mapping[str, str]:
        return self.config.labels or {}

    @property
    def layer(self) -> str:
        """Where its writable layer lies on the host; "" where the storage driver does not tell."""
        return ((self.graph_driver.data if self.graph_driver else None) or {}).get("UpperDir", "")

    @property
    def identity(self) -> str:
        """Of this run: `docker restart` keeps the id, and changes the moment of the start."""
        return identity(self.id, self.state.started_at)


class Listed(msgspec.Struct, frozen=True, rename="pascal"):
    """One of GET /containers/json."""

    id: str
    names: tuple[str, ...] | None = None
    labels: dict[str, str] | None = None
    state: str = ""
    created: int = 0
    host_config: Host = Host()

    @property
    def called(self) -> str:
        """Its own name; names with a second slash are links of others to it."""
        own = sorted(self.names or (), key=lambda name: name.count("/"))
        return own[0].removeprefix("/") if own else self.id[:12]

    @property
    def runs(self) -> bool:
        return self.state in ("running", "paused")

    def label(self, key: str) -> str:
        return (self.labels or {}).get(key, "")


class Ran(msgspec.Struct, frozen=True, rename="pascal"):
    """GET /exec/ID/json: a command in a container; ``pid`` is 0 until it has begun, and for ever where it never did."""

    running: bool = False
    exit_code: int | None = None
    pid: int = 0


class Actor(msgspec.Struct, frozen=True, rename="pascal"):
    attributes: dict[str, str] = {}


class Event(msgspec.Struct, frozen=True):
    """Something that the engine noted of a container: start, die, oom, stop, ..."""

    action: str = msgspec.field(name="Action", default="")
    actor: Actor = msgspec.field(name="Actor", default=Actor())
    at: int = msgspec.field(name="timeNano", default=0)


def identity(container: str, started_at: str) -> str:
    return f"container {container[:12]} started {started_at}"


def read(answer: Any, kind: type[_T]) -> _T:
    """An answer as ``kind``. Raises msgspec.ValidationError where it is something else."""
    return msgspec.convert(answer, kind)


def names(containers: Sequence[Listed]) -> str:
    return ", ".join(sorted(one.called for one in containers))
