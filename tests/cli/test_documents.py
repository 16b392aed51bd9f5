"""The commands that read a document: validate, explain, simulate, check, schema."""

import json
import socket
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from agent.cli import main
from tests.cli.support import Listener, health_agent, unused_port

GOOD = """\
containers:
  - name: model
    port: 8000
    startup_check: {http_get: {path: /health}, period_seconds: 5, failure_threshold: 120}
    readiness_check: {http_get: {path: /v1/models}, failure_threshold: 2}
    liveness_check: {http_get: {path: /health}, timeout_seconds: 5, failure_threshold: 6}
"""
BAD = """\
containers:
  - name: model
    port: 8000
    liveness_check: {http_get: {prot: 1}, timeout_second: 5}
"""
RISKY = GOOD.replace("timeout_seconds: 5", "timeout_seconds: 1")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(GOOD)
    return path


Captured = pytest.CaptureFixture[str]


def test_validate_counts_what_a_good_file_holds(file: Path, capsys: Captured) -> None:
    assert main(["validate", str(file)]) == 0
    assert capsys.readouterr() == (f"{file}: ok (1 container, 3 checks)\n", "")


def test_validate_prints_errors_one_a_line_and_goes_on_with_the_next_file(file: Path, capsys: Captured) -> None:
    bad = file.with_name("bad.yaml")
    bad.write_text(BAD)
    assert main(["validate", str(bad), str(file)]) == 2
    told = capsys.readouterr()
    where = f"{bad}:4: containers[0].liveness_check"
    assert sorted(told.err.splitlines()) == [
        f"{where}.http_get.prot: unknown key, did you mean 'port'?",
        f"{where}.timeout_second: unknown key, did you mean 'timeout_seconds'?",
    ]
    assert told.out == f"{file}: ok (1 container, 3 checks)\n"


def test_validate_shows_lint_warnings_at_their_line_and_is_still_good(file: Path, capsys: Captured) -> None:
    file.write_text(RISKY)
    assert main(["validate", str(file)]) == 0
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith(f"{file}:6: containers[0].liveness_check.timeout_seconds: W-LIVENESS-TIMEOUT: ")


def test_validate_names_a_service_json_s_places_as_they_are_written(file: Path, capsys: Captured) -> None:
    probed = {"image": "x", "port": 8000, "liveness_check": {"tcp_socket": {"port": 8000}}}
    file.write_text(json.dumps({"metadata": {"name": "x"}, "containers": [{"image": "sidecar"}, probed]}, indent=1))
    assert main(["validate", str(file), "--format", "json"]) == 0
    (verdict,) = json.loads(capsys.readouterr().out)["files"]
    assert "containers[1].liveness_check" in {w["path"] for w in verdict["warnings"] if w["code"] == "W-LIVENESS-TCP"}


def test_validate_tells_programs_the_same(file: Path, capsys: Captured) -> None:
    file.write_text(BAD)
    assert main(["validate", str(file), "--format", "json"]) == 2
    (verdict,) = json.loads(capsys.readouterr().out)["files"]
    assert (verdict["file"], verdict["ok"]) == (str(file), False)
    assert {error["line"] for error in verdict["errors"]} == {4}


def test_validate_lays_files_over_each_other_where_they_are_meant_together(file: Path, capsys: Captured) -> None:
    over = file.with_name("over.yaml")
    over.write_text("containers: [{name: model, restart: {dry_run: true}}]\n")
    assert main(["validate", "--together", str(file), str(over)]) == 0
    assert capsys.readouterr().out == f"{file} + {over}: ok (1 container, 3 checks)\n"


def test_validate_reads_standard_input() -> None:
    found = health_agent("validate", "-", stdin=GOOD)
    assert (found.returncode, found.stdout) == (0, "-: ok (1 container, 3 checks)\n")


def test_explain_tells_each_check_s_figures(file: Path, capsys: Captured) -> None:
    assert main(["explain", str(file), "--format", "json"]) == 0
    (container,) = json.loads(capsys.readouterr().out)["containers"]
    assert container["name"] == "model"
    assert container["warnings"] == []
    startup, _, liveness = container["checks"]
    assert startup["startup_budget_seconds"] == 595
    assert liveness == {
        "name": "http_get",
        "type": "liveness",
        "method": "http_get",
        "first_probe_seconds": 0,
        "detect_best_seconds": 50,
        "detect_worst_seconds": 65,
        "platform_detect_worst_seconds": 155,
        "probes_per_hour": 360,
    }


def test_explain_says_in_words_what_comes_when(file: Path, capsys: Captured) -> None:
    file.write_text(RISKY)
    assert main(["explain", str(file)]) == 0
    text = capsys.readouterr().out
    assert "an instance that has not started after 595 s is killed" in text
    assert "up to 151 s after the fault" in text
    assert "W-LIVENESS-TIMEOUT containers[0].liveness_check.timeout_seconds: " in text


def test_explain_tells_when_a_hang_is_seen_and_which_is_not(file: Path, capsys: Captured) -> None:
    """The figures of rounds say nothing of it: the check has clocks of its own."""
    progress = "{progress: {server: vllm, max_step_seconds: 20, hung_after_seconds: 240}, period_seconds: 10}"
    health = "{http_get: {path: /health}, timeout_seconds: 5, failure_threshold: 6}"
    file.write_text(f"containers:\n  - name: m\n    port: 8000\n    liveness_check: [{health}, {progress}]\n")
    assert main(["explain", str(file)]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert "fault: 50 to 65 s after it, to be restarted (not live)" in lines
    assert any(
        line.startswith(
            "hang: after 30 s of work in flight without progress, no more traffic (not ready); after 240 s,"
        )
        for line in lines
    )
    assert sum(line.startswith("hang: not seen where") for line in lines) == 1
    assert not any("there is no liveness check" in line for line in lines)


def test_explain_tells_the_brakes_of_an_action(file: Path, capsys: Captured) -> None:
    file.write_text(f"{GOOD}    restart: {{action: {{exec: {{command: [/bin/true]}}}}, dry_run: true}}\n")
    assert main(["explain", str(file)]) == 0
    assert "exec (dry run" in (text := capsys.readouterr().out)
    assert "waits of 0, 10, 20, 40 ... 300 s; at most 5 times in 3600 s" in text


def test_simulate_prints_one_event_a_line(file: Path, capsys: Captured) -> None:
    outcomes = file.with_name("outcomes.json")
    outcomes.write_text('{"until": 70, "outcomes": {"model": {"liveness": "sf"}}}')
    assert main(["simulate", str(file), "--input", str(outcomes)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == '{"t":0.0,"container":"model","event":"started","value":false}'
    assert '{"t":70.0,"container":"model","event":"kill","value":"liveness"}' in lines
    assert all(json.loads(line)["t"] in {0, 70} for line in lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "<stdin>:1: not valid JSON"),
        ("[" * 100_000, "<stdin>: nested too deeply"),
        ('{"until": "x"}', "input: "),
        ('{"until": 10, "outcomes": {"modle": {}}}', "no container named 'modle'"),
    ],
)
def test_simulate_refuses_input_that_does_not_fit(text: str, message: str, file: Path) -> None:
    found = health_agent("simulate", str(file), stdin=text)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("health-agent simulate: ")
    assert message in found.stderr
    assert found.stderr.count("\n") == 1


def test_simulate_cannot_read_both_from_standard_input(capsys: Captured) -> None:
    assert main(["simulate", "-"]) == 2
    assert "give one of them as a file" in capsys.readouterr().err


def check(file: Path, listener: Listener | None, *words: str) -> int:
    port = listener.server_port if listener else unused_port()
    file.write_text(GOOD.replace("8000", str(port)))
    return main(["check", str(file), *words])


def test_check_looks_once_and_tells_what_it_found(file: Path, capsys: Captured) -> None:
    with Listener({"/health": [(200, "")], "/v1/models": [(503, "")]}) as server:
        assert check(file, server, "--format", "json") == 1
        assert sorted(server.asked) == ["/health", "/health", "/v1/models"]
    results: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["results"]
    assert [(r["type"], r["result"], r["reason"]) for r in results] == [
        ("startup", "success", "ok"),
        ("readiness", "failure", "status"),
        ("liveness", "success", "ok"),
    ]
    keys = {"container", "type", "check", "method", "result", "reason", "detail", "duration_seconds"}
    assert all(result.keys() == keys for result in results)


def test_check_of_one_type_runs_nothing_else(file: Path, capsys: Captured) -> None:
    with Listener({"/health": [(200, "")]}) as server:
        assert check(file, server, "--type", "liveness", "--container", "model") == 0
        assert server.asked == ["/health"]
    head, line = capsys.readouterr().out.splitlines()
    assert head.split() == ["CONTAINER", "TYPE", "CHECK", "RESULT", "REASON", "TOOK", "DETAIL"]
    assert line.split()[:5] == ["model", "liveness", "http_get", "success", "ok"]


def test_check_of_an_unknown_container_is_wrong_usage(file: Path, capsys: Captured) -> None:
    assert check(file, None, "--container", "modle") == 2
    assert "no container 'modle'; there are model" in capsys.readouterr().err


def test_check_keeps_expanded_values_out_of_what_it_prints(file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as quiet:
        port = quiet.getsockname()[1]
    text = GOOD.replace("8000", str(port)).replace("port: ", "host: ${WHERE}\n    port: ")
    file.write_text(text)
    found = health_agent("check", str(file), WHERE="127.0.0.1")
    assert found.returncode == 1
    assert "connect to" in found.stdout
    assert "127.0.0.1" not in found.stdout


def test_check_refuses_commands_that_nothing_here_can_run(file: Path, capsys: Captured) -> None:
    document = {
        "metadata": {"name": "x"},
        "containers": [{"image": "x", "readiness_check": {"exec": {"command": ["true"]}}}],
    }
    file.write_text(json.dumps(document))
    assert main(["check", str(file)]) == 2
    assert "--exec-in agent" in capsys.readouterr().err
    assert main(["check", str(file), "--exec-in", "agent"]) == 0


def test_the_schema_accepts_a_good_document_and_refuses_a_misspelt_one(capsys: Captured) -> None:
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    good = {"containers": [{"name": "model", "port": 8000, "liveness_check": {"http_get": {"path": "/health"}}}]}
    jsonschema.validate(good, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"containers": [{"name": "model", "prot": 8000}]}, schema)
