"""The container image on a real engine: small, unprivileged, hardened, healthy, and prompt to leave."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.engine import docker, inspect, log
from tests.acceptance.processes import eventually

pytestmark = pytest.mark.docker

ROOT = Path(__file__).parents[2]
HARDENED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--pids-limit", "64")
MIB = 1024 * 1024

StartContainer = Callable[..., str]


@pytest.fixture
def start(image: str) -> Iterator[StartContainer]:
    """Starts a hardened container of the image with these options; it is gone when the test is over."""
    names: list[str] = []

    def run(*options: str, env: dict[str, str]) -> str:
        names.append(f"health-agent-{uuid.uuid4().hex[:12]}")
        variables = [word for key, value in env.items() for word in ("--env", f"{key}={value}")]
        docker("run", "--detach", "--name", names[-1], *HARDENED, *variables, *options, image)
        return names[-1]

    yield run
    for name in names:
        docker("rm", "--force", name)


def test_it_adds_less_than_120_mb_to_its_base_and_no_tools(image: str) -> None:
    """And nobody in it is root."""
    base = next(line.split()[1] for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("FROM"))
    assert inspect(image, ".Size") - inspect(base, ".Size") < 120 * MIB
    assert inspect(image, ".Config.User") == "65532:65532"
    tools = "for tool in pip gcc cc make curl; do command -v $tool; done; python -c 'import pip' 2>/dev/null; id -u"
    assert docker("run", "--rm", "--entrypoint", "sh", image, "-c", tools) == "65532"


def test_hardened_it_becomes_healthy_and_leaves_promptly_on_sigterm(start: StartContainer) -> None:
    """Docker's own health check runs `health-agent healthcheck`, which asks the agent alone and not its target."""
    name = start("--health-interval", "1s", env={"HEALTH_AGENT_LIVENESS_CHECK": "{tcp_socket: {port: 1}}"})
    assert inspect(name, ".Config.Healthcheck.Test") == ["CMD", "health-agent", "healthcheck"]
    eventually(
        lambda: inspect(name, ".State.Health.Status") == "healthy",
        within=30,
        what="the health check turns healthy",
        story=lambda: log(name),
    )
    began = time.monotonic()
    docker("stop", "--time", "20", name)
    assert time.monotonic() - began < 10
    assert inspect(name, ".State.ExitCode") == 0, log(name)


def test_as_pid_1_it_reaps_what_its_checks_leave_behind(start: StartContainer) -> None:
    """An exec check whose command leaves an orphan costs no process table entry, however often it runs."""
    check = {"exec": {"command": ["sh", "-c", "sleep 0.1 & exit 0"]}, "period_seconds": 0.1}
    name = start(env={"HEALTH_AGENT_READINESS_CHECK": json.dumps(check)})
    scrape = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9809/metrics', timeout=5).read().decode())"

    def rounds() -> float:
        return sum(
            float(line.split()[-1])
            for line in docker("exec", name, "python", "-c", scrape).splitlines()
            if line.startswith("health_agent_probe_total{")
        )

    docker("exec", name, "health-agent", "wait", "--for", "ready", "--timeout", "20")
    eventually(lambda: rounds() >= 20, within=20, what="twenty rounds", story=lambda: log(name))
    states = "cat /proc/[0-9]*/stat | sed 's/.*) //' | cut -c1"
    assert docker("exec", name, "sh", "-c", states).count("Z") <= 1, log(name)  # one may be on its way
