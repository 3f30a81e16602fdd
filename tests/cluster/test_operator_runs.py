"""The operator as a process on a real API server: runs that succeed, fail, wait, are stopped and are deleted."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from learntoask.core.json_object import Json
from worlds.cluster.applied_manifests import collection
from worlds.cluster.cluster import Cluster
from worlds.cluster.runs import OUTCOME, SECONDS, STAGES, Runs, until

pytestmark = pytest.mark.usefixtures("fake_node", "operator")


def _condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(one for one in status["conditions"] if one["type"] == kind)


def test_a_run_reaches_its_end(runs: Runs, cluster: Cluster) -> None:
    body = runs.apply()
    status = runs.wait_phase("Succeeded")
    assert runs.attempts() == sorted((stage, 1) for stage in STAGES)
    assert _condition(status, "Succeeded")["status"] == "True"
    assert all(one["observedGeneration"] == 1 for one in status["conditions"])
    assert {one["name"]: one["state"] for one in status["stages"]} == dict.fromkeys(STAGES, "Published")
    assert status["lineage"]["served"] == runs.stage("serve")["key"]
    for kind in ("jobs", "configmaps"):
        for child in runs.objects(kind, of="one"):
            assert child["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "learntoask-operator"
            (owner,) = child["metadata"]["ownerReferences"]
            assert (owner["uid"], owner["controller"]) == (body["metadata"]["uid"], True)
            assert owner.get("blockOwnerDeletion") is not True
            assert not child["metadata"].get("finalizers")
    endpoint = cluster.request("GET", f"{collection('AskEndpoint', runs.namespace)}/one").body
    assert "ownerReferences" not in endpoint["metadata"]
    assert endpoint["spec"]["policy"]["publication"] == runs.stage("serve")["key"]
    head, row = cluster.kubectl("get", "ltar", "-n", runs.namespace, "-o", "wide").splitlines()
    cells = {name: row[head.index(name) :].split("  ")[0] for name in ("NAME", "REASON", "PHASE", "ENDPOINT")}
    address = f"one.{runs.namespace}.svc:50051"
    assert list(cells.values()) == ["one", "RunSucceeded", "Succeeded", address]


def test_a_stage_that_fails_is_tried_again_and_then_fails_the_run(runs: Runs) -> None:
    runs.apply(attempts=2, pods={"prepare": {OUTCOME: "fail"}})
    status = runs.wait_phase("Failed")
    assert [one for one in runs.attempts() if one[0] == "prepare"] == [("prepare", 1), ("prepare", 2)]
    failure = runs.stage("prepare")["lastFailure"]
    assert (failure["reason"], failure["exitCode"], failure["attempt"]) == ("OutOfMemory", 1, 2)
    assert failure["message"] == "the fake node ran out of memory"
    assert "prepare" in status["message"]


def test_what_cannot_succeed_is_not_tried_again(runs: Runs) -> None:
    runs.apply(pods={"prepare": {OUTCOME: "refuse"}})
    runs.wait_phase("Failed")
    assert [one for one in runs.attempts() if one[0] == "prepare"] == [("prepare", 1)]
    assert runs.stage("prepare")["lastFailure"]["message"] == "the logs hold no session"


def test_an_evicted_pod_is_replaced_within_its_attempt(runs: Runs) -> None:
    runs.apply(attempts=1, pods={"prepare": {OUTCOME: "evict"}})
    until(lambda: len(_pods(runs, "prepare")) > 1, what="a second pod")
    assert [one for one in runs.attempts() if one[0] == "prepare"] == [("prepare", 1)]
    assert runs.status()["phase"] == "Running"


def test_a_stage_that_never_starts(runs: Runs) -> None:
    runs.apply(attempts=1, startDeadline="10s", pods={"prepare": {OUTCOME: "never-start"}})
    runs.wait(lambda _: "image" in runs.stage("prepare").get("message", ""))
    runs.wait_phase("Failed")
    assert runs.stage("prepare")["lastFailure"]["reason"] == "NeverStarted"


def test_a_suspended_run_stops_may_change_and_goes_on(runs: Runs) -> None:
    runs.apply(pods={"label": {SECONDS: "10m"}})
    runs.wait(lambda _: runs.stage("label").get("state") == "Running")
    runs.set(suspend=True)
    runs.wait_phase("Suspended")
    active = [
        pod for pod in runs.objects("pods", of="one") if pod["status"]["phase"] in ("Pending", "Running")
    ]
    assert active == []
    runs.set(suspend=False, pods__label__annotations={SECONDS: "100ms"})
    runs.wait_phase("Succeeded")
    assert [one for one in runs.attempts() if one[0] == "prepare"] == [("prepare", 1)]


def test_equal_runs_that_start_at_once_compute_every_stage_once(runs: Runs) -> None:
    """At no time two Jobs of different runs compute the same output."""
    names = ("first", "second")
    for name in names:
        runs.apply(name, pods={"all": {SECONDS: "2s"}})
    for name in names:
        runs.wait_phase("Succeeded", name)
    jobs: dict[tuple[str, str], list[Json]] = {}
    for job in runs.objects("jobs"):
        metadata = job["metadata"]
        key = metadata["annotations"]["learntoask.io/stage-key"]
        jobs.setdefault((metadata["labels"]["learntoask.io/stage"], key), []).append(job)
    shared = {stage: made for (stage, _), made in jobs.items() if stage != "resolve"}
    assert set(shared) == set(STAGES) - {"resolve"}
    for stage, made in shared.items():
        assert len(made) == len(names), "a run looks up what another one has computed"
        spans = sorted(
            (job["metadata"]["creationTimestamp"], job["status"]["completionTime"]) for job in made
        )
        assert all(after[0] >= before[1] for before, after in pairwise(spans)), (stage, spans)


def test_a_run_is_cancelled(runs: Runs) -> None:
    runs.apply(pods={"label": {SECONDS: "10m"}})
    runs.wait(lambda _: runs.stage("label").get("state") == "Running")
    runs.annotate(cancel="not needed any more")
    status = runs.wait_phase("Cancelled")
    assert "not needed any more" in status["message"]
    until(lambda: not _running(runs), what="the pods to end")


def test_a_stage_is_computed_anew(runs: Runs) -> None:
    runs.apply()
    runs.wait_phase("Succeeded")
    runs.annotate(rerun="evaluate=again")
    runs.wait(lambda _: len([one for one in runs.attempts() if one[0] == "evaluate"]) == 2)
    runs.wait_phase("Succeeded")
    assert len([one for one in runs.attempts() if one[0] == "grpo"]) == 1


def test_deletion_at_every_stage(runs: Runs) -> None:
    for stage in STAGES:
        runs.apply(f"at-{stage}", pods={stage: {SECONDS: "10m"}})
    for stage in STAGES:
        name = f"at-{stage}"
        runs.wait(lambda _, stage=stage, name=name: runs.stage(stage, name).get("state") == "Running", name)
        runs.delete(name)
    for kind in ("jobs", "pods", "configmaps", "services"):
        until(lambda kind=kind: not runs.objects(kind), what=f"the {kind} to go")
    assert [runs.get(f"at-{stage}") for stage in STAGES] == [{}] * len(STAGES)


def test_a_namespace_is_emptied_of_all_that_runs_in_it(runs: Runs, cluster: Cluster) -> None:
    """The namespace itself stays for half of the pods' grace period, so the test does not wait for that."""
    runs.apply("one", pods={"label": {SECONDS: "10m"}})
    runs.apply("two", dataset__seed=2)  # or it would wait for what `one` computes
    runs.wait(lambda _: runs.stage("label").get("state") == "Running")
    runs.wait_phase("Succeeded", "two")
    cluster.request("DELETE", f"/api/v1/namespaces/{runs.namespace}")
    kinds = "ltar,askep,jobs,pods,configmaps,services,leases"
    until(
        lambda: not _left(cluster.kubectl("get", kinds, "-n", runs.namespace, "-o", "name")),
        what=lambda: f"these to go: {cluster.kubectl('get', kinds, '-n', runs.namespace, '-o', 'name')}",
    )


def _left(names: str) -> list[str]:
    """The objects that are left, except the ConfigMap of the authority that every namespace has until its end."""
    return [name for name in names.split() if name != "configmap/kube-root-ca.crt"]


def _running(runs: Runs) -> list[str]:
    pods = runs.objects("pods", of="one")
    return [pod["metadata"]["name"] for pod in pods if pod["status"].get("phase") in ("Pending", "Running")]


def _pods(runs: Runs, stage: str) -> list[dict[str, Any]]:
    pods = runs.objects("pods", of="one")
    return [pod for pod in pods if pod["metadata"]["labels"]["learntoask.io/stage"] == stage]
