"""Operators, API servers and etcd that stop and start during runs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from worlds.cluster.cluster import Cluster
from worlds.cluster.control_plane import ControlPlane
from worlds.cluster.operator_process import ACCOUNT, OperatorProcess, calls
from worlds.cluster.runs import SECONDS, STAGES, Runs, until

pytestmark = pytest.mark.usefixtures("fake_node")
ONCE = sorted((stage, 1) for stage in STAGES)


def test_the_api_server_is_killed_and_comes_back(
    runs: Runs, plane: ControlPlane, operator: OperatorProcess
) -> None:
    runs.apply(pods={"all": {SECONDS: "1s"}})
    runs.wait(lambda _: runs.stage("prepare").get("state") == "Running")
    plane.restart_api_server()
    runs.wait_phase("Succeeded")
    assert runs.attempts() == ONCE
    assert operator.alive


def test_the_store_of_the_api_server_stands_still(
    runs: Runs, plane: ControlPlane, operator: OperatorProcess
) -> None:
    runs.apply(pods={"all": {SECONDS: "1s"}})
    runs.wait(lambda _: runs.stage("prepare").get("state") == "Running")
    for _ in range(3):
        plane.pause_etcd()
        time.sleep(3.0)
        plane.resume_etcd()
        time.sleep(1.0)
    runs.wait_phase("Succeeded")
    assert runs.attempts() == ONCE
    assert operator.alive


@pytest.mark.parametrize("lease", ["6s"])
def test_the_operator_is_killed_again_and_again(
    runs: Runs, plane: ControlPlane, operator: OperatorProcess
) -> None:
    """The operator is killed after every few writes, and the next one goes on where it stopped."""
    runs.apply()
    for _ in range(4):
        seen = _writes(plane, runs.namespace)
        until(lambda seen=seen: _writes(plane, runs.namespace) >= seen + 3 or _over(runs), what="writes")
        operator.kill()
        operator.start()
    runs.wait_phase("Succeeded")
    assert runs.attempts() == ONCE


@pytest.mark.slow
@pytest.mark.parametrize("lease", ["6s"])
def test_the_operator_is_killed_after_every_single_write(
    runs: Runs, plane: ControlPlane, operator: OperatorProcess
) -> None:
    runs.apply()
    lives = 1
    while not _over(runs):
        seen = _writes(plane, runs.namespace)
        until(lambda seen=seen: _writes(plane, runs.namespace) > seen or _over(runs), what="a write")
        operator.kill()
        operator.start()
        lives += 1
    assert runs.status()["phase"] == "Succeeded"
    assert runs.attempts() == ONCE
    assert lives > len(STAGES)


@pytest.mark.parametrize("lease", ["6s"])
def test_of_two_operators_one_acts_and_the_other_takes_over(
    runs: Runs, plane: ControlPlane, operator: OperatorProcess, tmp_path: Path
) -> None:
    """Operators of different versions take over from each other; the images of pods tell which one created them."""
    folder = tmp_path / "standby"
    folder.mkdir()
    standby = OperatorProcess(plane, folder, (*operator.flags, "--image=newer", "--trainer-image=newer"))
    runs.apply("first")
    runs.wait(lambda status: status.get("phase") == "Running", "first")  # the first operator holds the Lease
    standby.start()
    try:
        runs.wait_phase("Succeeded", "first")
        assert "newer" not in _images(runs, "first")
        operator.kill()
        begun = time.monotonic()
        runs.apply("second")
        runs.wait(lambda status: status.get("phase") == "Running", "second")
        assert time.monotonic() - begun < 60.0
        runs.wait_phase("Succeeded", "second")
        assert _images(runs, "second") == {"newer"}
    finally:
        standby.kill()


def test_the_operator_ends_within_its_grace_period(runs: Runs, operator: OperatorProcess) -> None:
    runs.apply(pods={"label": {SECONDS: "10m"}})
    runs.wait(lambda _: runs.stage("label").get("state") == "Running")
    begun = time.monotonic()
    operator.stop()
    assert time.monotonic() - begun < 10.0
    assert runs.stage("label")["state"] == "Running"  # the stage goes on without an operator


def test_nothing_is_stuck_without_an_operator(
    runs: Runs, cluster: Cluster, operator: OperatorProcess
) -> None:
    runs.apply("one", pods={"label": {SECONDS: "10m"}})
    runs.apply("two", dataset__seed=2)  # or it would wait for what `one` computes
    runs.wait(lambda _: runs.stage("label").get("state") == "Running")
    runs.wait_phase("Succeeded", "two")
    operator.kill()
    runs.delete("one")
    for kind in ("jobs", "pods", "configmaps"):
        until(lambda kind=kind: not runs.objects(kind, of="one"), what=f"the {kind} to go")
    names = ("learntoaskruns.learntoask.io", "askendpoints.learntoask.io")
    try:
        # No finalizer of ours blocks the deletion.
        cluster.kubectl("delete", "crd", *names, "--wait", "--timeout=60s", timeout=70)
    finally:
        cluster.install_crds()


def _writes(plane: ControlPlane, namespace: str) -> int:
    """How many writes the operator made, without those to its Lease and Events."""
    ours = (one for one in calls(plane.audit_log) if one.user == ACCOUNT and one.namespace == namespace)
    return sum(one.writes and one.resource not in ("leases", "events") for one in ours)


def _over(runs: Runs) -> bool:
    return runs.status().get("phase") in ("Succeeded", "Failed")


def _images(runs: Runs, name: str) -> set[str]:
    jobs = runs.objects("jobs", of=name)
    return {job["spec"]["template"]["spec"]["containers"][0]["image"] for job in jobs}
