"""Prometheus's own linter passes on a live scrape."""

import os
import shutil
import subprocess

import pytest

from tests.acceptance.conftest import StartAgent, StartServer
from tests.acceptance.model_servers import Kind
from tests.acceptance.processes import eventually
from tests.acceptance.test_real_servers import guard


def test_promtool_accepts_the_metrics_of_an_agent_that_has_restarted_a_server(
    mosec: Kind, start_server: StartServer, start_agent: StartAgent
) -> None:
    """A scrape with probes, transitions and a restart in it: names, types, help texts and units are right."""
    promtool = shutil.which("promtool")
    if promtool is None:
        missing = "promtool is not installed: on Debian and Ubuntu, apt-get install prometheus"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    server = start_server(mosec)
    agent = start_agent(guard(server))
    agent.await_status("/ready/model", 200, within=30)
    server.kill()
    eventually(lambda: agent.outcomes() == ["succeeded"], within=30, what="restarted", story=agent.running.output)
    status, metrics = agent.fetch("/metrics")
    assert status == 200
    verdict = subprocess.run(
        [promtool, "check", "metrics"], input=metrics.encode(), capture_output=True, timeout=30, check=False
    )
    assert (verdict.returncode, verdict.stdout + verdict.stderr) == (0, b"")
