"""Alerts and dashboard: by Prometheus' own linter, and every series and label in them is one that the agent has."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.server.metrics import FAMILIES
from tests.deploy.programs import ROOT, output, program

PROMETHEUS = ROOT / "deploy" / "prometheus"
ALERTS = yaml.safe_load((PROMETHEUS / "alerts.yaml").read_text(encoding="utf-8"))
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
DASHBOARD: dict[str, Any] = json.loads(
    (ROOT / "deploy/grafana/dashboards/health-agent.json").read_text(encoding="utf-8")
)

TARGETS = {"instance", "job"}
"""Labels that Prometheus adds."""

SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",), "info": ("_info",)}
SERIES = {
    name + suffix: {*family.labels, *TARGETS, *({"le"} if suffix == "_bucket" else set())}
    for name, family in FAMILIES.items()
    for suffix in SUFFIXES[family.type]
}


def expressions() -> Iterator[tuple[str, str]]:
    """Every query, with the template of its legend or its annotations."""
    for rule in RULES:
        yield rule["expr"], json.dumps(rule["annotations"])
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield target["expr"], target["legendFormat"]
    for annotation in DASHBOARD["annotations"]["list"]:
        yield annotation["expr"], annotation["titleFormat"] + annotation["textFormat"]


@pytest.mark.parametrize(("expression", "template"), list(expressions()))
def test_a_query_asks_for_series_and_labels_that_exist(expression: str, template: str) -> None:
    asked = re.findall(r"\b(health_agent_\w+)(?:\{([^}]*)\})?", expression)
    assert asked or re.search(r"\b(up|process_\w+)\{", expression)
    known = set(TARGETS)
    for series, selector in asked:
        assert series in SERIES
        assert set(re.findall(r"(\w+)\s*(?:=~|!=|=)", selector)) <= SERIES[series], series
        known |= SERIES[series]
    for grouping in re.findall(r"\bby \(([^)]*)\)", expression):
        wanted = {label.strip() for label in grouping.split(",")}
        assert wanted <= known
        known = wanted
    assert set(re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", template)) <= known


def test_prometheus_accepts_the_rules_and_the_configuration() -> None:
    promtool = program("promtool")
    output(promtool, "check", "rules", PROMETHEUS / "alerts.yaml")
    output(promtool, "check", "config", PROMETHEUS / "prometheus.yml")


RESTARTS = 'health_agent_restarts_total{instance="a",container="m",action="none",reason="timeout",outcome="succeeded"}'
HISTORY = {
    'health_agent_container_state{instance="a",container="m",state="given_up"}': "0x5 1x60",
    'health_agent_container_ready{instance="a",container="m"}': "1x5 0x60",
    RESTARTS: "0 1 2 3 3x60",
    'up{instance="a",job="health-agent"}': "1x20 0x60",
}
"""What is scraped, once a minute: a server is given up and not ready, was restarted three times; an agent goes away."""

FIRING = [
    ("ModelGivenUp", "5m", 0),
    ("ModelGivenUp", "6m", 1),
    ("ModelNotReady", "15m", 0),
    ("ModelNotReady", "25m", 1),
    ("ModelRestarted", "1m", 0),
    ("ModelRestarted", "10m", 1),
    ("HealthAgentDown", "20m", 0),
    ("HealthAgentDown", "25m", 1),
]


def test_alerts_fire_when_they_should_and_not_before(tmp_path: Path) -> None:
    """By promtool's own clock."""
    asked = [
        {
            "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) or vector(0)',
            "eval_time": moment,
            "exp_samples": [{"labels": "{}", "value": count}],
        }
        for alert, moment, count in FIRING
    ]
    series = [{"series": name, "values": values} for name, values in HISTORY.items()]
    test = {"interval": "1m", "input_series": series, "promql_expr_test": asked}
    document = {"rule_files": [str(PROMETHEUS / "alerts.yaml")], "evaluation_interval": "1m", "tests": [test]}
    (tmp_path / "test.yaml").write_text(json.dumps(document))
    output(program("promtool"), "test", "rules", tmp_path / "test.yaml")


def test_the_operators_rules_are_the_same() -> None:
    rule = yaml.safe_load((ROOT / "deploy/kubernetes/components/monitoring/rules.yaml").read_text(encoding="utf-8"))
    assert rule["spec"] == ALERTS
    chart = ROOT / "deploy/helm/model-health-agent/files/alerts.yaml"
    assert yaml.safe_load(chart.read_text(encoding="utf-8")) == ALERTS


def test_every_alert_tells_what_it_is_about() -> None:
    for rule in RULES:
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"]


def test_the_dashboards_panels_fill_its_rows_and_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
