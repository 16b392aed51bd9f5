"""`render`: the deployment on standard output, all that is to be said of it on standard error."""

import json
from pathlib import Path

import pytest
import yaml

from agent.cli import main
from tests.cli.support import health_agent
from tests.render.support import DEPLOYMENT, NATIVE, SERVICE

Captured = pytest.CaptureFixture[str]


def test_it_reads_standard_input_as_kubectl_writes_it() -> None:
    found = health_agent("render", "kubernetes", "-", stdin=DEPLOYMENT)
    assert (found.returncode, found.stderr) == (0, "")
    assert [one["kind"] for one in yaml.safe_load_all(found.stdout)] == ["ConfigMap", "Deployment"]
    again = health_agent("render", "kubernetes", "-", stdin=found.stdout)
    assert (again.returncode, again.stdout) == (0, found.stdout)
    assert again.stderr == "W-RENDER-UNCHANGED: Deployment llm has the agent already: left as it is\n"


def test_warnings_of_the_loader_and_of_render_do_not_mix_with_the_result(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "service.json"
    file.write_text(json.dumps(SERVICE).replace('"success_threshold": 1', '"success_threshold": 2'))
    assert main(["render", "eas", str(file)]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["containers"][1]["port"] == 9809
    assert f"{file}:1: containers[0].liveness_check: W-EAS-THRESHOLD" in told.err


def test_options_reach_the_deployment(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "health.yaml"
    file.write_text(NATIVE)
    words = ["--image", "r/agent:1", "--server-image", "model=r/model:2", "--name", "llm", "--port", "9900"]
    assert main(["render", "kubernetes", str(file), *words, "--sidecar", "container"]) == 0
    _, deployment = yaml.safe_load_all(capsys.readouterr().out)
    agent, server = deployment["spec"]["template"]["spec"]["containers"]
    assert (deployment["metadata"]["name"], agent["image"], server["image"]) == ("llm", "r/agent:1", "r/model:2")
    assert server["livenessProbe"]["httpGet"]["port"] == 9900


def test_the_image_of_this_version_is_the_default(tmp_path: Path, capsys: Captured) -> None:
    from agent import __version__

    file = tmp_path / "health.yaml"
    file.write_text(NATIVE)
    assert main(["render", "compose", str(file), "--server-image", "x"]) == 0
    services = yaml.safe_load(capsys.readouterr().out)["services"]
    assert services["health-agent"]["image"] == f"model-health-agent:{__version__}"


def test_mistakes_of_the_document_are_told_with_their_place(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "health.yaml"
    file.write_text(NATIVE.replace("path: /health}", "prot: 1}"))
    assert main(["render", "kubernetes", str(file)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert f"{file}:4: containers[0].startup_check.http_get.prot: unknown key, did you mean 'port'?" in told.err


def test_what_can_not_be_rendered_is_told_in_one_line(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "health.yaml"
    file.write_text(f"server: {{port: 0}}\n{NATIVE}")
    assert main(["render", "compose", str(file)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("health-agent render: server.port 0")


@pytest.mark.parametrize(
    "words",
    [
        ["render"],
        ["render", "nomad", "x"],
        ["render", "eas"],
        ["render", "eas", "x", "--port", "0"],
        ["render", "eas", "x", "--server-image", "a="],
    ],
)
def test_wrong_usage_is_status_2(words: list[str], capsys: Captured) -> None:
    assert main(words) == 2
    assert "usage: health-agent render" in capsys.readouterr().err
