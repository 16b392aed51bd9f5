"""Configuration by HEALTH_AGENT_* variables, alone and over documents."""

import pytest

from agent.config import Options
from agent.probes.http import HttpGet
from config.support import config, model, problems, read

CHECK = {"HEALTH_AGENT_LIVENESS_CHECK": "{http_get: {path: /health}}", "HEALTH_AGENT_TARGET_PORT": "8000"}
DOCUMENT = model("liveness_check: {http_get: {}}")


def test_variables_alone_describe_one_container() -> None:
    loaded = read(
        environ={
            "HEALTH_AGENT_STARTUP_CHECK": "tcp_socket: {}\nfailure_threshold: 60\n",
            "HEALTH_AGENT_LIVENESS_CHECK": '[{"http_get": {}}, {"exec": {"command": ["true"]}}]',
            "HEALTH_AGENT_READINESS_CHECK": "{http_get: {path: /ready}}",
            "HEALTH_AGENT_RESTART": "{action: {notify: {}}, dry_run: true}",
            "HEALTH_AGENT_RUNTIME": "{process: {port: 8000}}",
            "HEALTH_AGENT_TARGET_HOST": "model.example",
            "HEALTH_AGENT_TARGET_PORT": "8000",
            "HEALTH_AGENT_CONTAINER": "llm",
        }
    )
    assert (loaded.kind, loaded.files, loaded.exec_nowhere) == ("environment", (), [])
    (container,) = loaded.config.containers
    assert (container.name, container.host, container.port) == ("llm", "model.example", 8000)
    assert [check.method for check in container.checks()] == ["tcp_socket", "http_get", "http_get", "exec"]
    assert (container.restart.action_name, container.restart.dry_run) == ("notify", True)
    assert container.runtime.port == 8000


def test_the_container_is_called_model() -> None:
    assert config(environ=CHECK).containers[0].name == "model"


def test_a_number_is_a_valid_name_of_a_container_where_everything_is_text() -> None:
    assert config(environ={**CHECK, "HEALTH_AGENT_CONTAINER": "8000"}).containers[0].name == "8000"


def test_an_error_names_the_variable_and_the_line_within_it() -> None:
    name = "HEALTH_AGENT_READINESS_CHECK"
    block = "http_get:\n  path: /\n  prot: 8000\n"
    assert problems(environ={name: block, "HEALTH_AGENT_TARGET_PORT": "80a"}) == [
        'HEALTH_AGENT_TARGET_PORT:1: containers[0].port: expected an integer, got the string "80a"',
        f"{name}:3: containers[0].readiness_check.http_get.prot: unknown key, did you mean 'port'?",
    ]


def test_nothing_at_all_is_an_error_that_says_what_to_give() -> None:
    (line,) = problems(environ={"HEALTH_AGENT_LOG__LEVEL": "debug"})
    assert line.startswith("environment: no configuration: give --config FILE")


@pytest.mark.parametrize("broken", ["{http_get: [", "", "{a: 1}\n---\n{b: 2}\n"])
def test_a_block_must_be_one_document(broken: str) -> None:
    assert len(problems(environ={**CHECK, "HEALTH_AGENT_READINESS_CHECK": broken})) == (1 if broken else 0)


def test_any_scalar_of_the_document_is_set_by_its_path() -> None:
    environ = {
        "HEALTH_AGENT_SERVER__PORT": "9900",
        "HEALTH_AGENT_SERVER__HOST": "127.0.0.1",
        "HEALTH_AGENT_LOG__FORMAT": "text",
        "HEALTH_AGENT_STATE_FILE": "8000",
        "HEALTH_AGENT_SHUTDOWN_DELAY_SECONDS": "1.5",
        "HEALTH_AGENT_CONTAINERS__0__LIVENESS_CHECK__PERIOD_SECONDS": "2",
        "HEALTH_AGENT_CONTAINERS__0__RESTART__DRY_RUN": "true",
        "HEALTH_AGENT_CONTAINERS__0__RESTART__BUDGET__RESTARTS": "2",
    }
    for resolved in (config(DOCUMENT, environ=environ), config(environ={**CHECK, **environ})):
        assert (resolved.server.port, resolved.server.host, resolved.log.format) == (9900, "127.0.0.1", "text")
        assert (resolved.state_file, resolved.shutdown_delay_seconds) == ("8000", 1.5)
        container = resolved.containers[0]
        assert container.liveness[0].period_seconds == 2
        assert (container.restart.dry_run, container.restart.budget.restarts) == (True, 2)


def test_a_path_wins_over_the_document_and_its_errors_name_the_variable() -> None:
    text = "server: {port: 1}\n" + DOCUMENT
    assert config(text, environ={"HEALTH_AGENT_SERVER__PORT": "2"}).server.port == 2
    assert problems(text, environ={"HEALTH_AGENT_SERVER__PORT": "99999"}) == [
        "HEALTH_AGENT_SERVER__PORT:1: server.port: 99999 is above the maximum of 65535"
    ]
    assert problems(text, environ={"HEALTH_AGENT_SERVER__PROT": "1", "HEALTH_AGENT_CONTAINERS__7__PORT": "1"}) == [
        "HEALTH_AGENT_CONTAINERS__7__PORT:1: containers.7.port: there is no item 7 here: it has items 0 to 0",
        "HEALTH_AGENT_SERVER__PROT:1: server.prot: unknown key, did you mean 'port'?",
    ]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("HEALTH_AGENT_LIVENES_CHECK", "HEALTH_AGENT_LIVENESS_CHECK"),
        ("HEALTH_AGENT_PORT", "HEALTH_AGENT_SERVER__PORT"),
        ("HEALTH_AGENT_SERVER_PORT", "HEALTH_AGENT_SERVER__PORT"),
        ("HEALTH_AGENT_TARGETPORT", "HEALTH_AGENT_TARGET_PORT"),
        ("HEALTH_AGENT_CONFG", "HEALTH_AGENT_CONFIG"),
    ],
)
def test_an_unknown_variable_is_an_error_that_guesses_what_was_meant(name: str, meant: str) -> None:
    assert problems(DOCUMENT, environ={name: "9900"}) == [f"{name}:1: unknown variable, did you mean '{meant}'?"]


def test_an_unknown_variable_like_nothing_else_is_an_error_too() -> None:
    (line,) = problems(DOCUMENT, environ={"HEALTH_AGENT_XYZZY_123": "1"})
    assert line.startswith("HEALTH_AGENT_XYZZY_123:1: unknown variable")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HEALTH_AGENT_SERVICE_HOST", "10.0.0.1"),
        ("HEALTH_AGENT_SERVICE_PORT", "80"),
        ("HEALTH_AGENT_SERVICE_PORT_HTTP", "80"),
        ("HEALTH_AGENT_PORT", "tcp://10.0.0.1:80"),
        ("HEALTH_AGENT_TARGET_PORT", "udp://10.0.0.1:80"),
        ("HEALTH_AGENT_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("HEALTH_AGENT_PORT_80_TCP_PROTO", "tcp"),
        ("HEALTH_AGENT_PORT_53_UDP_PORT", "53"),
        ("HEALTH_AGENT_WEB_PORT_36412_SCTP_ADDR", "10.0.0.1"),
    ],
)
def test_what_a_service_of_that_name_injects_is_ignored(name: str, value: str) -> None:
    assert problems(DOCUMENT, environ={name: value}) == []


@pytest.mark.parametrize(
    "name", ["LIVENESS_CHECK", "READINESS_CHECK", "STARTUP_CHECK", "PRESET", "RESTART", "TARGET_HOST", "TARGET_PORT"]
)
def test_a_variable_that_would_contradict_the_document_is_an_error(name: str) -> None:
    assert problems(DOCUMENT, environ={f"HEALTH_AGENT_{name}": "x"}) == [
        f"HEALTH_AGENT_{name}:1: set beside the document config.yaml: the document speaks, write it there or unset this"
    ]


def test_an_empty_variable_counts_as_unset() -> None:
    assert problems(DOCUMENT, environ={"HEALTH_AGENT_RESTART": "", "HEALTH_AGENT_SERVER__PORT": ""}) == []


def test_reading_options_by_variable_are_checked() -> None:
    environ = {"HEALTH_AGENT_EXEC_IN": "here", "HEALTH_AGENT_THRESHOLD_SEMANTICS": "page"}
    assert problems(DOCUMENT, environ=environ) == [
        'HEALTH_AGENT_EXEC_IN:1: "here" is none of agent, container',
        'HEALTH_AGENT_THRESHOLD_SEMANTICS:1: "page" is none of kubernetes, eas-page',
    ]
    assert problems(DOCUMENT, environ={"HEALTH_AGENT_EXEC_IN": "x"}, options=Options(exec_in="agent")) == []


def test_a_path_looks_like_the_document_says_it() -> None:
    options = config(DOCUMENT, environ={"HEALTH_AGENT_CONTAINERS__0__LIVENESS_CHECK__HTTP_GET__PORT": "8001"})
    assert options.containers[0].liveness[0].options == HttpGet(port=8001)
