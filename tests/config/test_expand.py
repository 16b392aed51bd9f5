"""`${NAME}` in string values, and that what it stood for is never shown."""

import pytest

from agent.config.expand import Expansion
from config.support import config, model, problems

SECRET = "hunter2-hunter2"


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("plain $NAME $(NAME) $", "plain $NAME $(NAME) $"),
        ("${A}", "alpha"),
        ("x${A}y${B}z", "xalphaybetaz"),
        ("${C:-default}", "default"),
        ("${EMPTY:-default}", "default"),
        ("${EMPTY}", ""),
        ("${C:-}", ""),
        ("${A:-default}", "alpha"),
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("${NESTED}", "${A}"),
    ],
)
def test_references_are_replaced_once(text: str, expanded: str) -> None:
    assert Expansion({"A": "alpha", "B": "beta", "EMPTY": "", "NESTED": "${A}"}).expand(text) == expanded


@pytest.mark.parametrize("text", ["${", "${}", "${1A}", "${A", "${A-x}", "${A:x}"])
def test_what_is_no_reference_must_be_escaped(text: str) -> None:
    with pytest.raises(ValueError, match=r"write `\$\$\{` for a literal"):
        Expansion({"A": "alpha"}).expand(text)


def test_values_are_expanded_and_keys_are_not() -> None:
    text = model(
        "ports: {http: 8000}\nliveness_check: {http_get: {path: '/${P}', http_headers: [{name: X, value: '${T}'}]}}"
    )
    resolved = config(text, environ={"P": "health", "T": SECRET})
    options = resolved.containers[0].liveness[0].options
    assert (options.path, options.http_headers[0].value) == ("/health", SECRET)
    assert resolved.secrets == (SECRET, "health")
    assert problems(model("'${P}': 1"), environ={"P": "port"})[0].startswith(
        "config.yaml:4: containers[0].${P}: unknown"
    )


def test_an_expanded_value_is_never_yaml() -> None:
    options = config(
        model("liveness_check: {http_get: {path: '${P}'}}"), environ={"P": "/x', port: 1, a: {b: 'c"}
    ).containers[0]
    assert options.liveness[0].options.path == "/x', port: 1, a: {b: 'c"


def test_a_lone_unquoted_reference_may_stand_for_a_number() -> None:
    resolved = config(
        model("liveness_check:\n  period_seconds: ${NO:-2.5}\n  http_get:\n    port: ${PORT}"), environ={"PORT": "8001"}
    )
    check = resolved.containers[0].liveness[0]
    assert (check.options.port, check.period_seconds) == (8001, 2.5)
    quoted = model("liveness_check:\n  period_seconds: '${PERIOD}'\n  http_get: {}")
    assert problems(quoted, environ={"PERIOD": "5"}) == [
        'config.yaml:5: containers[0].liveness_check.period_seconds: expected a number, got the string "${PERIOD}"'
    ]


def test_a_default_is_no_secret_but_the_variable_is() -> None:
    text = model("host: ${HOST:-127.0.0.1}")
    assert config(text).secrets == ()
    assert config(text, environ={"HOST": "10.1.2.3"}).secrets == ("10.1.2.3",)


@pytest.mark.parametrize(
    "lines",
    [
        "name2: ${S}",
        "host: 'http://${S}'",
        "port: ${S}",
        "liveness_check: {http_get: {port: '${S}'}}",
        "liveness_check: {http_get: {scheme: '${S}'}}",
        "liveness_check: {http_get: {host: '${S}'}}",
        "liveness_check: {http_get: {http_headers: [{name: '${S} x', value: y}]}}",
        'liveness_check: {http_get: {http_headers: [{name: x, value: "${S}\\r\\n"}]}}',
        "liveness_check: {http_get: {expect: {body_regex: '(${S}'}}}",
        "liveness_check: {http_get: {expect: {status: ['${S}']}}}",
        "liveness_check: {'config.third_party:Redis': {database: '${S}'}}",
        "runtime: {process: {command_contains: '${S}', pid_file: '${S}'}}",
        "restart: {action: {signal: {signal: '${S}'}}}",
        "restart: {policy: '${S}'}",
    ],
)
def test_no_error_shows_what_a_reference_stood_for(lines: str) -> None:
    wrong = problems(model(lines), environ={"S": SECRET})
    assert wrong
    assert SECRET not in "\n".join(wrong)
