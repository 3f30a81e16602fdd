"""The operator with exactly the installed rights: they suffice for all it does, and it uses each of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from learntoask.core.json_object import Json
from learntoask_operator.rbac import OWN, WATCHED, Right, rbac_objects
from learntoask_operator.run.children import RunChildren
from learntoask_operator.run.decide import decide
from learntoask_operator.settings import Settings
from worlds.cluster.applied_manifests import collection, manifest, stored
from worlds.cluster.cluster import Cluster
from worlds.cluster.control_plane import ControlPlane
from worlds.cluster.operator_process import Call, OperatorProcess, calls
from worlds.cluster.runs import OPERATOR_FLAGS, SECONDS, Runs, until

pytestmark = [pytest.mark.usefixtures("fake_node"), pytest.mark.timeout(300)]
HOME, ACCOUNT, POD = "operator-home", "restricted", "operator-0"
USER = f"system:serviceaccount:{HOME}:{ACCOUNT}"


class RestrictedOperator(OperatorProcess):
    """An operator with an account that no other test gives rights to."""

    def start(self) -> None:
        self.plane.kubeconfig_of(USER, groups=("system:serviceaccounts",), path=self.kubeconfig)
        self.flags = (*self.flags, f"--kubeconfig={self.kubeconfig}")
        super().start()

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "restricted.kubeconfig"


@pytest.fixture
def restricted(plane: ControlPlane, runs: Runs, tmp_path: Path) -> Iterator[OperatorProcess]:
    """The operator's namespace differs from the one it watches. A pod in it stands for the operator's pod."""
    cluster = runs.cluster
    cluster.kubectl("create", "namespace", HOME)
    objects = [*rbac_objects(account=(HOME, ACCOUNT), watched=(runs.namespace,)), *_pods()]
    for body in objects:
        plane.kubectl("apply", "-f", "-", stdin=json.dumps(body))
    flags = (
        *OPERATOR_FLAGS,
        f"--namespaces={runs.namespace}",
        f"--lease-namespace={HOME}",
        f"--pod-name={POD}",
    )
    operator = RestrictedOperator(plane, tmp_path, flags)
    operator.start()
    yield operator
    operator.kill()
    cluster.kubectl("delete", "namespace", HOME, "--wait=false")


def test_all_rights_are_enough_and_all_are_used(
    restricted: OperatorProcess, runs: Runs, cluster: Cluster, plane: ControlPlane
) -> None:
    _foreign_children_are_left_alone(runs, cluster)
    judge = {"endpoint": {"uri": "http://localhost/v1", "model": "judge"}, "server": {"model": "hf:a/b"}}
    runs.apply(
        "whole",
        grader={"method": "llm", "llm": judge},
        train__distributed={"workers": 2, "zero": 1},
        ttl="2s",
        artefacts="remove",
    )
    runs.apply("stopped", pods={"prepare": {SECONDS: "10m"}})
    runs.wait(lambda _: runs.stage("prepare", "stopped").get("state") == "Running", "stopped")
    runs.set("stopped", suspend=True)
    runs.wait_phase("Suspended", "stopped")
    _endpoints_come_change_and_scale(runs, cluster)
    until(lambda: not runs.get("whole"), what="the run to expire")
    until(lambda: _served(runs, cluster, "whole"), what="its endpoint")
    # The run is gone before the API server logs that it deleted it.
    until(
        lambda: any(_about_runs(call) and call.verb == "delete" for call in _made(plane)),
        what=lambda: f"its deletion in the audit log; {_written(plane)}",
    )
    made = _made(plane)
    refused = sorted({(call.verb, call.resource, call.namespace) for call in made if call.status == 403})
    assert refused == []
    # A right is used whatever became of the request: etcd may answer too late, or somebody may have been faster.
    used = {(call.verb, call.resource, call.namespace) for call in made}
    # Applying an object that does not exist takes the right to create, too.
    used |= {
        ("create", call.resource, call.namespace)
        for call in made
        if call.verb == "patch" and call.status == 201
    }
    spare = [*_unused(WATCHED, used, runs.namespace), *_unused(OWN, used, HOME)]
    assert not spare, spare


def _made(plane: ControlPlane) -> list[Call]:
    return [call for call in calls(plane.audit_log) if call.user == USER]


def _about_runs(call: Call) -> bool:
    return call.resource == "learntoaskruns"


def _written(plane: ControlPlane) -> str:
    """What is logged of runs, for the message of a failed test."""
    written = [call for call in calls(plane.audit_log) if _about_runs(call) and call.writes]
    return f"{plane.audit_log.stat().st_size >> 20} MiB, last of {len(written)} writes: {written[-10:]}"


def _unused(rights: tuple[Right, ...], used: set[tuple[str, str, str]], namespace: str) -> list[str]:
    return [
        f"{verb} {right.resource} ({right.use})"
        for right in rights
        for verb in right.verbs
        if (verb, right.resource, namespace) not in used
    ]


def _foreign_children_are_left_alone(runs: Runs, cluster: Cluster) -> None:
    """An object that has the name of a child stays; the run reports it, and goes on once the name is free."""
    runs.apply("blocked", suspend=True)
    runs.wait_phase("Suspended", "blocked")
    body = runs.get("blocked")
    body["spec"]["suspend"] = False
    wanted = decide(
        body, RunChildren(), progress={}, settings=Settings(store_uri="s3://artefacts/lta"), now=0.0
    ).creates
    for kind, child in wanted:
        child["metadata"].pop("ownerReferences")
        path = kind.path(namespace=runs.namespace)
        assert cluster.request("POST", path, child).status == 201
    runs.set("blocked", suspend=False)
    for kind, child in wanted:
        runs.wait(lambda status, kind=kind: f"{kind.kind} " in status.get("message", ""), "blocked")
        runs.wait(lambda status: status.get("reason") == "ChildForeign", "blocked")
        path = kind.path(namespace=runs.namespace, name=child["metadata"]["name"])
        found = cluster.request("GET", path)
        assert "ownerReferences" not in found.body["metadata"]
        cluster.request("DELETE", f"{path}?propagationPolicy=Background")
        runs.annotate("blocked", nudge=kind.plural)
    runs.wait(lambda _: runs.stage("resolve", "blocked").get("state") == "Published", "blocked")


def _endpoints_come_change_and_scale(runs: Runs, cluster: Cluster) -> None:
    rollout = {"drain": "1s", "strategy": {"mode": "canary"}}
    spec = {"policy": _policy("a"), "replicas": 2, "rollout": rollout, "autoscaling": {"max": 4}}
    stored(cluster, manifest("AskEndpoint", spec, name="desk", namespace=runs.namespace))
    path = f"{collection('AskEndpoint', runs.namespace)}/desk"

    def serves(policy: str) -> bool:
        status = cluster.request("GET", path).body.get("status", {})
        return status.get("phase") == "Ready" and status["revisions"][0]["policy"]["policy"] == policy * 64

    until(lambda: serves("a"), what="the first policy")
    followed = f"/api/v1/namespaces/{runs.namespace}/configmaps/desk-rollout"
    for changes, status in (
        ({"policy": _policy("b"), "autoscaling": None}, 200),
        ({"rollout": {"strategy": None}}, 404),
    ):
        patch = {"spec": changes}
        answer = cluster.request("PATCH", path, patch, content_type="application/merge-patch+json")
        assert answer.status == 200
        until(lambda status=status: cluster.request("GET", followed).status == status, what="the rollout")
    until(lambda: serves("b"), what="the second policy")
    autoscaler = f"/apis/autoscaling/v2/namespaces/{runs.namespace}/horizontalpodautoscalers/desk"
    until(lambda: cluster.request("GET", autoscaler).status == 404, what="the autoscaler to go")
    following = {"policy": {"run": "stopped"}}
    stored(cluster, manifest("AskEndpoint", following, name="follower", namespace=runs.namespace))


def _served(runs: Runs, cluster: Cluster, name: str) -> bool:
    return cluster.request("GET", f"{collection('AskEndpoint', runs.namespace)}/{name}").status == 200


def _policy(letter: str) -> Json:
    return {"publication": letter * 64, "policy": letter * 64, "run": None}


def _pods() -> list[Json]:
    """The operator's pod, and the pod of a replica that was leader before."""
    spec = {"containers": [{"name": "operator", "image": "operator"}], "nodeName": "nowhere"}
    old = {"learntoask.io/leader": "true"}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": HOME}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD, "namespace": HOME}, "spec": spec},
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "old", "namespace": HOME, "labels": old},
            "spec": spec,
        },
    ]
