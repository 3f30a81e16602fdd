"""Definitions are upgraded and removed while objects are stored, and nothing gets stuck."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from worlds.cluster.applied_manifests import ENDPOINT, RUN, changed, collection, manifest, stored, updated
from worlds.cluster.cluster import Cluster
from worlds.cluster.control_plane import ControlPlane

OLDER = Path(__file__).parent / "older_crds"
NAMES = ("learntoaskruns.learntoask.io", "askendpoints.learntoask.io")
_PATIENCE = 60.0


@pytest.fixture
def own(plane: ControlPlane, cluster: Cluster) -> Iterator[Cluster]:
    """A cluster whose definitions a test may remove; they are restored after the test."""
    yield cluster
    cluster.install_crds()


def _served(cluster: Cluster, served: bool) -> None:
    deadline = time.monotonic() + _PATIENCE
    while (cluster.request("GET", collection("LearnToAskRun")).status == 200) != served:
        assert time.monotonic() < deadline, "the API server did not follow the definitions"
        time.sleep(0.1)


def _remove_definitions(cluster: Cluster) -> None:
    cluster.kubectl("delete", "crd", *NAMES, "--wait", f"--timeout={_PATIENCE:.0f}s", timeout=_PATIENCE + 10)
    _served(cluster, False)


def test_an_object_of_an_older_definition_keeps_working(own: Cluster, namespace: str) -> None:
    _remove_definitions(own)
    own.kubectl("apply", "--server-side", "-f", str(OLDER))
    _served(own, True)
    old = stored(own, manifest("LearnToAskRun", changed(RUN, "train.sft.epochs", 3), namespace=namespace))
    status = {"phase": "Running", "started": "2026-01-31T12:00:00Z", "conditions": []}
    assert updated(own, {**old, "status": status}, subresource="/status").status == 200

    own.install_crds()
    path = f"{collection('LearnToAskRun', namespace)}/tried-out"
    deadline = time.monotonic() + _PATIENCE
    while "startDeadline" not in (body := own.request("GET", path).body)["spec"]:
        assert time.monotonic() < deadline, "the new definition's defaults are not filled in"
        time.sleep(0.1)

    answer = updated(own, {**body, "status": {**status, "gpuHours": 1.0}}, subresource="/status")
    assert answer.status == 200, answer.message
    answer = updated(own, {**answer.body, "spec": {**answer.body["spec"], "attempts": 5}})
    assert answer.status == 200, answer.message
    pods = {"sft": {"image": "new"}}  # a field without a default: only a person adds it, which is a change
    refused = updated(own, {**answer.body, "spec": {**answer.body["spec"], "pods": pods}})
    assert refused.status == 422
    assert "spec.pods may only change while the run is suspended" in refused.message
    refused = updated(own, {**answer.body, "spec": changed(answer.body["spec"], "train.sft.epochs", 4)})
    assert refused.status == 422
    own.kubectl("delete", "ltar", "tried-out", "-n", namespace, "--timeout=20s")


def test_removing_the_definitions_takes_the_objects_along(own: Cluster, namespace: str) -> None:
    for index in range(5):
        stored(own, manifest("LearnToAskRun", RUN, name=f"run-{index}", namespace=namespace))
    stored(own, manifest("AskEndpoint", ENDPOINT, namespace=namespace))
    _remove_definitions(own)
    own.install_crds()
    assert own.request("GET", collection("LearnToAskRun", namespace)).body["items"] == []


def test_definitions_may_be_applied_again_and_again(cluster: Cluster) -> None:
    generations = [_generations(cluster)]
    for _ in range(2):
        cluster.install_crds()
        generations.append(_generations(cluster))
    assert generations[0] == generations[1] == generations[2]


def _generations(cluster: Cluster) -> list[int]:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    return [cluster.request("GET", f"{path}/{name}").body["metadata"]["generation"] for name in NAMES]
