"""The architecture as tests: who may import whom, what core may use, and how long files and functions may grow."""

import ast
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
AGENT = ROOT / "agent"
MODULES = sorted(AGENT.rglob("*.py"))

LAYERS = {
    "cli": {"app", "render", "config", "engine", "server", "probes", "actions", "runtimes", "core", "log"},
    "render": {"config", "core"},
    "log": {"engine", "core"},
    "app": {"config", "engine", "server", "probes", "actions", "runtimes", "core", "log"},
    "config": {"probes", "actions", "runtimes", "core"},
    "engine": {"probes", "actions", "runtimes", "core"},
    "server": {"engine", "runtimes", "core"},
    "probes": {"runtimes", "core"},
    "actions": {"runtimes", "core"},
    "runtimes": {"core"},
    "core": set[str](),
}
"""Part of the agent to the parts it may import, besides itself."""

ONLY_IN = {
    "aiohttp": {"server", "probes", "actions", "runtimes"},
    "aiodocker": {"runtimes"},
    "yaml": {"config"},
    "prometheus_client": {"server"},
    "h2": {"probes"},
}
"""Third-party package to the parts that may import it."""

NOT_IN_CORE = {"asyncio", "os", "time", "random", "logging"}
LONGEST_FILE, MEDIAN_FILE, LONGEST_FUNCTION = 350, 120, 45


def part(module: Path) -> str:
    """The layer a file belongs to: its folder under agent/, or its own name."""
    return module.relative_to(AGENT).parts[0].removesuffix(".py")


def imported(module: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import, those inside functions too."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(ROOT)))
def test_every_import_goes_down_and_never_sideways(module: Path) -> None:
    """cli -> {app, render} -> {config, engine, server} -> {probes, actions, runtimes} -> core."""
    layer = part(module)
    if layer.startswith("__"):
        return  # the package itself and `python -m agent`
    may = LAYERS[layer] | {layer, "__version__"}
    for line, name in imported(module):
        where, word = f"{module.relative_to(ROOT)}:{line}", name.split(".")
        if word[0] == "agent" and len(word) > 1:
            assert word[1] in may, f"{where}: {layer} may not import {name}"
            sibling = layer in {"probes", "actions"} and word[1] == layer and (AGENT / layer / f"{word[2]}.py").exists()
            assert not sibling, f"{where}: {layer} may not import its sibling {name}"
        assert layer in ONLY_IN.get(word[0], {layer}), f"{where}: only {sorted(ONLY_IN[word[0]])} may import {name}"
        if layer == "core":
            pure = word[0] not in NOT_IN_CORE and (
                word[0] in {"agent", "msgspec"} or word[0] in sys.stdlib_module_names
            )
            assert pure, f"{where}: core is pure and may not import {name}"


def test_only_configuration_reads_the_environment() -> None:
    """The command line hands it over, and a check's command inherits it: nothing else looks."""
    readers = {
        str(module.relative_to(AGENT))
        for module in MODULES
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
    }
    assert {name for name in readers if not name.startswith(("config/", "cli/"))} <= {"runtimes/command.py"}


def test_files_and_functions_stay_short() -> None:
    """No file over 350 lines, the median under 120, no function over 45: past that a thing is two things."""
    lengths = {str(m.relative_to(ROOT)): len(m.read_text(encoding="utf-8").splitlines()) for m in MODULES}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE} == {}
    assert statistics.median(lines for lines in lengths.values() if lines > 1) < MEDIAN_FILE
    assert [
        f"{module.relative_to(ROOT)}:{node.lineno} {node.name}: {node.end_lineno - node.lineno + 1} lines"
        for module in MODULES
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= LONGEST_FUNCTION
    ] == []


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(ROOT)))
def test_a_module_begins_by_saying_what_it_is_for(module: Path) -> None:
    """One sentence at least, where its reader begins."""
    assert ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))


def test_no_test_patches_what_it_tests() -> None:
    """Real sockets, real processes, tiny real classes: a mock would agree with whatever the code does."""
    forbidden = ("unittest" + ".mock", "monkeypatch" + ".setattr")
    tests = sorted((ROOT / "tests").rglob("*.py"))
    assert [
        str(t.relative_to(ROOT)) for t in tests if any(word in t.read_text(encoding="utf-8") for word in forbidden)
    ] == []
