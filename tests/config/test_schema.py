"""The JSON Schema agrees with the decoder about documents."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from agent.config import schema
from agent.config.kinds import kind_of
from agent.config.parse import parse
from config.support import model
from config.test_native import CONTRACT

BAD = Path(__file__).parent / "bad"
BEYOND = {
    "admin-for-everybody", "admin-on-the-public-port", "admin-with-two-places", "admin-without-a-place",
    "backoff-upside-down", "command-with-an-open-quote", "duplicate-check-names", "duplicate-container-names",
    "docker-cert-path-over-unix", "docker-host-relative", "docker-project-without-service",
    "docker-with-two-containers", "docker-without-runtime", "duplicate-key", "empty-program",
    "engine-health-without-runtime", "exit-without-state-file", "gpu-by-index", "header-name-wrong",
    "host-not-allowed", "inference-of-nothing", "kubernetes-without-runtime", "own-listener", "port-missing",
    "port-name-unknown", "port-name-without-names", "process-two-ways", "progress-of-a-query", "quoted-number",
    "regex-wrong", "runtime-without-a-way", "signal-unknown", "signal-without-runtime", "third-party-missing",
    "third-party-no-struct", "variable-unclosed", "variable-unset",
}  # fmt: skip
"""Mistakes that lie between keys, or within strings, where no schema sees them."""


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    document = json.loads(json.dumps(schema()))
    jsonschema.Draft202012Validator.check_schema(document)
    return jsonschema.Draft202012Validator(document)


@pytest.mark.parametrize(
    "text",
    [
        CONTRACT,
        model("liveness_check: {exec: {command: a b}}"),
        model("liveness_check: {'my_package.checks:Redis': {any: thing}}\nrestart: {action: {'a.b:C': {}}}"),
        model("startup_check: []\nreadiness_check: {tcp_socket: {port: http}, success_threshold: 3}"),
        model("liveness_check: {http_get: {expect: {status: [200-399, 503], json: {$.a: 1}}, tls: {verify: true}}}"),
        model("restart: {action: {webhook: {url: 'http://h/'}}, hooks: {on_give_up: {exec: {command: [x]}}}}"),
    ],
)
def test_good_documents_are_good(validator: jsonschema.Draft202012Validator, text: str) -> None:
    validator.validate(yaml.safe_load(text))


def native_mistakes() -> list[Path]:
    found = []
    for path in sorted(BAD.glob("*.yaml")):
        parsed = parse(path.read_text(), path.name)
        if parsed.fault is None and len(parsed.documents) == 1 and kind_of(parsed.documents[0]).name == "native":
            found.append(path)
    return found


@pytest.mark.parametrize("path", native_mistakes(), ids=lambda path: path.stem)
def test_bad_documents_are_bad_unless_the_mistake_lies_between_keys(
    validator: jsonschema.Draft202012Validator, path: Path
) -> None:
    document: Any = json.loads(json.dumps(yaml.safe_load(path.read_text())))
    assert validator.is_valid(document) == (path.stem in BEYOND)


def test_every_documented_key_has_its_default_and_the_strict_ones_refuse_others() -> None:
    document = schema()
    container = document["$defs"]["ContainerFields"]
    assert container["additionalProperties"] is False
    assert container["properties"]["host"]["default"] == "127.0.0.1"
    assert document["$defs"]["one_liveness_check"]["properties"]["period_seconds"]["default"] == 10
    assert "action_name" not in document["$defs"]["Restart"]["properties"]
    assert document["required"] == ["containers"]
