"""The generated files of the chart are current, and alerts, dashboard and runbook only name what the code has."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from learntoask.core.status import conditions
from learntoask.core.status.endpoint import EndpointStatus
from learntoask.core.status.rollout import RolloutStatus
from learntoask.core.status.run import RunStatus
from learntoask.grader_service.metrics import GraderMetrics
from learntoask.kube import RUN
from learntoask.serving.gateway.metrics import GatewayMetrics
from learntoask.serving.metrics import ServingMetrics
from learntoask.serving.rollout.events import EventReader
from learntoask.serving.rollout.ledger import Ledger
from learntoask.serving.rollout.metrics import RolloutCollector
from learntoask_operator.loop import Ref
from learntoask_operator.metrics import Metrics as OperatorMetrics
from worlds.serving import PACK

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "charts" / "learntoask"
RULES = (CHART / "templates" / "monitoring" / "rules.yaml").read_text()
DASHBOARD = json.loads((CHART / "files" / "dashboard.json").read_text())
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
ALERTS = re.findall(r"- alert: (\w+)", RULES)
TYPES = {
    *("Accepted", "Progressing", "Succeeded", "WithinBudget", "Reconciling", "Stalled"),
    *("Ready", "RolledOut", "RolloutHealthy", "GatewayReady", "Autoscaled"),
}


def test_what_is_made_from_elsewhere_is_current() -> None:
    command = [sys.executable, ROOT / "tools" / "generate_chart.py", "--check"]
    assert subprocess.run(command, check=False).returncode == 0, "run `make chart`"


def test_the_app_has_the_version_of_the_distribution() -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == version[1]


def test_definitions_stay_when_the_release_goes() -> None:
    for path in sorted((CHART / "files" / "crds").glob("*.yaml")):
        definition = yaml.safe_load(path.read_text())
        assert definition["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
        assert definition == yaml.safe_load((ROOT / "manifests" / "crds" / path.name).read_text())


@pytest.mark.parametrize("text", [RULES, json.dumps(DASHBOARD["panels"])], ids=["alerts", "dashboard"])
def test_every_metric_that_is_asked_for_exists_with_its_labels(text: str) -> None:
    known = _exported()
    asked = set(re.findall(r"\blta_\w+", text))
    assert len(asked) > 5
    assert asked <= known.keys()
    for name, selector in re.findall(r"\b(lta_\w+)\{(.*?)\}", text.replace('\\"', '"')):
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
        assert labels <= known[name] | {"namespace", "pod", "learntoask_io_endpoint"}, (name, selector)


def test_labels_of_metrics_that_alerts_choose_by_are_ones_that_occur() -> None:
    codes = {"OK", "RESOURCE_EXHAUSTED", "INTERNAL", "UNKNOWN", "UNAVAILABLE", "DEADLINE_EXCEEDED"}
    for chosen in re.findall(r'code=~?"([\w|]+)"', RULES):
        assert set(chosen.split("|")) <= codes
    for chosen in re.findall(r'origin=~?"([\w|]+)"', RULES):
        assert set(chosen.split("|")) <= {"model", "repaired", "fallback", "no_server"}
    for chosen in re.findall(r'rollout=~?"(\w+)"', RULES):
        assert chosen in vars(conditions).values()
    phases = set(RunStatus.model_json_schema()["properties"]["phase"]["enum"])
    for chosen in re.findall(r'phase=~?"([\w|]+)"', RULES):
        assert set(chosen.split("|")) <= phases


def test_every_alert_and_every_reason_is_in_the_runbook() -> None:
    assert len(ALERTS) == len(set(ALERTS)) > 8
    headings = re.findall(r"^### (\w+)$", RUNBOOK, re.MULTILINE)
    assert headings == ALERTS
    for alert in ALERTS:
        assert f"runbook_url: {{{{ . }}}}{alert.lower()}\n" in RULES, "the anchor of its heading"
    words = {
        value
        for name, value in vars(conditions).items()
        if name.isupper() and not name.startswith("_") and isinstance(value, str)
    }
    assert words >= TYPES
    for kind in TYPES:
        assert f"`{kind}`" in RUNBOOK
    rows = set(re.findall(r"^\| `(\w+)` \|", RUNBOOK, re.MULTILINE))
    assert words - TYPES - {"UTC"} <= rows
    assert rows <= words | _reasons_of_stages()


def _reasons_of_stages() -> set[str]:
    table = RUNBOOK.split("## Reasons of failed stages")[1].split("## ")[0]
    return set(re.findall(r"`(\w+)`", table))


def test_reasons_of_failed_stages_occur_in_the_code() -> None:
    code = "".join(
        path.read_text() for folder in ("services", "operator") for path in (ROOT / folder).rglob("*.py")
    )
    first = [
        row.split("|")[1]
        for row in RUNBOOK.split("## Reasons of failed stages")[1].split("## ")[0].splitlines()
        if row.startswith("| `")
    ]
    words = set(re.findall(r"`(\w+)`", "".join(first))) - {"OOMKilled"}  # a metric of Kubernetes
    assert len(words) > 15
    for word in words:
        assert f'"{word}"' in code or f"class {word}(" in code, word


def _exported() -> dict[str, set[str]]:
    """Names of all exposed samples, with the labels that they can have."""
    operator, gateway, serving, grader = (
        OperatorMetrics(),
        GatewayMetrics(),
        ServingMetrics(),
        GraderMetrics(),
    )
    ref = Ref(kind=RUN, namespace="n", name="r")
    operator.runs.status_written(ref, RunStatus(phase="Running", stage="sft"))
    times = {"started": "2026-01-01T00:00:00Z", "step_started": "2026-01-01T00:00:00Z"}
    tried = RolloutStatus(id="r", stage="Steps", **times)
    operator.endpoints.status_written(ref, EndpointStatus(rollout=tried))
    ledger = Ledger(EventReader(PACK), gateway="g", clock=time.time)
    ledger.counts.add(50, "canary", {"error": True})
    RolloutCollector(ledger, registry=gateway.registry)
    gateway.watch(in_flight=lambda: 0, serving=lambda: ())
    serving.watch(in_flight=lambda: 0, cache_bytes=lambda: 0)
    grader.watch(lambda: 0)
    found: dict[str, set[str]] = {}
    for metrics in (operator, gateway, serving, grader):
        for collector in list(metrics.registry._collector_to_names):
            labels = set(getattr(collector, "_labelnames", ()))
            for name in metrics.registry._collector_to_names[collector]:
                found.setdefault(name, set()).update(labels, {"le"} if name.endswith("_bucket") else set())
        for family in metrics.registry.collect():
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
    return found
