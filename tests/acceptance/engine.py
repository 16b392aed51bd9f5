"""The Docker Engine as tests use it: every command bounded in time, and what failed told in its own words."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BASE = "python:3.12-slim-bookworm"
IMAGE = "model-health-agent:acceptance"  # one name, kept: its layers are the next build's cache


def docker(*arguments: str, timeout: float = 60, feed: str = "") -> str:
    """Standard output of one docker command; fails with its words where it fails, and never waits for ever."""
    run = subprocess.run(
        ["docker", *arguments], input=feed, capture_output=True, text=True, timeout=timeout, check=False, cwd=ROOT
    )
    assert run.returncode == 0, f"docker {' '.join(arguments)}:\n{run.stdout[-3000:]}{run.stderr[-3000:]}"
    return run.stdout.strip()


def inspect(name: str, expression: str) -> Any:
    return json.loads(docker("inspect", "--format", f"{{{{json {expression}}}}}", name))


def need_engine() -> None:
    """Skips where no engine answers, and fails in CI."""
    try:
        docker("info", timeout=20)
    except (AssertionError, OSError, subprocess.TimeoutExpired):
        missing = "no Docker Engine answers: install and start one (on Debian: apt-get install docker.io)"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)


def log(name: str) -> str:
    run = subprocess.run(["docker", "logs", name], capture_output=True, text=True, timeout=20, check=False)
    return run.stdout + run.stderr
