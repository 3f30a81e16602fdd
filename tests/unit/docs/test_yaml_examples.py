"""Every YAML example on a page is valid where it belongs: a whole document, or a part of a run's spec."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml
from learntoask.core.documents.input_checks import check_document
from learntoask.core.manifest import AskEndpoint, LearnToAskRun
from learntoask.core.manifest.strategy import Strategy
from learntoask.core.manifest.sweep import LearnToAskSweep
from learntoask.core.pack import Pack
from learntoask.serving.metrics import ServingMetrics

ROOT = Path(__file__).resolve().parents[3]
KINDS = {"AskEndpoint": AskEndpoint, "LearnToAskRun": LearnToAskRun, "LearnToAskSweep": LearnToAskSweep}
PARTS_OF_PACKS = {"README.md": "- name: duration"}  # tests/unit/docs/test_readme_example.py checks it
BLOCKS = [
    pytest.param(textwrap.dedent(text), id=f"{page.name}:{number}")
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for number, text in enumerate(
        re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    )
    if not textwrap.dedent(text).startswith(PARTS_OF_PACKS.get(page.name, "\0"))
]
SPEC = {"dataset": {"uri": "logs.jsonl"}, "pack": {"uri": "pack.yaml"}}
LLM = {"endpoint": {"uri": "http://judge/v1", "model": "m"}}


def _whole(part: dict[str, Any]) -> dict[str, Any]:
    if "judges" in part:
        part = {"label": {"method": "llm", "llm": {**LLM, **part}}}
    spec = {**SPEC, **part.get("spec", part)}
    return {
        "apiVersion": "learntoask.io/v1alpha1",
        "kind": "LearnToAskRun",
        "metadata": {"name": "x"},
        "spec": spec,
    }


@pytest.mark.parametrize("text", BLOCKS)
def test_a_yaml_example_is_valid(text: str) -> None:
    content = yaml.safe_load(text)
    if "tasks" in content:
        check_document(content, Pack, where="example")
    elif content.get("kind") == "ScaledObject":
        _check_scaled_object(content)
    elif "mode" in content:
        check_document(content, Strategy, where="example")
    elif "kind" in content:
        check_document(content, KINDS[content["kind"]], where="example")
    else:
        check_document(_whole(content), LearnToAskRun, where="example")


def _check_scaled_object(content: dict[str, Any]) -> None:
    """KEDA scales what has a scale subresource, by a metric and labels that Prometheus gets from us."""
    spec, metadata = content["spec"], content["metadata"]
    assert content["apiVersion"] == "keda.sh/v1alpha1"
    target = spec["scaleTargetRef"]
    definition = yaml.safe_load((ROOT / "manifests" / "crds" / "askendpoints.yaml").read_text())["spec"]
    (version,) = definition["versions"]
    assert target["kind"] == definition["names"]["kind"]
    assert target["apiVersion"] == f"{definition['group']}/{version['name']}"
    assert version["subresources"]["scale"]["specReplicasPath"] == ".spec.replicas"
    assert 1 <= spec["minReplicaCount"] <= spec["maxReplicaCount"]
    (trigger,) = spec["triggers"]
    query = re.fullmatch(r"sum\((\w+)\{(.+)\}\)", trigger["metadata"]["query"])
    assert query, trigger
    metrics = ServingMetrics()
    metrics.watch(in_flight=lambda: 3.0, cache_bytes=lambda: 0.0)
    assert metrics.registry.get_sample_value(query[1]) == 3.0
    labels = dict(re.findall(r'(\w+)="([^"]+)"', query[2]))
    assert labels == {"namespace": metadata["namespace"], "learntoask_io_endpoint": target["name"]}
    monitor = (ROOT / "charts/learntoask/templates/monitoring/monitors.yaml").read_text()
    assert "podTargetLabels: [learntoask.io/endpoint," in monitor
    assert float(trigger["metadata"]["threshold"]) > 0
