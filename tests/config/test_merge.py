"""Several documents laid over each other."""

from config.support import config, model, problems, read

BASE = """
server: {port: 9900, details: full}
containers:
  - name: model
    port: 8000
    liveness_check: {http_get: {path: /health}, period_seconds: 5, timeout_seconds: 4}
    readiness_check: [{http_get: {}}, {tcp_socket: {}}]
    restart: {action: {exec: {command: [restart]}}, budget: {restarts: 1}}
  - {name: other, port: 9000}
"""


def test_later_fields_win_and_the_others_stay() -> None:
    over = "server: {port: 9901}\ncontainers: [{name: model, liveness_check: {period_seconds: 7}}]"
    resolved = config(BASE, over)
    assert (resolved.server.port, resolved.server.details) == (9901, "full")
    check = resolved.containers[0].liveness[0]
    assert (check.options.path, check.period_seconds, check.timeout_seconds) == ("/health", 7, 4)


def test_containers_meet_by_name_and_new_ones_come_last() -> None:
    over = "containers: [{name: new, port: 1}, {name: other, port: 9001}]"
    resolved = config(BASE, over)
    assert [(one.name, one.port) for one in resolved.containers] == [("model", 8000), ("other", 9001), ("new", 1)]


def test_a_list_of_checks_is_replaced() -> None:
    resolved = config(BASE, "containers: [{name: model, readiness_check: [{name: only, tcp_socket: {}}]}]")
    assert [check.name for check in resolved.containers[0].readiness] == ["only"]


def test_another_method_or_action_replaces_the_first() -> None:
    over = "containers: [{name: model, liveness_check: {tcp_socket: {}}, restart: {action: {notify: {}}}}]"
    container = config(BASE, over).containers[0]
    assert (container.liveness[0].method, container.liveness[0].period_seconds) == ("tcp_socket", 5)
    assert (container.restart.action_name, container.restart.budget.restarts) == ("notify", 1)


def test_the_same_method_or_action_is_merged_field_by_field() -> None:
    over = "containers: [{name: model, liveness_check: {http_get: {port: 1}}}]"
    options = config(BASE, over).containers[0].liveness[0].options
    assert (options.path, options.port) == ("/health", 1)


def test_null_takes_a_block_away() -> None:
    container = config(BASE, "containers: [{name: model, liveness_check: null, restart: null}]").containers[0]
    assert (container.liveness, container.restart.action_name) == ((), "none")


def test_three_documents_are_laid_over_each_other_in_their_order() -> None:
    assert config(BASE, "server: {port: 1}", "server: {port: 2}").server.port == 2


def test_an_error_names_the_file_and_line_that_its_value_came_from() -> None:
    over = "containers:\n  - name: other\n    prot: 1\n  - name: model\n    liveness_check:\n      period_seconds: -1\n"
    assert problems(BASE.replace("path: /health", "paht: /"), over) == [
        "over1.yaml:3: containers[0].prot: unknown key, did you mean 'port'?",
        "over1.yaml:6: containers[1].liveness_check.period_seconds: -1 is below the minimum of 0.1",
        "config.yaml:6: containers[0].liveness_check.http_get.paht: unknown key, did you mean 'path'?",
    ]


def test_errors_of_all_files_are_told_at_once_even_where_one_can_not_be_parsed() -> None:
    lines = problems("containers: [", "a: 1\na: 2\n", "- x\n")
    assert [line.partition(":")[0] for line in lines] == ["config.yaml", "over1.yaml", "over2.yaml"]


def test_a_container_without_a_name_meets_nothing() -> None:
    assert problems(BASE, "containers: [{port: 1}]") == ["over1.yaml:1: containers[0].name: is missing"]


def test_containers_of_one_document_never_meet_each_other() -> None:
    assert "a second container named 'a'" in problems("containers: [{name: a}, {name: a}]", "server: {}")[0]


def test_places_are_those_of_the_file_each_value_came_from() -> None:
    loaded = read(model("liveness_check: {http_get: {}}"), "containers:\n- name: model\n\n  port: 1\n")
    assert loaded.where("containers[0].port") == ("over1.yaml", 4)
    assert loaded.where("containers[0].liveness_check") == ("config.yaml", 4)
