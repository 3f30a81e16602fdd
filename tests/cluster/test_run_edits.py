"""What may be edited of a run and when, and what kubectl shows of both kinds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from learntoask.core.manifest import Grpo
from worlds.cluster.applied_manifests import (
    ENDPOINT,
    RUN,
    changed,
    collection,
    manifest,
    stored,
    tried,
    updated,
)
from worlds.cluster.cluster import Cluster

STARTED = {"phase": "Running", "started": "2026-01-31T12:00:00Z", "stage": "sft", "progress": "12 %"}


def _at_work(cluster: Cluster, namespace: str, **status: Any) -> dict[str, Any]:
    body = stored(cluster, manifest("LearnToAskRun", RUN, namespace=namespace))
    answer = updated(cluster, {**body, "status": {**STARTED, **status}}, subresource="/status")
    assert answer.status == 200, answer.message
    return answer.body


def _with(body: dict[str, Any], **fields: Any) -> dict[str, Any]:
    spec = body["spec"]
    for path, value in fields.items():
        spec = changed(spec, path.replace("__", "."), value)
    return {**body, "spec": spec}


def test_a_run_that_nobody_started_may_change(cluster: Cluster, namespace: str) -> None:
    body = stored(cluster, manifest("LearnToAskRun", RUN, namespace=namespace))
    assert updated(cluster, _with(body, train__sft__epochs=5)).status == 200


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("dataset__uri", "s3://logs/other.jsonl"),
        ("pack__uri", "s3://packs/other.yaml"),
        ("store__uri", "s3://elsewhere/lta"),
        ("label__method", "annotated"),
        ("grader__encoder", "hashing"),
        ("train__sft__epochs", 5),
        ("evaluate__samples", 1),
        ("gate__thresholds", [{"metric": "TA", "min": 0}]),
        ("serve__port", 1),
        ("pods__sft", {"image": "other"}),
    ],
)
def test_a_run_at_work_refuses_what_would_make_its_work_obsolete(
    cluster: Cluster, namespace: str, path: str, value: Any
) -> None:
    body = _at_work(cluster, namespace)
    if path.startswith("pods"):
        body = updated(cluster, _with(body, suspend=True, pods__all={"image": "first"})).body
        body = updated(cluster, _with(body, suspend=False)).body
    answer = updated(cluster, _with(body, **{path: value}))
    assert answer.status == 422
    field = f"spec.{path.split('__', maxsplit=1)[0]}"
    assert f"{field}: Invalid value" in answer.message
    assert f"{field} may only change while the run is suspended" in answer.message


def test_pods_cannot_be_added_to_a_run_at_work(cluster: Cluster, namespace: str) -> None:
    """They have no default, so that a run may have none."""
    body = _at_work(cluster, namespace)
    assert "pods" not in body["spec"]
    answer = updated(cluster, _with(body, pods__all={"image": "first"}))
    assert answer.status == 422
    assert "spec.pods may only change while the run is suspended" in answer.message
    assert updated(cluster, _with(body, attempts=9)).status == 200


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("attempts", 9),
        ("stageDeadline", "48h"),
        ("startDeadline", "3h"),
        ("ttl", "1h"),
        ("budget__gpuHours", 5),
        ("artefacts", "remove"),
        ("suspend", True),
    ],
)
def test_limits_of_a_run_at_work_may_change(cluster: Cluster, namespace: str, path: str, value: Any) -> None:
    answer = updated(cluster, _with(_at_work(cluster, namespace), **{path: value}))
    assert answer.status == 200, answer.message


def test_a_suspended_run_may_change_and_go_on(cluster: Cluster, namespace: str) -> None:
    body = updated(cluster, _with(_at_work(cluster, namespace), suspend=True)).body
    body = updated(cluster, _with(body, train__sft__epochs=5)).body
    answer = updated(cluster, _with(body, suspend=False, train__sft__epochs=6))
    assert answer.status == 200, answer.message
    assert updated(cluster, _with(answer.body, train__sft__epochs=7)).status == 422


def test_a_run_that_is_over_may_change(cluster: Cluster, namespace: str) -> None:
    body = _at_work(cluster, namespace, phase="Failed", finished="2026-01-31T13:00:00Z")
    assert updated(cluster, _with(body, train__sft__epochs=5)).status == 200


def test_a_status_never_changes_the_spec_nor_a_spec_the_status(cluster: Cluster, namespace: str) -> None:
    body = _at_work(cluster, namespace)
    answer = updated(cluster, {**_with(body, attempts=9), "status": {"phase": "Failed"}})
    assert answer.body["status"] == body["status"]
    answer = updated(cluster, {**_with(answer.body, attempts=4)}, subresource="/status")
    assert answer.body["spec"]["attempts"] == 9


def test_unknown_fields_are_dropped_where_nobody_asks_for_strictness(cluster: Cluster) -> None:
    body = manifest("LearnToAskRun", changed(RUN, "train.sft.epoch", 3))
    answer = cluster.request("POST", collection("LearnToAskRun") + "?dryRun=All", body)
    assert answer.status == 201
    assert "epoch" not in answer.body["spec"]["train"]["sft"]
    assert tried(cluster, body).status == 400


def test_kubectl_get_tells_how_a_run_goes(cluster: Cluster, namespace: str) -> None:
    condition = {
        "type": "Succeeded",
        "status": "Unknown",
        "reason": "Running",
        "message": "",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-31T12:00:00Z",
    }
    served = {"name": "desk", "address": "desk.team.svc:50051"}
    status = {"reason": "Running", "conditions": [condition], "gpuHours": 1.5, "endpoint": served}
    _at_work(cluster, namespace, **status)
    table = cluster.kubectl("get", "ltar", "-n", namespace, "-o", "wide")
    head, row = table.splitlines()[:2]
    columns = [
        "NAME",
        "STAGE",
        "PROGRESS",
        "SUCCEEDED",
        "REASON",
        "AGE",
        "PHASE",
        "GPU-HOURS",
        "ENDPOINT",
        "MESSAGE",
    ]
    assert head.split() == columns
    assert row.split()[:4] == ["tried-out", "sft", "12", "%"]
    assert row.split()[4:6] == ["Unknown", "Running"]
    assert row.split()[7:] == ["Running", "1.5", "desk.team.svc:50051"]


def test_kubectl_scale_sets_the_replicas_of_an_endpoint(cluster: Cluster, namespace: str) -> None:
    body = stored(cluster, manifest("AskEndpoint", ENDPOINT, namespace=namespace))
    cluster.kubectl("scale", "askep/tried-out", "-n", namespace, "--replicas=3")
    path = f"{collection('AskEndpoint', namespace)}/tried-out"
    assert cluster.request("GET", path).body["spec"]["replicas"] == 3
    body = cluster.request("GET", path).body
    status = {"replicas": 2, "selector": "learntoask.io/endpoint=tried-out"}
    assert updated(cluster, {**body, "status": status}, subresource="/status").status == 200
    scale = cluster.request("GET", f"{path}/scale").body
    assert scale["status"] == {"replicas": 2, "selector": "learntoask.io/endpoint=tried-out"}


def test_kubectl_explain_reads_like_documentation(cluster: Cluster) -> None:
    text = cluster.kubectl("explain", "ltar.spec.train.grpo")
    assert "the policy learns from grades" in text
    described = f"Number of sampled answers per decision point (G). Defaults to {Grpo().group_size}."
    assert described in " ".join(text.split())
    assert "<no description>" not in cluster.kubectl("explain", "ltar.spec", "--recursive=false")


def test_kubectl_apply_stays_small_enough_for_its_annotation(cluster: Cluster) -> None:
    """Plain `kubectl apply` keeps the whole object in an annotation of at most 256 KiB."""
    for name in ("learntoaskruns", "askendpoints"):
        body = json.loads(cluster.kubectl("get", "crd", f"{name}.learntoask.io", "-o", "json"))
        assert len(json.dumps({"spec": body["spec"]})) < 200 * 1024
