"""The installed agent beside a server whose GPU must be reset, as a scripted driver says: not ready, no restart."""

import sys
from pathlib import Path

import pytest

from tests.acceptance.conftest import StartAgent
from tests.acceptance.processes import Running, always, eventually, free_port
from tests.runtimes.nvml_stand_in import Driver, built

TOY = Path(__file__).with_name("toy_server.py")


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """A driver with one GPU that is well."""
    monkeypatch.setenv("LD_LIBRARY_PATH", str(built(tmp_path).parent))
    monkeypatch.setenv("NVML_STAND_IN", str(tmp_path))
    return Driver(tmp_path)


def test_a_gpu_that_must_be_reset_takes_the_traffic_away_and_holds_restarts_until_it_is_well(
    driver: Driver, tmp_path: Path, start_agent: StartAgent
) -> None:
    port = free_port()
    toy = Running([sys.executable, TOY, "--port", str(port)], tmp_path / "toy.log")
    try:
        health = {"http_get": {"path": "/"}, "period_seconds": 0.5, "failure_threshold": 2}
        restarted = tmp_path / "restarted"
        container = {
            "name": "model",
            "port": port,
            "liveness_check": [health, {"gpu": {}, "period_seconds": 0.5}],
            "readiness_check": {"tcp_socket": {}, "period_seconds": 0.5},
            "restart": {"action": {"exec": {"command": ["touch", str(restarted)]}}, "assume_restarted_seconds": 1},
        }
        agent = start_agent({"containers": [container]})
        agent.await_status("/ready/model", 200, within=20)

        driver.set(gpu0_recovery=1)
        agent.await_status("/ready/model", 503, within=10)
        required = 'health_agent_gpu_action_required{gpu="GPU-00000000",action="reset"} 1.0'
        assert required in agent.fetch("/metrics")[1]
        toy.kill()
        held = 'health_agent_restarts_suppressed_total{container="model",why="gpu"} 0.0'
        eventually(
            lambda: held not in agent.fetch("/metrics")[1],
            within=15,
            what="a restart is held",
            story=agent.running.output,
        )
        always(
            lambda: not restarted.exists() and agent.ask("/healthz/model") == 200,
            during=2,
            what="nothing is restarted, nor asked for",
        )
        driver.set(gpu0_recovery=0)
        eventually(restarted.exists, within=15, what="now it is", story=agent.running.output)
        assert required not in agent.fetch("/metrics")[1]
    finally:
        toy.kill()
