"""A native file over a document of another kind: it may bring the checks of a container that has none of its own."""

import json
from typing import Any

import pytest

from agent.config import ConfigError, Loaded, SourceRef, load


def laid(base: str | dict[str, Any], *over: str) -> Loaded:
    texts = [base if isinstance(base, str) else json.dumps(base), *over]
    return load([SourceRef(f"file{at}", content=text.encode()) for at, text in enumerate(texts)], {})


EAS = {"cloud": {}, "containers": [{"name": "model", "port": 8000}, {"name": "web", "port": 80}]}
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  terminationGracePeriodSeconds: 45
  containers:
    - {name: model, ports: [{name: http, containerPort: 8000}]}
    - {name: web, ports: [{containerPort: 80}]}
"""
PROJECT = """\
services:
  model: {image: x, expose: [8000], healthcheck: {test: [CMD, "true"]}}
  web: {image: y, expose: [80]}
"""
READY = "containers: [{name: model, readiness_check: {tcp_socket: {}}}]"


@pytest.mark.parametrize(("base", "host"), [(EAS, "127.0.0.1"), (POD, "127.0.0.1"), (PROJECT, "model")])
@pytest.mark.parametrize("before", [(), ("containers: [{name: model, restart: {dry_run: true}}]",)])
def test_a_container_without_checks_keeps_its_port_for_those_that_are_laid_over_it(
    base: Any, host: str, before: tuple[str, ...]
) -> None:
    (found,) = laid(base, *before, READY).config.containers
    assert (found.name, found.host, found.port, len(found.readiness)) == ("model", host, 8000, 1)


def test_its_named_ports_and_its_grace_are_known_too() -> None:
    (found,) = laid(POD, "containers: [{name: model, readiness_check: {tcp_socket: {port: http}}}]").config.containers
    assert (found.ports, found.restart.grace_period_seconds) == ({"http": 8000}, 45)


@pytest.mark.parametrize("base", [EAS, POD, PROJECT])
def test_a_container_that_nobody_says_anything_of_is_left_alone(base: Any) -> None:
    assert [one.name for one in laid(base, READY).config.containers] == ["model"]
    with pytest.raises(ConfigError):
        laid(base)


RUNTIME = "containers: [{name: model, runtime: {docker: {container: z}}}]"


@pytest.mark.parametrize("block", ["", "\n    x-health-agent: {port: 1}"])
def test_a_healthcheck_is_read_through_a_runtime_that_is_laid_over_it(block: str) -> None:
    base = f"services:\n  model:\n    image: x\n    healthcheck: {{test: [CMD, x]}}{block}\n"
    loaded = laid(base, RUNTIME)
    (found,) = loaded.config.containers
    assert [(check.type, check.method) for check in found.checks()] == [("readiness", "engine_health")]
    assert found.runtime.container == "z"
    assert loaded.warnings == []


def test_a_restart_that_is_laid_over_it_makes_it_the_liveness_check_too() -> None:
    base = "services: {model: {image: x, healthcheck: {test: [CMD, x]}, x-health-agent: {runtime: {docker: {}}}}}"
    (found,) = laid(base, "containers: [{name: model, restart: {action: {docker: {}}}}]").config.containers
    assert [str(check.type) for check in found.checks()] == ["readiness", "liveness"]
    assert found.runtime.service == "model"


def test_without_the_runtime_it_is_left_out_and_told() -> None:
    loaded = laid(PROJECT, READY)
    assert [warning.code for warning in loaded.warnings] == ["W-COMPOSE-HEALTHCHECK"]
