"""What deploy/ holds is what `health-agent render` prints of deploy/sources, and each file is good by itself."""

import os
from pathlib import Path

import pytest

from agent.config import Options, SourceRef, find_sources, load
from agent.render import Settings, render
from tests.cli.support import health_agent
from tests.deploy.manifests import NATIVE_SIDECARS, NEWEST, agent_of, assert_valid, configured, pod_of, probes, stream

DEPLOY = Path(__file__).parents[2] / "deploy"
LINES = [
    line.partition(": ")
    for line in (DEPLOY / "rendered.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]
MADE = {name: words.split() for name, _, words in LINES}
WORKLOADS = [name for name in MADE if name.startswith("kubernetes/")]
PROJECTS = sorted(str(path.relative_to(DEPLOY)) for path in DEPLOY.glob("compose/*/compose.yaml"))


@pytest.mark.parametrize("name", MADE)
def test_a_file_is_what_render_prints(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make deploy` writes it again."""
    monkeypatch.chdir(DEPLOY)
    printed = health_agent("render", *MADE[name])
    assert printed.returncode == 0, printed.stderr
    assert (DEPLOY / name).read_text(encoding="utf-8") == printed.stdout


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_manifest_is_good_by_kubernetes_own_schemas(name: str) -> None:
    """From the first version that knows what is in it to the newest."""
    oldest = "1.25" if "plain-container" in name else NATIVE_SIDECARS
    assert_valid(stream((DEPLOY / name).read_text(encoding="utf-8")), oldest, NEWEST)


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_workload_has_the_agent_and_the_probes_that_fit_it(name: str) -> None:
    documents = stream((DEPLOY / name).read_text(encoding="utf-8"))
    (container,) = configured(documents).containers
    found = probes(documents)[container.name]
    assert found["startupProbe"]["failureThreshold"] == 131  # (119 * 5 + 60) / 5
    assert ("livenessProbe" in found) == (container.restart.action_name in {"none", "signal"})
    agent = agent_of(pod_of(documents))
    assert agent["args"][:2] == ["run", "--serve-on-config-error"]
    assert {"name": "HEALTH_AGENT_SERVER__PORT", "value": "9809"} in agent["env"]
    assert pod_of(documents)["enableServiceLinks"] is False


@pytest.mark.parametrize("name", sorted({word for words in MADE.values() for word in words if "sources/" in word}))
def test_a_source_is_a_document_that_the_agent_reads(name: str) -> None:
    """Alone, or laid over another where it is only a part."""
    path = str(DEPLOY / name)
    files = (
        [str(DEPLOY / "sources" / "deployment.yaml"), path] if name.endswith(("signal.yaml", "evict.yaml")) else [path]
    )
    files = [path] if name.endswith("compose-signal.yaml") else files
    assert load(find_sources(files, {}), {}, Options()).config.containers[0].name in {"model", "container-0"}


@pytest.mark.parametrize("name", PROJECTS)
def test_a_project_is_a_document_of_its_own_or_was_rendered(name: str) -> None:
    """What was rendered is left as it is; what the agent reads as it is, is good."""
    text = (DEPLOY / name).read_text(encoding="utf-8")
    if name in MADE:
        source = SourceRef(name, str(DEPLOY / name))
        made = render("compose", [source], {}, Options(), Settings())
        assert made.text == text
    else:
        assert load(find_sources([str(DEPLOY / name)], {}), os.environ, Options()).warnings == []
