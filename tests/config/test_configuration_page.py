"""docs/configuration.md beside the code: every key with its default, every variable, every warning."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.actions import ACTIONS
from agent.config import ConfigError, SourceRef, environment, find_sources, load, schema
from agent.config.environment import PREFIX, problems_of
from agent.config.lint import lint
from agent.probes import METHODS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
SCHEMA = schema()

SECTIONS = {
    "Top level": SCHEMA,
    "server": "Server",
    "admin": "Admin",
    "log": "Log",
    "containers": "ContainerFields",
    "Checks": "one_liveness_check",
    "Method http_get": "HttpGet",
    "tls": "Tls",
    "expect": "Expect",
    "Headers": "agent.probes.parts.request.Header",
    "Method tcp_socket": "TcpSocket",
    "Method exec": "Exec",
    "Method grpc": "Grpc",
    "Method inference": "Inference",
    "Method process": "ProcessCheck",
    "Method gpu": "Gpu",
    "restart": "Restart",
    "drain": "Drain",
    "backoff": "Backoff",
    "budget": "Budget",
    "escalate": "Escalation",
    "hooks": "Hooks",
    "Action signal": "Signal",
    "Action exec": "ExecAction",
    "Action webhook": "Webhook",
    "Action kubernetes": "KubernetesAction",
    "Action exit": "Exit",
    "Runtime process": "Process",
    "Runtime docker": "Docker",
    "Runtime kubernetes": "Kubernetes",
}
"""Heading to the schema's definition."""

ROW = re.compile(r"^\| `(?P<key>[^`]+)` \| (?P<default>[^|]+) \| (?P<meaning>[^|]{4,}) \|$", re.MULTILINE)


def section(heading: str) -> str:
    """The page's text below a heading, up to the next."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"docs/configuration.md has no section {heading!r}"
    return found[1]


def keys(definition: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each key that is written today, with its default as the page shows it."""
    for key, told in definition["properties"].items():
        if key in METHODS and "name" in definition["properties"]:
            continue
        if isinstance(told.get("default"), dict) and "$ref" in told:
            yield key, "below"
        elif "default" in told:
            value = told["default"]
            shown = int(value) if isinstance(value, float) and value == int(value) else value
            yield key, f"`{json.dumps(shown)}`"
        else:
            yield key, "required"


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_key_is_told_with_its_default_and_none_that_is_not_there(heading: str) -> None:
    where = SECTIONS[heading]
    definition = SCHEMA["$defs"][where] if isinstance(where, str) else where
    assert {row["key"]: row["default"] for row in ROW.finditer(section(heading))} == dict(keys(definition))


def test_no_definition_of_the_schema_is_left_out() -> None:
    empty = {name for name, told in SCHEMA["$defs"].items() if not told.get("properties")}
    choices = {"action", "hook", "runtime", "one_startup_check", "one_readiness_check", "agent.actions.webhook.Header"}
    assert SCHEMA["$defs"].keys() - empty - choices == {name for name in SECTIONS.values() if isinstance(name, str)}


def test_every_method_and_action_has_its_place() -> None:
    for word in (*(f"### Method {name}" for name in METHODS), *(f"`{name}: {{}}`" for name in ("none", "notify"))):
        assert word in PAGE
    for name in ACTIONS.keys() - {"none", "notify"}:
        assert f"#### Action {name}\n" in PAGE


def test_every_warning_is_explained_and_none_that_is_never_given() -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "agent").rglob("*.py"))
    assert set(re.findall(r"^\| `(W-[A-Z-]+)`", section("Warnings"), re.MULTILINE)) == set(
        re.findall(r'"(W-[A-Z-]+)"', sources)
    )


def test_every_variable_is_named_and_none_that_is_unknown() -> None:
    named = set(re.findall(rf"{PREFIX}\w+", PAGE))
    assert [str(problem) for problem in problems_of(dict.fromkeys(named, "x"), beside="")] == []
    rows = set(re.findall(rf"^\| `({PREFIX}\w+)`", PAGE, re.MULTILINE))
    assert rows == {*environment._BLOCKS, *environment._SCALARS, *environment.READERS}


def test_the_compose_example_is_good_and_careful() -> None:
    example = re.search(r"```yaml\n(x-health-agent:.*?)```", PAGE, re.DOTALL)
    assert example
    loaded = load([SourceRef("compose.yaml", content=example[1].encode())], {})
    assert [container.name for container in loaded.config.containers] == ["model"]
    assert loaded.warnings == []
    assert lint(loaded.config) == []


def test_the_example_is_good_and_careful(tmp_path: Path) -> None:
    example = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert example
    (tmp_path / "config.yaml").write_text(example[1])
    try:
        loaded = load(find_sources([str(tmp_path / "config.yaml")], {}), {})
    except ConfigError as wrong:
        pytest.fail(str(wrong))
    assert loaded.warnings == []
    assert lint(loaded.config) == []
