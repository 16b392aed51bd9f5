"""A Pod whose probes say what a recorded trace's configuration says has the same history, event for event."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.engine.simulate import simulate
from config.support import config

TRACES = Path(__file__).parents[1] / "golden" / "kubelet-transitions.jsonl"
NUMBERS = ("initial_delay_seconds", "period_seconds", "timeout_seconds", "success_threshold", "failure_threshold")


def spelt(key: str) -> str:
    first, *rest = key.split("_")
    return first + "".join(word.title() for word in rest)


def probe(check: dict[str, Any]) -> dict[str, Any]:
    """What the API would call it; 0 where it is the default there, so that this is tried too."""
    numbers = {spelt(key): check[key] for key in NUMBERS if key in check}
    defaults = {"periodSeconds": 10, "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3}
    numbers = {key: 0 if defaults.get(key) == value else value for key, value in numbers.items()}
    return {"tcpSocket": {"port": check["tcp_socket"]["port"]}, **numbers}


def pod(native: dict[str, Any]) -> dict[str, Any] | None:
    """The manifest of a trace's one container, or None where it says what a Pod can't: lists of checks."""
    (container,) = native["containers"]
    checks = {key: value for key, value in container.items() if key.endswith("_check")}
    if any(isinstance(check, list) or check.keys() - {"tcp_socket", *NUMBERS} for check in checks.values()):
        return None
    probes = {key.replace("_check", "Probe"): probe(check) for key, check in checks.items()}
    spec = {"containers": [{"name": container["name"], "image": "model", **probes}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "traced"}, "spec": spec}


ALL = [json.loads(line) for line in TRACES.read_text(encoding="utf-8").splitlines()]
CASES = [(case, manifest) for case in ALL if (manifest := pod(case["config"])) is not None]


def test_most_traces_can_be_said_by_a_pod() -> None:
    assert len(CASES) > 200


@pytest.mark.parametrize("block", range(0, len(CASES), 50))
def test_a_pod_of_the_same_probes_has_the_same_history(block: int) -> None:
    for number, (case, manifest) in enumerate(CASES[block : block + 50]):
        text = yaml.safe_dump(manifest) if number % 2 else json.dumps(manifest)
        assert list(simulate(config(text), case["input"])) == list(
            simulate(config(json.dumps(case["config"])), case["input"])
        ), json.dumps(case["config"])
