"""kwok simulates what a pod's annotation asks for, and a Job sees the same as from a kubelet."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from worlds.cluster.cluster import Cluster

pytestmark = pytest.mark.usefixtures("fake_node")
KEY = "5" * 64
_PATIENCE = 60.0


def _job(cluster: Cluster, namespace: str, outcome: str | None, stage: str = "sft") -> None:
    annotations = {"learntoask.io/stage-key": KEY}
    if outcome:
        annotations["test.learntoask.io/outcome"] = outcome
    ignored = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    container = {"name": "stage", "image": "none", "command": ["lta", "stage"]}
    body = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "one", "namespace": namespace},
        "spec": {
            "backoffLimit": 0,
            "podFailurePolicy": {"rules": [ignored]},
            "template": {
                "metadata": {"labels": {"learntoask.io/stage": stage}, "annotations": annotations},
                "spec": {"restartPolicy": "Never", "containers": [container]},
            },
        },
    }
    answer = cluster.request("POST", f"/apis/batch/v1/namespaces/{namespace}/jobs", body)
    assert answer.status == 201, answer.message


def _pods_when(
    cluster: Cluster, namespace: str, condition: Callable[[list[dict[str, Any]]], bool]
) -> list[dict[str, Any]]:
    deadline = time.monotonic() + _PATIENCE
    while not condition(pods := cluster.request("GET", f"/api/v1/namespaces/{namespace}/pods").body["items"]):
        assert time.monotonic() < deadline, [pod["status"] for pod in pods]
        time.sleep(0.1)
    return pods


def _phase(phase: str) -> Callable[[list[dict[str, Any]]], bool]:
    return lambda pods: [pod["status"].get("phase") for pod in pods] == [phase]


def _ended(pod: dict[str, Any]) -> dict[str, Any]:
    return dict(pod["status"]["containerStatuses"][0]["state"]["terminated"])


def test_a_stage_succeeds_with_its_message(cluster: Cluster, namespace: str) -> None:
    _job(cluster, namespace, None)
    (pod,) = _pods_when(cluster, namespace, _phase("Succeeded"))
    assert json.loads(_ended(pod)["message"])["output"] == KEY


def test_inputs_are_resolved(cluster: Cluster, namespace: str) -> None:
    _job(cluster, namespace, None, stage="resolve")
    (pod,) = _pods_when(cluster, namespace, _phase("Succeeded"))
    inputs = json.loads(_ended(pod)["message"])["inputs"]
    assert set(inputs["files"]) == {"dataset", "base"}
    assert set(inputs["pack"]) == {"logs", "labelling", "policy", "grading", "judging", "whole"}


@pytest.mark.parametrize(("outcome", "code", "retryable"), [("fail", 1, True), ("refuse", 2, False)])
def test_a_stage_fails(cluster: Cluster, namespace: str, outcome: str, code: int, retryable: bool) -> None:
    _job(cluster, namespace, outcome)
    (pod,) = _pods_when(cluster, namespace, _phase("Failed"))
    assert _ended(pod)["exitCode"] == code
    assert json.loads(_ended(pod)["message"])["retryable"] is retryable


def test_an_evicted_pod_is_replaced(cluster: Cluster, namespace: str) -> None:
    _job(cluster, namespace, "evict")
    pods = _pods_when(cluster, namespace, lambda pods: len(pods) > 1)
    evicted = [pod for pod in pods if pod["status"].get("reason") == "Evicted"]
    assert any(one["type"] == "DisruptionTarget" for one in evicted[0]["status"]["conditions"])


def test_a_pod_that_never_starts(cluster: Cluster, namespace: str) -> None:
    _job(cluster, namespace, "never-start")
    (pod,) = _pods_when(
        cluster, namespace, lambda pods: "containerStatuses" in (pods or [{"status": {}}])[0]["status"]
    )
    assert pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "ImagePullBackOff"


def test_a_deleted_pod_is_gone(cluster: Cluster, namespace: str) -> None:
    _job(cluster, namespace, "run")
    _pods_when(cluster, namespace, _phase("Running"))
    cluster.kubectl("delete", "job", "one", "-n", namespace)
    _pods_when(cluster, namespace, lambda pods: not pods)
