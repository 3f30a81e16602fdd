"""AskEndpoints on a real API server: their objects, how one policy replaces another, and what is deleted with them.

The operator is the real process, and kwok simulates the pods. A policy server is "warm" as soon as it runs, and one
annotated `never-start` never runs.
"""

from __future__ import annotations

import json
import os
import queue
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from learntoask.core.json_object import Json
from learntoask.core.pod_contract import PROGRESS_AUDIENCE
from learntoask.wire import gateway_pb2
from learntoask.wire.gateway_pb2_grpc import GatewayServiceStub
from worlds.cluster.applied_manifests import RUN, collection, manifest, stored
from worlds.cluster.cluster import Cluster
from worlds.cluster.control_plane import ControlPlane
from worlds.cluster.operator_process import OperatorProcess, allow_everything, calls
from worlds.cluster.runs import OPERATOR_FLAGS, until

pytestmark = [pytest.mark.usefixtures("operator", "fake_node"), pytest.mark.timeout(300)]
NEVER = {"pods": {"policyServer": {"annotations": {"test.learntoask.io/outcome": "never-start"}}}}


def published(letter: str) -> Json:
    return {"publication": letter * 64, "policy": letter * 64}


class Endpoint:
    """The endpoint `desk` in the test's namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace

    def apply(self, **spec: Any) -> None:
        whole = {"policy": published("a"), "replicas": 2, "rollout": {"drain": "1s"}} | spec
        stored(self.cluster, manifest("AskEndpoint", whole, name="desk", namespace=self.namespace))

    def change(self, **spec: Any) -> None:
        answer = self.cluster.request(
            "PATCH",
            f"{collection('AskEndpoint', self.namespace)}/desk",
            {"spec": spec},
            content_type="application/merge-patch+json",
        )
        assert answer.status == 200, answer.message

    @property
    def status(self) -> Json:
        answer = self.cluster.request("GET", f"{collection('AskEndpoint', self.namespace)}/desk")
        return dict(answer.body.get("status", {})) if answer.status == 200 else {}

    def condition(self, type: str) -> tuple[str, str]:
        found = (one for one in self.status.get("conditions", ()) if one["type"] == type)
        return next(((one["status"], one["reason"]) for one in found), ("", ""))

    def message(self, type: str) -> str:
        found = (one for one in self.status.get("conditions", ()) if one["type"] == type)
        return str(next(found, {}).get("message", ""))

    def reaches(self, type: str, status: str, reason: str) -> Json:
        """Wait for a condition, and return the status."""
        until(lambda: self.condition(type) == (status, reason), what=f"{type} {status} {reason}")
        return self.status

    def children(self, kind: str, group: str = "apis/apps/v1") -> dict[str, Json]:
        answer = self.cluster.request("GET", f"/{group}/namespaces/{self.namespace}/{kind}")
        return {one["metadata"]["name"]: one for one in answer.body["items"]}

    def servers(self) -> dict[str, int]:
        """The number of wanted servers of each revision."""
        return {
            one["metadata"]["labels"]["learntoask.io/revision"]: one["spec"]["replicas"]
            for one in self.children("deployments").values()
            if "learntoask.io/revision" in one["metadata"]["labels"]
        }

    def asked(self) -> str:
        """The revision that the Service selects for the gateways."""
        return self.children("services", "api/v1")["desk-policy"]["spec"]["selector"].get(
            "learntoask.io/revision", ""
        )

    def events(self) -> list[str]:
        items = self.children("events", "api/v1").values()
        return [one["reason"] for one in items if one["involvedObject"]["kind"] == "AskEndpoint"]


@pytest.fixture
def listens(request: pytest.FixtureRequest) -> str:
    """The address at which the operator listens to gateways; empty unless a test asks for one."""
    if not getattr(request, "param", False):
        return ""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def operator(plane: ControlPlane, namespace: str, tmp_path: Path, listens: str) -> Iterator[OperatorProcess]:
    """An operator with a Lease long enough for a busy machine, because nothing restarts the operator here."""
    allow_everything(plane)
    flags = (*OPERATOR_FLAGS, "--lease-time=60s", "--lease-renewal=5s")
    if listens:
        flags += (f"--progress-address={listens}", f"--progress-port={listens.partition(':')[2]}")
    operator = OperatorProcess(
        plane, tmp_path, (*flags, f"--namespaces={namespace}", f"--lease-namespace={namespace}")
    )
    operator.start()
    yield operator
    operator.kill()


@pytest.fixture
def endpoint(cluster: Cluster, namespace: str) -> Endpoint:
    return Endpoint(cluster, namespace)


def test_an_endpoint_gets_its_children_and_says_where_to_ask(endpoint: Endpoint, namespace: str):
    endpoint.apply(autoscaling={"max": 4})
    status = endpoint.reaches("Ready", "True", "Serving")
    assert endpoint.condition("RolledOut") == ("True", "RolloutComplete")
    assert (status["phase"], status["address"]) == ("Ready", f"desk.{namespace}.svc:50051")
    revision = status["revision"]
    assert set(endpoint.children("deployments")) == {"desk-gateway", f"desk-{revision}"}
    assert set(endpoint.children("services", "api/v1")) == {"desk", "desk-policy"}
    assert set(endpoint.children("poddisruptionbudgets", "apis/policy/v1")) == {"desk-gateway", "desk-policy"}
    assert set(endpoint.children("horizontalpodautoscalers", "apis/autoscaling/v2")) == {"desk"}
    assert endpoint.asked() == revision
    until(lambda: {"RolloutComplete", "Serving", "GatewayAvailable"} <= set(endpoint.events()), what="events")
    endpoint.change(autoscaling=None)
    until(
        lambda: not endpoint.children("horizontalpodautoscalers", "apis/autoscaling/v2"),
        what="the autoscaler to go",
    )


def test_its_pods_are_admitted_by_the_restricted_level(cluster: Cluster, endpoint: Endpoint, namespace: str):
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    gateway = {"access": {"tokenSecret": "token", "tlsSecret": "cert"}, "records": {"enabled": True}}
    endpoint.apply(engine="vllm", gpus=1, gateway=gateway)
    endpoint.reaches("Ready", "True", "Serving")  # refused pods would never run
    assert len(endpoint.children("pods", "api/v1")) == 4


def test_a_new_policy_takes_over_in_order_and_the_old_one_goes(
    cluster: Cluster, endpoint: Endpoint, operator: OperatorProcess, namespace: str
):
    endpoint.apply(replicas=3, rollout={"maxSurge": 3, "drain": "2s"})
    old = endpoint.reaches("RolledOut", "True", "RolloutComplete")["revision"]
    began = time.time()
    endpoint.change(policy=published("b"))
    until(lambda: endpoint.status.get("target") != old, what="the change to be seen")
    status = endpoint.reaches("RolledOut", "True", "RolloutComplete")
    new = status["revision"]
    assert endpoint.asked() == new != old
    until(lambda: endpoint.servers() == {new: 3}, what="the old servers to go")
    assert [(one["name"], one["state"], one["number"]) for one in status["revisions"]] == [
        (new, "Serving", 2),
        (old, "Retired", 1),
    ]
    done = [
        (call.verb, call.resource, call.name)
        for call in calls(cluster.plane.audit_log, since=began)
        if call.namespace == namespace and call.writes and call.status < 300 and "operator" in call.user
    ]
    steps = [
        ("patch", "deployments", f"desk-{new}"),
        ("patch", "services", "desk-policy"),
        ("delete", "deployments", f"desk-{old}"),
    ]
    places = [next(index for index, call in enumerate(done) if call == step) for step in steps]
    assert places == sorted(places), done


def test_a_policy_that_does_not_warm_up_gets_no_traffic_and_editing_the_spec_goes_back(endpoint: Endpoint):
    endpoint.apply(rollout={"warmUp": {"deadline": "15s"}})
    old = endpoint.reaches("RolledOut", "True", "RolloutComplete")["revision"]
    endpoint.change(policy=published("b"), **NEVER)
    endpoint.reaches("RolledOut", "False", "ServersStarting")
    assert endpoint.asked() == old
    until(lambda: sorted(endpoint.servers().values()) == [1, 2], what="a new server beside the old ones")
    status = endpoint.reaches("RolledOut", "False", "WarmUpFailed")
    assert endpoint.condition("Ready") == ("True", "Serving")
    assert (status["phase"], status["revision"]) == ("Degraded", old)
    failed = status["revisions"][0]
    assert failed["state"] == "Failed"
    assert "not warm within 15s" in failed["message"]
    assert "ImagePullBackOff" in failed["message"]
    assert endpoint.asked() == old
    until(lambda: endpoint.servers() == {old: 2}, what="the failed servers to go")
    until(lambda: "WarmUpFailed" in endpoint.events(), what="the event that says so")
    endpoint.change(policy=published("a"), pods=None)
    status = endpoint.reaches("RolledOut", "True", "RolloutComplete")
    assert status["revisions"][0]["name"] == old


def test_one_command_rolls_back(cluster: Cluster, endpoint: Endpoint, namespace: str):
    endpoint.apply()
    first = endpoint.reaches("RolledOut", "True", "RolloutComplete")["revision"]
    endpoint.change(policy=published("b"))
    until(lambda: endpoint.status["revision"] != first, what="the second policy")
    endpoint.reaches("RolledOut", "True", "RolloutComplete")
    command = [sys.executable, "-m", "learntoask.cli.app", "rollback", "desk", "-n", namespace]
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"endpoint desk goes back to the policy of revision 1 ({first})\n"
    until(lambda: endpoint.status["revision"] == first, what="the first policy again")
    assert endpoint.reaches("RolledOut", "True", "RolloutComplete")["revisions"][0]["number"] == 3
    command[-3] = "nobody"
    gone = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert gone.returncode == 6
    assert "nobody" in gone.stderr


def test_kubectl_scales_it_and_sees_its_servers(cluster: Cluster, endpoint: Endpoint, namespace: str):
    endpoint.apply(replicas=1)
    revision = endpoint.reaches("Ready", "True", "Serving")["revision"]
    cluster.kubectl("-n", namespace, "scale", "askep/desk", "--replicas=3")
    until(lambda: endpoint.status.get("readyReplicas") == 3, what="three servers")
    scale = cluster.request("GET", f"{collection('AskEndpoint', namespace)}/desk/scale").body
    assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (3, 3)
    found = cluster.kubectl("-n", namespace, "get", "pods", "-l", scale["status"]["selector"], "-o", "json")
    assert len(json.loads(found)["items"]) == 3
    assert endpoint.servers() == {revision: 3}  # scaling is no new revision
    cluster.kubectl("-n", namespace, "scale", "askep/desk", "--replicas=0")
    endpoint.reaches("Ready", "False", "ScaledToZero")


def test_it_follows_a_run_outlives_it_and_takes_its_own_children_along(
    cluster: Cluster, endpoint: Endpoint, namespace: str
):
    run = manifest("LearnToAskRun", RUN | {"suspend": True}, name="clinic", namespace=namespace)
    stored(cluster, run)
    endpoint.apply(policy={"run": "clinic"})
    endpoint.reaches("Ready", "False", "WaitingForPolicy")
    assert endpoint.children("deployments") == {}
    endpoint.change(policy={"run": "clinic", **published("c")})  # as the run's serve stage does
    endpoint.reaches("Ready", "True", "Serving")
    cluster.kubectl("-n", namespace, "delete", "ltar/clinic", "--timeout=60s")
    time.sleep(1)
    assert endpoint.condition("Ready") == ("True", "Serving")
    cluster.kubectl("-n", namespace, "delete", "askep/desk", "--timeout=60s")
    for kind, group in (
        ("deployments", "apis/apps/v1"),
        ("services", "api/v1"),
        ("poddisruptionbudgets", "apis/policy/v1"),
    ):
        until(lambda kind=kind, group=group: not endpoint.children(kind, group), what=f"{kind} to go")


def test_what_somebody_else_made_is_left_alone(cluster: Cluster, endpoint: Endpoint, namespace: str):
    foreign = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "desk", "namespace": namespace},
        "spec": {"ports": [{"port": 80}]},
    }
    assert cluster.request("POST", f"/api/v1/namespaces/{namespace}/services", foreign).status == 201
    endpoint.apply()
    status = endpoint.reaches("Ready", "False", "ChildForeign")
    assert "Service desk exists" in endpoint.message("Ready")
    assert status["address"] == ""
    until(lambda: "ChildForeign" in endpoint.events(), what="the event that says so")
    assert endpoint.children("services", "api/v1")["desk"]["spec"]["ports"][0]["port"] == 80
    assert endpoint.children("deployments") == {}
    cluster.request("DELETE", f"/api/v1/namespaces/{namespace}/services/desk")
    status = endpoint.reaches("Ready", "True", "Serving")
    assert status["address"] == f"desk.{namespace}.svc:50051"


def test_pods_that_a_quota_refuses_are_the_cause(cluster: Cluster, endpoint: Endpoint, namespace: str):
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small", "namespace": namespace},
        "spec": {"hard": {"pods": "0"}},
    }
    path = f"/api/v1/namespaces/{namespace}/resourcequotas"
    assert cluster.request("POST", path, quota).status == 201
    until(lambda: "status" in cluster.request("GET", f"{path}/small").body, what="the quota to be counted")
    endpoint.apply()
    for type in ("Ready", "RolledOut", "GatewayReady"):
        endpoint.reaches(type, "False", "PodsRefused")
        assert "exceeded quota: small" in endpoint.message(type)
    until(lambda: "PodsRefused" in endpoint.events(), what="the event that says so")
    cluster.request("DELETE", f"{path}/small")


def test_what_the_api_server_refuses_is_told(endpoint: Endpoint):
    too_little = {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}
    endpoint.apply(pods={"policyServer": {"resources": too_little}})
    endpoint.reaches("RolledOut", "False", "ChildRefused")
    assert "must be less than or equal to cpu limit" in endpoint.message("RolledOut")
    assert endpoint.condition("Ready") == ("False", "ChildRefused")
    until(lambda: "ChildRefused" in endpoint.events(), what="the event that says so")
    endpoint.change(pods=None)
    endpoint.reaches("Ready", "True", "Serving")


def test_a_spec_that_only_our_model_refuses_is_told(endpoint: Endpoint):
    endpoint.apply(gateway={"records": {"enabled": True, "redact": ["(broken"]}})
    endpoint.reaches("Ready", "False", "InvalidSpec")
    assert "spec.gateway.records.redact.0" in endpoint.message("Ready")
    assert endpoint.status["phase"] == "Pending"
    until(lambda: "InvalidSpec" in endpoint.events(), what="the event that says so")
    endpoint.change(gateway=None)
    endpoint.reaches("Ready", "True", "Serving")


def test_a_run_that_does_not_exist_is_not_said_to_publish_later(endpoint: Endpoint):
    endpoint.apply(policy={"run": "ghost"})
    endpoint.reaches("Ready", "False", "WaitingForPolicy")
    message = "there is no run ghost in this namespace; create it, or correct spec.policy.run"
    assert endpoint.message("Ready") == message


@pytest.mark.parametrize("listens", [True], indirect=True)
def test_ready_is_what_the_gateways_say_and_they_learn_of_servers_at_once(
    cluster: Cluster, endpoint: Endpoint, listens: str, namespace: str
):
    """The test speaks for the gateways, whose pods are simulated, with tokens that are bound to these pods."""
    endpoint.apply(replicas=1)
    endpoint.reaches("Ready", "Unknown", "GatewaysSilent")
    assert listens in endpoint.message("Ready")
    pods = endpoint.children("pods", "api/v1")
    gateways = sorted(name for name in pods if name.startswith("desk-gateway-"))
    assert len(gateways) == 2
    with grpc.insecure_channel(listens) as channel:
        first, second = (Gateway(cluster, namespace, pods[name], channel) for name in gateways)
        first.sees(1)
        servers = first.told()
        assert servers == {f"{pods[name]['status']['podIP']}:50051" for name in pods.keys() - set(gateways)}
        second.sees(0)
        endpoint.reaches("Ready", "False", "ServersNotSeen")
        assert endpoint.message("Ready").startswith(f"{gateways[1]}: sees no policy server")
        second.sees(1)
        endpoint.reaches("Ready", "True", "Serving")
        endpoint.change(replicas=2)
        while len(servers) < 2:
            servers = first.told()
        victim = next(one for one in endpoint.children("pods", "api/v1") if one not in gateways)
        cluster.kubectl("-n", namespace, "delete", "pod", victim, "--wait=false")
        before = servers
        while servers == before:
            servers = first.told()
        second.sees(0)
        endpoint.reaches("Ready", "False", "ServersNotSeen")


class Gateway:
    """What a gateway's pod says to the operator and hears from it."""

    def __init__(self, cluster: Cluster, namespace: str, pod: Json, channel: grpc.Channel) -> None:
        metadata = pod["metadata"]
        bound = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [PROGRESS_AUDIENCE], "expirationSeconds": 3600, "boundObjectRef": bound},
        }
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
        token = cluster.request("POST", path, request).body["status"]["token"]
        self._views: queue.Queue[gateway_pb2.GatewayView] = queue.Queue()
        self._call = GatewayServiceStub(channel).Follow(
            iter(self._views.get, None), metadata=(("authorization", f"Bearer {token}"),), timeout=200
        )

    def sees(self, servers: int) -> None:
        self._views.put(gateway_pb2.GatewayView(endpoint="desk", serving=servers))

    def told(self) -> set[str]:
        """Wait for what the operator tells next."""
        return set(next(self._call).addresses)
