"""The installed agent beside a server on a real GPU: its illegal write, a neighbour's, and a kernel that never ends."""

import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.acceptance.conftest import StartAgent
from tests.acceptance.processes import Running, always, eventually, free_port

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not Path("/dev/nvidiactl").exists(), reason="there is no NVIDIA GPU here (/dev/nvidiactl): run it on one"
    ),
]

ROOT = Path(__file__).parents[2]
ILLEGAL_WRITE = ROOT / "tests" / "runtimes" / "illegal_write.py"


def test_the_server_that_caused_an_xid_error_is_restarted_and_a_neighbour_is_not(
    tmp_path: Path, start_agent: StartAgent
) -> None:
    port = free_port()
    start = [sys.executable, "-m", "tests.acceptance.cuda_server", str(port)]
    servers = [Running(start, tmp_path / "server.log", cwd=ROOT)]
    restarted = tmp_path / "restarted"
    often = {"period_seconds": 0.5, "timeout_seconds": 5}
    container = {
        "name": "model",
        "port": port,
        "startup_check": {"http_get": {"path": "/predict"}, **often, "failure_threshold": 120},
        "liveness_check": [
            {"name": "health", "http_get": {"path": "/health"}, **often},
            {"name": "predict", "http_get": {"path": "/predict"}, **often, "failure_threshold": 1000},
            {"name": "gpu", "gpu": {}, **often},
        ],
        "restart": {"action": {"exec": {"command": ["touch", str(restarted)]}}, "grace_period_seconds": 1},
    }
    agent = start_agent({"containers": [container]})
    story = agent.running.output
    try:
        agent.await_status("/ready/model", 200, within=60)
        eventually(lambda: "GPUs are well" in agent.fetch("/status")[1], within=30, what="NVML is read", story=story)

        neighbour = Running([sys.executable, ILLEGAL_WRITE], tmp_path / "neighbour.log")
        assert neighbour.wait(60) == 0
        eventually(lambda: "XID" in agent.fetch("/status")[1], within=20, what="it is heard", story=story)
        always(lambda: not restarted.exists() and agent.ask("/ready/model") == 200, during=3, what="nobody is blamed")

        assert agent.ask("/healthz/model") == 200
        crash(port)
        eventually(restarted.exists, within=20, what="its server is restarted", story=story)
        assert "liveness/gpu" in story()
        servers[-1].kill()
        servers.append(Running(start, tmp_path / "server.log", cwd=ROOT))
        agent.await_status("/ready/model", 200, within=60)
    finally:
        (tmp_path / "status.json").write_text(agent.fetch("/status")[1])
        for server in servers:
            server.kill()


def test_a_server_whose_kernel_never_ends_is_hung_and_the_gpu_is_free_after_its_restart(
    tmp_path: Path, start_agent: StartAgent
) -> None:
    """Its `/health` goes on answering 200; the canary sees it, and a signal ends it."""
    port = free_port()
    start = [sys.executable, "-m", "tests.acceptance.cuda_server", str(port)]
    servers = [Running(start, tmp_path / "server.log", cwd=ROOT)]
    often = {"period_seconds": 0.5, "timeout_seconds": 2}
    canary = {"path": "/predict", "overload_timeout_seconds": 2, "cooldown_seconds": 1}
    container = {
        "name": "model",
        "port": port,
        "runtime": {"process": {"command_contains": "cuda_server"}},
        "startup_check": {"http_get": {"path": "/predict"}, **often, "failure_threshold": 120},
        "liveness_check": [
            {"name": "health", "http_get": {"path": "/health"}, **often},
            {"name": "canary", "inference": canary, **often, "failure_threshold": 2},
        ],
        "restart": {"action": {"signal": {}}, "grace_period_seconds": 2},
    }
    agent = start_agent({"containers": [container]})
    try:
        agent.await_status("/ready/model", 200, within=60)
        with pytest.raises(TimeoutError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/hang", timeout=2)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            assert answer.status == 200
        eventually(servers[0].exited, within=40, what="the hung server is ended", story=agent.running.output)
        servers.append(Running(start, tmp_path / "server.log", cwd=ROOT))
        agent.await_status("/ready/model", 200, within=60)
        (record,) = agent.model()["restarts"]
        assert (record["outcome"], record["check"]) == ("succeeded", "canary")
    finally:
        for server in servers:
            server.kill()


def crash(port: int) -> None:
    """Ask the server for its illegal write; it answers 500, as for every prediction from now on."""

    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/crash", timeout=20)
    refused.value.close()
