"""EAS service.json: the page's own sample, its two wordings of the thresholds, and what is strict and what is not."""

import json
from pathlib import Path
from typing import Any

import pytest

from agent.config import Loaded, Options
from agent.probes.exec import Exec
from agent.probes.http import HttpGet
from config.support import problems, read

SAMPLE = (Path(__file__).parent / "data" / "eas-sample.json").read_text(encoding="utf-8")
EAS_PAGE = Options(threshold_semantics="eas-page")


def service(*containers: dict[str, Any]) -> str:
    return json.dumps({"metadata": {"name": "x"}, "cloud": {}, "containers": list(containers)}, indent=1)


def loaded(*containers: dict[str, Any], options: Options | None = None) -> Loaded:
    return read(service(*containers), options=options, name="service.json")


def codes(found: Loaded) -> list[str]:
    return [warning.code for warning in found.warnings]


def test_the_pages_own_sample_works_and_warns_once_of_its_thresholds() -> None:
    found = read(SAMPLE, name="service.json")
    assert found.kind == "eas"
    (container,) = found.config.containers
    assert (container.name, container.host, container.port) == ("container-0", "127.0.0.1", 8000)
    (check,) = container.liveness
    assert check.options == HttpGet(path="/", port=8000)
    assert (check.initial_delay_seconds, check.period_seconds, check.timeout_seconds) == (3, 3, 1)
    assert (check.success_threshold, check.failure_threshold) == (1, 4)
    (warning,) = found.warnings
    assert str(warning) == (
        "service.json:21: containers[0].liveness_check: W-EAS-THRESHOLD: thresholds are read as Kubernetes means them "
        "(--threshold-semantics eas-page is the other way): 4 failures to fail, 1 success (2 become 1) to recover "
        "(the other way: 2 failures to fail, 1 success (4 become 1) to recover)"
    )


@pytest.mark.parametrize("how", ["option", "variable"])
def test_the_pages_wording_takes_success_threshold_for_failures(how: str) -> None:
    if how == "option":
        found = read(SAMPLE, options=EAS_PAGE)
    else:
        found = read(SAMPLE, environ={"HEALTH_AGENT_THRESHOLD_SEMANTICS": "eas-page"})
    check = found.config.containers[0].liveness[0]
    assert (check.success_threshold, check.failure_threshold) == (1, 2)
    assert codes(found) == ["W-EAS-THRESHOLD"]
    assert "as the EAS page words them" in found.warnings[0].message


@pytest.mark.parametrize(
    ("kind", "options", "thresholds"),
    [
        ("liveness", None, (1, 3)),
        ("startup", None, (1, 3)),
        ("readiness", None, (1, 3)),
        ("liveness", EAS_PAGE, (1, 1)),
        ("startup", EAS_PAGE, (1, 1)),
        ("readiness", EAS_PAGE, (1, 3)),
    ],
)
def test_absent_thresholds_have_the_defaults_of_their_wording(
    kind: str, options: Options | None, thresholds: tuple[int, int]
) -> None:
    found = loaded({"port": 8000, f"{kind}_check": {"http_get": {}}}, options=options)
    (check,) = found.config.containers[0].checks()
    assert (check.success_threshold, check.failure_threshold) == thresholds
    assert (check.initial_delay_seconds, check.period_seconds, check.timeout_seconds) == (0, 10, 1)
    assert codes(found) == ([] if kind == "readiness" else ["W-EAS-THRESHOLD"])


def test_readiness_may_need_several_successes_in_both_wordings() -> None:
    check = {"http_get": {}, "success_threshold": 2, "failure_threshold": 4}
    kubernetes = loaded({"port": 8000, "readiness_check": check}).config.containers[0].readiness[0]
    page = loaded({"port": 8000, "readiness_check": check}, options=EAS_PAGE).config.containers[0].readiness[0]
    assert (kubernetes.success_threshold, kubernetes.failure_threshold) == (2, 4)
    assert (page.success_threshold, page.failure_threshold) == (4, 2)


def test_one_warning_names_every_check_whose_readings_differ() -> None:
    live = {"http_get": {}, "success_threshold": 1, "failure_threshold": 5}
    found = loaded({"port": 8000, "liveness_check": live}, {"port": 8001, "startup_check": live})
    (warning,) = found.warnings
    assert warning.path == "containers[0].liveness_check"
    assert "containers[1].startup_check: 5 failures to fail" in warning.message


def test_a_clamped_count_is_told_even_where_both_readings_come_to_the_same() -> None:
    found = loaded({"port": 8000, "liveness_check": {"http_get": {}, "success_threshold": 3, "failure_threshold": 3}})
    assert codes(found) == ["W-EAS-CLAMPED"]


def test_outside_the_checks_anything_may_stand_and_containers_without_checks_are_left_out() -> None:
    found = loaded(
        {"image": "sidecar", "command": "run ${UNSET}"},
        {"name": "server", "port": 8000, "resources": [], "liveness_check": {"tcp_socket": {"port": 8001}}},
        {"port": 8002, "startup_check": {"tcp_socket": {}}},
    )
    assert [(one.name, one.port) for one in found.config.containers] == [("server", 8000), ("container-2", 8002)]


def test_where_speaks_of_the_document_although_containers_were_left_out() -> None:
    found = loaded({"image": "x"}, {"port": 8000, "liveness_check": {"tcp_socket": {}}})
    assert found.tree.at("containers[0].liveness_check").path == "containers[1].liveness_check"


def test_a_command_runs_in_the_container_unless_it_is_told_otherwise() -> None:
    container = {"port": 8000, "readiness_check": {"exec": {"command": ["x"]}}}
    found = loaded(container)
    assert found.config.containers[0].readiness[0].options == Exec(command=("x",), in_="container")
    assert [problem.code for problem in found.exec_nowhere] == ["W-EXEC-NOWHERE"]
    assert found.exec_nowhere[0].path == "containers[0].readiness_check.exec"
    beside = loaded(container, options=Options(exec_in="agent"))
    assert beside.config.containers[0].readiness[0].options == Exec(command=("x",), in_="agent")
    assert beside.exec_nowhere == []
    by_variable = read(service(container), environ={"HEALTH_AGENT_EXEC_IN": "agent"})
    assert by_variable.exec_nowhere == []


def test_an_undocumented_health_check_is_taken_as_readiness_with_a_warning() -> None:
    found = loaded({"port": 8000, "health_check": {"http_get": {}}})
    assert [check.name for check in found.config.containers[0].readiness] == ["http_get"]
    assert codes(found) == ["W-EAS-HEALTH-CHECK"]


@pytest.mark.parametrize("key", ["cloud", "metadata", "storage", "processor", "name"])
def test_a_service_is_recognised_by_any_of_its_own_keys(key: str) -> None:
    check = {"exec": {"command": ["x"]}}
    text = json.dumps({key: "x", "containers": [{"port": 8000, "readiness_check": check}]})
    assert read(text).kind == "eas"


def test_yaml_is_read_like_json() -> None:
    text = "metadata: {name: x}\ncontainers:\n- port: 8000\n  liveness_check: {http_get: {prot: 1}}\n"
    assert problems(text) == [
        "config.yaml:4: containers[0].liveness_check.http_get.prot: unknown key, did you mean 'port'?"
    ]


@pytest.mark.parametrize("port", [8080, 9090])
def test_the_engines_own_ports_are_refused_wherever_they_stand(port: int) -> None:
    for container in (
        {"port": port},
        {"port": 8000, "liveness_check": {"http_get": {"port": port}}},
        {"port": 8000, "startup_check": {"tcp_socket": {"port": port}}},
    ):
        assert any(f"{port} is taken by the EAS engine" in line for line in problems(service(container)))


def test_a_native_file_adds_what_a_service_can_not_say() -> None:
    over = "state_file: /s\ncontainers: [{name: container-0, restart: {action: {exit: {}}, dry_run: true}}]"
    found = read(SAMPLE, over, name="service.json")
    (container,) = found.config.containers
    assert (container.port, container.restart.action_name, container.restart.dry_run) == (8000, "exit", True)
    assert found.where("containers[0].restart.dry_run") == ("over1.yaml", 2)
    assert found.kind == "eas"
