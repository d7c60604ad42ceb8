"""docker/: the alert rules and the dashboard name only what there is, promtool takes them, and the alerts fire."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from gateway.telemetry.metrics import Metrics
from tests.unit.telemetry.test_metrics import ALLOWED, plan, sources

ROOT = Path(__file__).parent.parent.parent
DOCKER = ROOT / "docker"
DASHBOARD = json.loads((DOCKER / "grafana" / "switchhook.json").read_text())
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",), "info": ("_info",)}
FROM_PROMETHEUS = {"instance", "job", "le", "alertname", "alertstate"}
OPEN = {"trunk", "channel", "engine", "decision", "version", "python"}
"""Labels whose values are names, not words of ours."""
SELECTOR = re.compile(r"\b((?:switchhook|process|python)_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')


def alert_expressions() -> Iterator[str]:
    for group in yaml.safe_load((DOCKER / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["expr"]


def dashboard_expressions() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield target["expr"]
    for annotation in DASHBOARD["annotations"]["list"]:
        yield annotation["expr"]


def there_is() -> dict[str, set[str]]:
    """Every series name of ours with its labels."""
    metrics = plan(Metrics(CollectorRegistry()))
    metrics.read(sources())
    metrics.render()
    labels = {
        f"{child._name}": set(child._labelnames)
        for child in metrics.registry._collector_to_names
        if isinstance(child, MetricWrapperBase)
    }
    return {
        family.name + suffix: labels.get(family.name, {key for sample in family.samples for key in sample.labels})
        for family in metrics.registry.collect()
        for suffix in SUFFIXES[family.type]
    }


def promtool(*arguments: str, told: str | None = None) -> None:
    found = shutil.which("promtool")
    assert found, "promtool is in Debian's package prometheus; `make test-packages` installs it"
    done = subprocess.run([found, *arguments], input=told, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("expressions", [alert_expressions, dashboard_expressions])
def test_every_metric_and_label_that_is_named_exists(expressions: Any):
    known, used = there_is(), 0
    for expression in expressions():
        for name, matchers in SELECTOR.findall(expression):
            used += 1
            assert name in known, f"no metric {name} in: {expression}"
            for label, values in MATCHER.findall(matchers):
                assert label in known[name] | FROM_PROMETHEUS, f"{name} has no label {label}: {expression}"
                if label not in OPEN | FROM_PROMETHEUS:
                    unknown = set(values.split("|")) - ALLOWED[label]
                    assert not unknown, f"{label} is never {unknown}: {expression}"
        for by in re.findall(r"\bby \(([^)]*)\)", expression):
            names = {name for name, _ in SELECTOR.findall(expression)}
            for label in by.split(", "):
                assert label in FROM_PROMETHEUS or all(label in known[n] for n in names), f"by {label}: {expression}"
    assert used > 20


def test_every_metric_of_ours_is_in_the_dashboard():
    shown = {name for expression in dashboard_expressions() for name, _ in SELECTOR.findall(expression)}
    ours = {name.removesuffix("_count").removesuffix("_sum") for name in there_is() if name.startswith("switchhook_")}
    hidden = {name for name in ours if not {name, f"{name}_bucket"} & shown}
    assert not hidden


def test_a_bucket_that_a_rule_names_exists():
    metrics = Metrics()
    bounds = {str(bound) for bound in metrics.instruments.media_clock_gap._upper_bounds}
    named = {le for expression in alert_expressions() for le in re.findall(r'le="([^"]+)"', expression)}
    assert named <= bounds


def test_the_panels_of_the_dashboard_do_not_overlap():
    taken: set[tuple[int, int]] = set()
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_promtool_takes_the_configuration_and_the_rules():
    promtool("check", "config", str(DOCKER / "prometheus.yml"))
    promtool("check", "rules", str(DOCKER / "alerts.yml"))


def test_promtool_has_nothing_to_say_about_the_names_of_the_metrics():
    metrics = plan(Metrics())
    metrics.read(sources())
    ours = re.compile(r"^(?:# (?:HELP|TYPE) )?switchhook_.*\n", re.MULTILINE)
    promtool("check", "metrics", told="".join(ours.findall(metrics.render()[0].decode())))


def test_promtool_takes_the_queries_of_the_dashboard(tmp_path: Path):
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "1m")}
        for number, expression in enumerate(dashboard_expressions())
    ]
    file = tmp_path / "dashboard.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(file))


def test_the_alerts_fire_when_they_should_and_only_then():
    promtool("test", "rules", str(ROOT / "tests" / "unit" / "alerts.test.yml"))
