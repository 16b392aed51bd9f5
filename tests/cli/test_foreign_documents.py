"""The commands on manifests and Compose files, as a user pipes and writes them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main
from tests.cli.support import Listener, health_agent

DATA = Path(__file__).parents[1] / "config" / "data"
Captured = pytest.CaptureFixture[str]


def two_pods(port: int) -> str:
    """Two documents in which the same paths stand, with a mistake to warn of in each."""
    pod = """apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  containers:
    - name: NAME
      livenessProbe: {httpGet: {path: /NAME, port: PORT}, timeoutSeconds: 1, failureThreshold: FAILURES}
      readinessProbe: {httpGet: {path: /ready, port: PORT}, timeoutSeconds: 5}
      livenessprobe: {}
"""
    one = pod.replace("NAME", "a").replace("FAILURES", "6")
    two = pod.replace("NAME", "b").replace("FAILURES", "1")
    return f"{one}---\n{two}".replace("PORT", str(port))


def test_what_kubectl_prints_goes_through_a_pipe() -> None:
    done = health_agent("explain", "-", "--format", "json", stdin=(DATA / "kubectl-get-all.yaml").read_text())
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["containers"]
    assert [(one["name"], len(one["checks"])) for one in told] == [("vllm", 3), ("metrics", 1)]
    assert [check["method"] for check in told[0]["checks"]] == ["http_get", "exec", "http_get"]
    assert "W-EXEC-NOWHERE" in {warning["code"] for warning in told[0]["warnings"]}


def test_explain_gives_each_pod_of_a_file_its_own_warnings(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "pods.yaml"
    path.write_text(two_pods(8000))
    assert main(["explain", str(path), "--format", "json"]) == 0
    told: Any = {one["name"]: one["warnings"] for one in json.loads(capsys.readouterr().out)["containers"]}
    codes = {name: sorted(warning["code"] for warning in warnings) for name, warnings in told.items()}
    assert codes["a"] == ["W-LIVENESS-TIMEOUT", "W-NO-STARTUP"]
    assert codes["b"] == ["W-LIVENESS-EAGER", "W-LIVENESS-TIMEOUT", "W-NO-STARTUP", "W-THRESHOLD-ONE"]
    assert {warning["path"] for warning in told["a"]} == {
        "spec.containers[0].livenessProbe.timeoutSeconds",
        "spec.containers[0].livenessProbe.initialDelaySeconds",
    }


def test_check_asks_what_the_probes_would(tmp_path: Path, capsys: Captured) -> None:
    with Listener({"/a": [(200, "")], "/b": [(500, "")], "/ready": [(200, "")]}) as server:
        (tmp_path / "pods.yaml").write_text(two_pods(server.server_port))
        assert main(["check", str(tmp_path / "pods.yaml"), "--format", "json"]) == 1
    found = {(one["container"], one["type"]): one for one in json.loads(capsys.readouterr().out)["results"]}
    assert {key: one["result"] for key, one in found.items()} == {
        ("a", "readiness"): "success", ("a", "liveness"): "success",
        ("b", "readiness"): "success", ("b", "liveness"): "failure",
    }  # fmt: skip
    assert found["b", "liveness"]["reason"] == "status"


def test_what_a_compose_file_takes_from_the_environment_is_not_printed(tmp_path: Path) -> None:
    path = tmp_path / "compose.yaml"
    path.write_text("""services:
  model:
    image: model
    x-health-agent:
      readiness_check: {exec: {command: [sh, -c, "echo $TOKEN; false"]}}
""")
    (tmp_path / ".env").write_text("TOKEN=hunter22\n")
    done = health_agent("check", str(path))
    assert done.returncode == 1
    assert "[redacted]" in done.stdout
    assert "hunter22" not in done.stdout + done.stderr


def test_a_grpc_check_without_its_package_is_told_how_to_get_it_and_nothing_else_needs_it() -> None:
    document = "containers: [{name: m, port: 1, readiness_check: {grpc: {}}}]"
    without = "import sys; sys.modules['h2'] = None; from agent.cli import main; sys.exit(main(sys.argv[1:]))"

    def run(*words: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        argv = [sys.executable, "-c", without, *words]
        return subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=30, check=False)

    done = run("validate", "-", stdin=document)
    assert done.returncode == 2
    assert done.stderr == (
        "<stdin>:1: containers[0].readiness_check.grpc: needs the package h2: pip install 'model-health-agent[grpc]'\n"
    )
    assert run("schema").returncode == 0
    assert run("validate", "-", stdin=document.replace("grpc", "tcp_socket")).returncode == 0
