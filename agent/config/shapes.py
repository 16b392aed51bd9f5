"""The native document's own structs: what it spells out beside the settings that it shares with the engine."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from agent.core.settings import Admin, Count, Log, Port, PositiveSeconds, Restart, Seconds, Server

_AtLeastATenth = Annotated[float, Meta(ge=0.1, le=2_147_483_647)]
_Name = Annotated[str, Meta(pattern="^[a-z0-9]([-_.a-z0-9]*[a-z0-9])?$", max_length=253)]
_CheckName = Annotated[str, Meta(pattern=r"^[^\s/\x00-\x1f]+$", min_length=1, max_length=100)]
_PortName = Annotated[str, Meta(pattern="^[-_.A-Za-z0-9]*[A-Za-z][-_.A-Za-z0-9]*$")]
_Host = Annotated[str, Meta(pattern=r"^[^\s/@?#\[\]]+$", min_length=1)]


class CheckFields(msgspec.Struct, frozen=True, kw_only=True):
    """What every check may say beside its method."""

    name: Annotated[_CheckName | None, Meta(description="default: the method's name, then -2, ...")] = None
    initial_delay_seconds: Annotated[
        Seconds, Meta(description="no probe earlier, seconds after the target's start")
    ] = 0.0
    period_seconds: Annotated[_AtLeastATenth, Meta(description="seconds from probe to probe")] = 10.0
    timeout_seconds: Annotated[
        _AtLeastATenth | None, Meta(description="seconds one probe may take; null: 1, or the method's own default")
    ] = None
    success_threshold: Annotated[
        Count, Meta(description="successes in a row to succeed; 1 for liveness and startup")
    ] = 1
    failure_threshold: Annotated[
        Count | None, Meta(description="failures in a row to fail; null: 3, or the method's own default")
    ] = None
    termination_grace_period_seconds: Annotated[
        PositiveSeconds | None, Meta(description="seconds to end after this check's Failure; not for readiness")
    ] = None
    errors_are_failures: Annotated[bool, Meta(description="a probe that could not be run counts as a failure")] = False


def _checks(kind: str) -> Meta:
    return Meta(
        description="one check, or a list of checks",
        extra={"kind": f"{kind}_check"},
        extra_json_schema={"$ref": f"#/$defs/{kind}_check"},
    )


class ContainerFields(msgspec.Struct, frozen=True, kw_only=True):
    """One model server."""

    name: Annotated[_Name, Meta(description="unique; /healthz/NAME and the metrics carry it")]
    host: Annotated[_Host, Meta(description="where its network checks go; ${POD_IP} to look as the kubelet does")] = (
        "127.0.0.1"
    )
    port: Annotated[Port | None, Meta(description="default port of its checks")] = None
    ports: Annotated[dict[_PortName, Port], Meta(description="names that are usable wherever a port is")] = {}
    preset: Annotated[
        str | None,
        Meta(description="a server's name, or a file of your own; gives the checks that are not written here"),
    ] = None
    model: Annotated[str | None, Meta(description="the served model's name, for presets that ask for it")] = None
    load_seconds: Annotated[
        PositiveSeconds | None, Meta(description="how long a load usually takes; explain warns of a shorter startup")
    ] = None
    runtime: Annotated[
        Any,
        Meta(
            description="what the container is where it runs",
            extra={"kind": "runtime"},
            extra_json_schema={"$ref": "#/$defs/runtime"},
        ),
    ] = None
    startup_check: Annotated[Any, _checks("startup")] = None
    liveness_check: Annotated[Any, _checks("liveness")] = None
    readiness_check: Annotated[Any, _checks("readiness")] = None
    restart: Restart | None = None


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """Configuration of model-health-agent."""

    server: Server = Server()
    admin: Annotated[Admin | None, Meta(description="the admin listener; null: none")] = None
    log: Log = Log()
    state_file: Annotated[
        str | None, Meta(description="where budgets, holds and 'started' survive the agent's own restart")
    ] = None
    shutdown_delay_seconds: Annotated[Seconds, Meta(description="/ready is 503 for so long before the agent ends")] = (
        0.0
    )
    allow_hosts: Annotated[
        tuple[_Host, ...],
        Meta(description="targets beyond loopback, this pod's addresses and the containers' own hosts"),
    ] = ()
    containers: Annotated[tuple[ContainerFields, ...], Meta(min_length=1, extra={"kind": "containers"})]


STAND_INS: Final[Mapping[type, Mapping[str, Any]]] = {Document: {"containers": ()}, ContainerFields: {"name": "?"}}
"""What a required key counts as once it was reported, so that the rest of the document is still looked at."""
