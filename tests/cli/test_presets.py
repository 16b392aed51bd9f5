"""`presets`: listed, spelt out as a document, and as JSON; and what `explain` tells of them."""

import json
from pathlib import Path

import pytest

from agent.cli import main
from agent.config import load
from agent.config.preset import names
from agent.config.sources import SourceRef

Captured = pytest.CaptureFixture[str]


def out(capsys: Captured, *argv: str, status: int = 0) -> str:
    assert main(argv) == status
    return capsys.readouterr().out


def test_every_preset_has_a_line_that_says_how_a_hang_is_seen(capsys: Captured) -> None:
    head, *lines = out(capsys, "presets").splitlines()
    assert head.split()[0] == "PRESET"
    assert [line.split()[0] for line in lines] == names()
    by_name = {line.split()[0]: line for line in lines}
    assert by_name["vllm"].endswith("metrics, a canary")
    assert by_name["litserve"].endswith("8000   a canary, on request")
    assert by_name["kserve"].endswith("8080   a canary, on request"), "its metrics tell no work in flight"


def test_one_is_spelt_out_as_a_document_below_what_is_known_of_it(capsys: Captured, tmp_path: Path) -> None:
    text = out(capsys, "presets", "triton", "--model", "resnet50")
    assert "# cannot see:\n# - a hung model is seen while requests are queued" in text
    assert "# sources:\n# - https://github.com/triton-inference-server" in text
    assert "# on request, readiness_check canary: no canary is sent" in text
    assert max(map(len, text.splitlines())) < 110
    (tmp_path / "config.yaml").write_text(text)
    assert main(["validate", str(tmp_path / "config.yaml")]) == 0
    (found,) = load([SourceRef("x", content=text.encode())], {}).config.containers
    assert found.readiness[0].options.path == "/v2/models/resnet50/ready"


def test_programs_get_every_number_resolved(capsys: Captured) -> None:
    (shown,) = json.loads(out(capsys, "presets", "vllm", "--format", "json"))["presets"]
    assert shown["name"] == "vllm"
    assert {"title", "versions", "sources", "blind_spots", "load_seconds", "port", "ports"} <= shown.keys()
    progress = next(check for check in shown["checks"] if check["method"] == "progress")
    assert (progress["type"], progress["timeout_seconds"], progress["failure_threshold"]) == ("liveness", 5, 1)
    assert progress["options"]["hung_after_seconds"] == 120
    every = json.loads(out(capsys, "presets", "--format", "json"))["presets"]
    assert [one["name"] for one in every] == names()


def test_a_file_of_ones_own_is_shown_too(capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("liveness_check: {http_get: {path: /up}}\n")
    text = out(capsys, "presets", str(tmp_path / "my.yaml"))
    assert "path: /up" in text
    assert "port:" not in text, "it leaves the port to the container"


def test_what_is_wrong_is_a_usage_error(capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("prot: 1\n")
    for name, told in (("vlm", "did you mean 'vllm'?"), (str(tmp_path / "my.yaml"), "did you mean 'port'?")):
        assert main(["presets", name]) == 2
        captured = capsys.readouterr()
        assert told in captured.err
        assert captured.out == ""


def test_explain_tells_what_a_preset_cannot_see(capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("containers: [{name: model, preset: litserve}]\n")
    told = json.loads(out(capsys, "explain", str(tmp_path / "config.yaml"), "--format", "json"))["containers"][0]
    codes = [warning["code"] for warning in told["warnings"]]
    assert codes.count("W-PRESET-BLIND") == 3
    assert "W-PRESET-CANARY" in codes
    assert main(["validate", str(tmp_path / "config.yaml")]) == 0
    assert "W-PRESET-BLIND" not in capsys.readouterr().err, "they are no mistakes"
