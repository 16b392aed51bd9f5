"""What README, docs/, CHANGELOG and deploy/ say is true of the code: commands, options, links, names, documents."""

import argparse
import re
import shlex
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent import cli
from agent.config import Options, find_sources, load
from agent.core.brakes import WHYS
from agent.core.model import REASONS
from agent.server.metrics import FAMILIES

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("deploy/**/*.md")])
DEPLOYED = sorted(path for path in ROOT.glob("deploy/**/*") if path.is_file() and path.suffix != ".md")
"""Files with claims in them."""

VARIABLES = {
    *("HEALTH_AGENT_CONFIG", "HEALTH_AGENT_EXEC_IN", "HEALTH_AGENT_THRESHOLD_SEMANTICS"),
    *("HEALTH_AGENT_STARTUP_CHECK", "HEALTH_AGENT_LIVENESS_CHECK", "HEALTH_AGENT_READINESS_CHECK"),
    *(
        "HEALTH_AGENT_RESTART",
        "HEALTH_AGENT_RUNTIME",
        "HEALTH_AGENT_PRESET",
        "HEALTH_AGENT_MODEL",
        "HEALTH_AGENT_CONTAINER",
    ),
    *("HEALTH_AGENT_TARGET_HOST", "HEALTH_AGENT_TARGET_PORT"),
}
"""The environment's own; all others are scalars of the document, spelt as a path with `__`."""

page = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def command_lines(path: Path) -> Iterator[list[str]]:
    """Every command that a page shows, as words."""
    for block in blocks(path, "console"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield words


@page
def test_links_lead_somewhere(page: Path) -> None:
    """Relative ones, to files that are there."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", "code", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", prose)
    inside = [target.partition("#")[0] for target in targets if not target.startswith(("http:", "https:", "#"))]
    assert [target for target in inside if not (page.parent / target).exists()] == []


@page
def test_commands_and_their_options_exist(page: Path) -> None:
    """`health-agent` lines parse as the command itself would parse them; `make` targets are in the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for program, *words in command_lines(page):
        if program == "make":
            assert set(words) <= targets
        if program == "health-agent" and words[0] not in {"healthcheck", "--version", "--help"}:
            parser = argparse.ArgumentParser(exit_on_error=False)
            import_module(cli.COMMANDS[words[0]][0]).add_arguments(parser)
            parser.parse_args(words[1:])


@page
def test_commands_in_running_text_exist(page: Path) -> None:
    """`health-agent NAME` between backquotes names a command of this version."""
    named = re.findall(r"`health-agent ([a-z]+)", page.read_text(encoding="utf-8"))
    assert set(named) <= set(cli.COMMANDS)


@pytest.mark.parametrize("path", [*PAGES, *DEPLOYED], ids=lambda path: str(path.relative_to(ROOT)))
def test_metrics_and_variables_exist(path: Path) -> None:
    """Every name of a metric and of an environment variable is one that the code knows."""
    text = path.read_text(encoding="utf-8")
    suffixes = ("", "_total", "_info", "_bucket", "_sum", "_count")
    known = {name + suffix for name in FAMILIES for suffix in suffixes}
    assert set(re.findall(r"\bhealth_agent_[a-z0-9_]*[a-z0-9]\b", text)) <= known
    for name in set(re.findall(r"\bHEALTH_AGENT_[A-Z0-9_]*[A-Z0-9]\b", text)):
        assert name in VARIABLES or "__" in name, name


@page
def test_documents_are_valid(page: Path, tmp_path: Path) -> None:
    """A YAML block that begins with the name of a configuration file is a whole document."""
    for block in blocks(page, "yaml"):
        if block.startswith("# config.yaml"):
            loaded(block, tmp_path)


def loaded(text: str, folder: Path) -> Any:
    """The configuration of a document; fails with everything that is wrong with it."""
    document = folder / "config.yaml"
    document.write_text(text, encoding="utf-8")
    return load(find_sources([str(document)], {}), {}, Options()).config


def test_the_readme_shows_the_servers_own_probe() -> None:
    """What is quoted as the heart of the file is in the file."""
    text = (ROOT / "deploy" / "kubernetes" / "base" / "model.yaml").read_text(encoding="utf-8")
    quoted = next(block for block in blocks(ROOT / "README.md", "yaml") if block.startswith("startupProbe"))
    assert textwrap.indent(quoted, " " * 10) in text


def test_the_changelog_and_the_image_tell_of_this_version() -> None:
    """Commands named in the changelog exist, and the image is built on a Python that the package supports."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    commands = next(line for line in changelog.splitlines() if line.startswith("- Commands "))
    assert set(re.findall(r"`([a-z]+)`", commands)) == set(cli.COMMANDS)
    assert "FROM python:3.12-slim-bookworm" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_every_alert_has_its_section_in_the_runbook() -> None:
    """And no section is about an alert that is never raised."""
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"))
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    runbook = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^## ([A-Z][A-Za-z]+)$", runbook, re.MULTILINE)) == alerts
    table = runbook.partition("## Given up, by reason")[2]
    assert set(re.findall(r"`([a-z]+)`", "".join(re.findall(r"^\| (`[^|]+)\|", table, re.MULTILINE)))) <= {
        *REASONS,
        "operator",
    }


def test_every_brake_is_explained() -> None:
    """The table of docs/restarts.md has each why, in the order in which they are asked."""
    told = re.findall(r"^\| `([a-z_]+)` \|", (ROOT / "docs" / "restarts.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(told) == set(WHYS)
