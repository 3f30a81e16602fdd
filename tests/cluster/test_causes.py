"""Why a run does not go on: what the API server, the Job controller, the scheduler and a kubelet say of it, told by the
operator within a minute; and runs that are deleted while nobody hears of it."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from learntoask.core.json_object import Json
from worlds.cluster.cluster import Cluster
from worlds.cluster.control_plane import ControlPlane
from worlds.cluster.operator_process import ACCOUNT, OperatorProcess, calls
from worlds.cluster.pod_runner import PodRunner
from worlds.cluster.runs import Runs, until
from worlds.cluster.toolchain import tool

pytestmark = pytest.mark.timeout(600)
_GPUS = {"resources": {"requests": {"nvidia.com/gpu": "2"}, "limits": {"nvidia.com/gpu": "2"}}}
_QUOTA = {"requests.nvidia.com/gpu": "1"}


def _mounting(**source: Any) -> Json:
    return {
        "volumes": [{"name": "wanted", **source}],
        "volumeMounts": [{"name": "wanted", "mountPath": "/wanted"}],
    }


CAUSES: dict[str, tuple[Json, str]] = {
    "account": ({"serviceAccountName": "absent"}, 'serviceaccount "absent" not found'),
    "priority": ({"priorityClassName": "absent"}, "no PriorityClass with name absent was found"),
    "quota": (_GPUS, "exceeded quota: gpus"),
    "secret": (_mounting(secret={"secretName": "absent"}), 'secret "absent" not found'),
    "configmap": (_mounting(configMap={"name": "absent"}), 'configmap "absent" not found'),
    "claim": (
        _mounting(persistentVolumeClaim={"claimName": "absent"}),
        'persistentvolumeclaim "absent" not found',
    ),
}
"""By the name of a run: what its pods ask for, and what the cluster says of it."""


@pytest.fixture
def node(operator: OperatorProcess, cluster: Cluster, tmp_path: Path) -> Iterator[None]:
    """A node that mounts and runs pods as a kubelet does, as processes."""
    with PodRunner(cluster.kubeconfig, tmp_path / "pods"):
        yield


def _events(runs: Runs, name: str) -> list[Json]:
    fields = f"involvedObject.kind=LearnToAskRun,involvedObject.name={name}"
    path = f"/api/v1/namespaces/{runs.namespace}/events?fieldSelector={fields}"
    return list(runs.cluster.request("GET", path).body["items"])


def _condition(status: Json, type: str) -> Json:
    return next((found for found in status.get("conditions", ()) if found["type"] == type), {})


@pytest.mark.usefixtures("node")
def test_what_keeps_pods_from_starting_is_told_at_once_and_ends_the_run_early(
    runs: Runs, cluster: Cluster
) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "gpus", "namespace": runs.namespace},
        "spec": {"hard": _QUOTA},
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(quota))
    for name, (template, _) in CAUSES.items():
        runs.apply(name, pods__resolve=template)
    began = time.time()
    for name, (_, said) in CAUSES.items():
        runs.wait(lambda status, said=said: said in status.get("message", ""), name)
        status = runs.status(name)
        assert said in runs.stage("resolve", name)["message"], name
        assert runs.stage("resolve", name)["reason"], name
        assert said in _condition(status, "Progressing")["message"], name
        until(
            lambda name=name, said=said: any(said in event["message"] for event in _events(runs, name)),
            what=name,
        )
    print(f"all causes are told after {time.time() - began:.0f} s")
    for name, (_, said) in CAUSES.items():
        status = runs.wait_phase("Failed", name, patience=300)
        assert status["reason"] == "CannotStart", name
        assert said in status["message"], name
        assert runs.attempts(name) == [("resolve", 1)], name
        cluster.kubectl(
            "wait", "-n", runs.namespace, f"ltar/{name}", "--for=condition=Stalled", "--timeout=5s"
        )


@pytest.mark.usefixtures("node")
def test_what_is_created_in_time_does_not_fail_the_run(runs: Runs, cluster: Cluster) -> None:
    """The Secret comes after the run, as with `kubectl apply -f folder/`. The pod then runs, and fails by itself
    because its store is nowhere."""
    runs.apply("late", pods__resolve=CAUSES["secret"][0])
    runs.wait(lambda status: CAUSES["secret"][1] in status.get("message", ""), "late")
    cluster.kubectl("-n", runs.namespace, "create", "secret", "generic", "absent")
    runs.wait(lambda _: runs.stage("resolve", "late").get("state") == "Running", "late")
    assert runs.stage("resolve", "late").get("reason", "") == ""


@pytest.mark.usefixtures("operator")
def test_a_job_that_the_api_server_refuses_is_told_and_goes_on_once_it_is_mended(
    runs: Runs, operator: OperatorProcess
) -> None:
    above = {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}
    runs.apply(pods__resolve=above)
    status = runs.wait(lambda status: status.get("reason") == "ChildRefused")
    assert status["phase"] == "Pending"
    for type in ("Progressing", "Stalled"):
        assert "must be less than or equal to cpu limit" in _condition(status, type)["message"]
    until(lambda: any(event["reason"] == "ChildRefused" for event in _events(runs, "one")), what="its Event")
    assert "Traceback" not in operator.log.read_text()
    runs.set(suspend=True)
    runs.set(pods__resolve={"resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "1"}}})
    runs.set(suspend=False)
    status = runs.wait(lambda _: runs.objects("jobs"))
    runs.wait(lambda status: not _condition(status, "Stalled"))


def test_a_run_deleted_while_nobody_hears_of_it_gets_no_jobs_and_leaves_no_trace(
    runs: Runs, plane: ControlPlane, operator: OperatorProcess
) -> None:
    """The run is deleted at an API server that only the test knows, and its namespace is made again. The Job goes when
    the usual one is back."""
    runs.apply("gone")
    runs.apply("kept")
    for name in ("gone", "kept"):
        runs.wait(lambda _, name=name: runs.objects("jobs", of=name), name)
    with plane.elsewhere() as kubeconfig:

        def kubectl(*arguments: str, stdin: str = "") -> str:
            command = [tool("kubectl"), "--kubeconfig", kubeconfig, "-n", runs.namespace, *arguments]
            done = subprocess.run(
                command, input=stdin, check=True, capture_output=True, text=True, timeout=60
            )
            return done.stdout

        kubectl("delete", "ltar/gone")
        kubectl("delete", "namespace", runs.namespace, "--wait=false")
        ending = json.loads(kubectl("get", "namespace", runs.namespace, "-o", "json"))
        ending["spec"]["finalizers"] = []  # its controller does not hear of it either
        path = f"/api/v1/namespaces/{runs.namespace}/finalize"
        kubectl("replace", "--raw", path, "-f", "-", stdin=json.dumps(ending))
        kubectl("create", "namespace", runs.namespace)
        back = time.time()
    until(lambda: not runs.objects("jobs", of="gone"), what="the garbage collector to delete its Job")
    runs.apply("later")
    runs.wait(lambda _: runs.objects("jobs", of="later"), "later")
    until(lambda: 'run="gone"' not in _metrics(operator), what="its gauges to go")
    assert 'run="kept"' in _metrics(operator)
    assert runs.attempts("gone") == [("resolve", 1)]
    asked = [
        call for call in calls(plane.audit_log, since=back) if call.user == ACCOUNT and call.name == "gone"
    ]
    assert len([call for call in asked if call.status == 404]) <= 2
    new = runs.apply("gone")["metadata"]["uid"]
    runs.wait(lambda _: runs.objects("jobs", of="gone"), "gone")
    (job,) = runs.objects("jobs", of="gone")
    assert [owner["uid"] for owner in job["metadata"]["ownerReferences"]] == [new]


def _metrics(operator: OperatorProcess) -> str:
    found = re.search(r"metrics on port (\d+)", operator.log.read_text())
    assert found is not None
    with urlopen(f"http://127.0.0.1:{found[1]}/metrics", timeout=30) as answer:
        return str(answer.read().decode())


@pytest.mark.usefixtures("operator")
def test_a_broken_spec_of_an_endpoint_is_told(cluster: Cluster, runs: Runs) -> None:
    """The schema cannot check that a pattern compiles."""
    spec = {"policy": {"publication": "a" * 64, "policy": "a" * 64}}
    body = {
        "apiVersion": "learntoask.io/v1alpha1",
        "kind": "AskEndpoint",
        "metadata": {"name": "desk", "namespace": runs.namespace},
        "spec": {**spec, "gateway": {"records": {"enabled": True, "redact": ["(unclosed"]}}},
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(body))
    wanted = ("--for=condition=Stalled", "--timeout=60s")
    cluster.kubectl("wait", "-n", runs.namespace, "askep/desk", *wanted, timeout=70)
    said = json.loads(cluster.kubectl("get", "-n", runs.namespace, "askep/desk", "-o", "json"))["status"]
    assert _condition(said, "RolledOut")["reason"] == "InvalidSpec"
    assert "redact" in _condition(said, "RolledOut")["message"]
    assert said["phase"]


@pytest.mark.usefixtures("operator")
def test_children_deleted_by_hand_are_made_again(runs: Runs, cluster: Cluster) -> None:
    runs.apply()
    runs.wait(lambda _: runs.objects("jobs"))
    for kind, path in (("configmaps", "/api/v1"), ("jobs", "/apis/batch/v1")):
        (child,) = runs.objects(kind)
        name = child["metadata"]["name"]
        query = "?propagationPolicy=Background"
        answer = cluster.request("DELETE", f"{path}/namespaces/{runs.namespace}/{kind}/{name}{query}")
        assert answer.status == 200, answer.message
        until(
            lambda kind=kind, uid=child["metadata"]["uid"]: any(
                other["metadata"]["uid"] != uid for other in runs.objects(kind)
            ),
            what=f"the {kind} to come back",
        )
