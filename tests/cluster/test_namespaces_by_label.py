"""Namespaces that come and go by their label, with exactly the rights that this needs."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from learntoask_operator.rbac import rbac_objects
from worlds.cluster.cluster import Cluster
from worlds.cluster.control_plane import ControlPlane
from worlds.cluster.operator_process import OperatorProcess, calls
from worlds.cluster.runs import OPERATOR_FLAGS, Runs, until

pytestmark = [pytest.mark.usefixtures("fake_node"), pytest.mark.timeout(300)]
ACCOUNT = "by-label"
LABEL = "learntoask.io/runs"


@pytest.fixture
def other(cluster: Cluster) -> Iterator[Runs]:
    with cluster.namespace(f"other-{secrets.token_hex(4)}") as name:
        yield Runs(cluster, name)


@pytest.fixture
def home(cluster: Cluster) -> Iterator[str]:
    with cluster.namespace(f"home-{secrets.token_hex(4)}") as name:
        yield name


@pytest.fixture
def operator(
    plane: ControlPlane, home: str, namespace: str, tmp_path: Path, lease: str
) -> Iterator[OperatorProcess]:
    """An operator for the namespaces whose label has the name of the test's namespace as its value."""
    user = f"system:serviceaccount:{home}:{ACCOUNT}"
    kubeconfig = plane.kubeconfig_of(user, groups=("system:serviceaccounts",), path=tmp_path / "kubeconfig")
    for body in rbac_objects(account=(home, ACCOUNT), watched=(), selecting=True):
        body["metadata"]["name"] += home  # roles of the whole cluster, which other tests know by their name
        if "roleRef" in body:
            body["roleRef"]["name"] += home
        plane.kubectl("apply", "-f", "-", stdin=json.dumps(body))
    flags = (
        *OPERATOR_FLAGS,
        f"--namespace-selector={LABEL}={namespace}",
        f"--lease-namespace={home}",
        f"--lease-time={lease}",
        f"--kubeconfig={kubeconfig}",
    )
    operator = OperatorProcess(plane, tmp_path, flags)
    operator.start()
    yield operator
    operator.kill()


def test_namespaces_are_taken_up_and_left_by_their_label(
    operator: OperatorProcess, runs: Runs, other: Runs, cluster: Cluster, plane: ControlPlane, home: str
) -> None:
    process = operator.process

    def label(namespace: str, value: str) -> None:
        cluster.kubectl("label", "namespace", namespace, f"{LABEL}{value}", "--overwrite")

    runs.apply("early")
    other.apply("early")
    label(runs.namespace, f"={runs.namespace}")
    runs.wait_phase("Succeeded", "early")
    assert other.status("early") == {}, "its namespace has no label"
    label(other.namespace, f"={runs.namespace}")
    label(runs.namespace, "-")
    other.wait_phase("Succeeded", "early")  # what was there before the label
    other.apply("late")
    runs.apply("late")
    other.wait_phase("Succeeded", "late")
    assert runs.status("late") == {}, "its namespace has lost the label"
    assert runs.status("early")["phase"] == "Succeeded", "and nothing in it was touched"
    label(runs.namespace, f"={runs.namespace}")
    runs.wait_phase("Succeeded", "late")
    assert operator.process is process
    assert operator.alive, "nothing was restarted"
    user = f"system:serviceaccount:{home}:{ACCOUNT}"
    made = [call for call in calls(plane.audit_log) if call.user == user]
    assert sorted({(call.verb, call.resource, call.namespace) for call in made if call.status == 403}) == []
    asked = {call.verb for call in made if call.resource == "namespaces"}
    assert asked == {"list", "watch"}


def test_a_namespace_that_lost_its_label_while_the_server_was_away_is_left(
    operator: OperatorProcess, runs: Runs, cluster: Cluster, plane: ControlPlane
) -> None:
    cluster.kubectl("label", "namespace", runs.namespace, f"{LABEL}={runs.namespace}")
    runs.apply("early")
    runs.wait_phase("Succeeded", "early")
    with plane.elsewhere() as kubeconfig:
        Cluster(kubeconfig).kubectl("label", "namespace", runs.namespace, f"{LABEL}-")
    left = {"message": "namespace left", "object": runs.namespace}
    until(
        lambda: any(
            left.items() <= json.loads(line).items() for line in operator.log.read_text().splitlines()
        ),
        what="the operator to leave the namespace",
    )
    assert operator.alive
