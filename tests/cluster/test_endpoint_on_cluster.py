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
from learntoask.core.status.rollout import RolloutCounts
from learntoask.wire import gateway_pb2
from learntoask.wire.gateway_pb2_grpc import GatewayServiceStub
from worlds.cluster.applied_manifests import RUN, collection, manifest, stored
from worlds.cluster.cluster import Cluster
from worlds.cluster.control_plane import ControlPlane
from worlds.cluster.operator_process import OperatorProcess, allow_everything, calls
from worlds.cluster.runs import OPERATOR_FLAGS, until
from worlds.rollout import counted

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

    def asked(self, service: str = "desk-policy") -> str:
        """The revision that the Service selects for the gateways; empty if it selects none, or does not exist."""
        found = self.children("services", "api/v1").get(service)
        return found["spec"]["selector"].get("learntoask.io/revision", "") if found else ""

    def mounted_rollout(self) -> Json:
        """The state of the rollout that gateways have as a file; without an id if they have none."""
        found = self.children("configmaps", "api/v1").get("desk-rollout")
        return dict(json.loads(found["data"]["rollout.json"])["state"]) if found else {"id": ""}

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
def traces(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Flags by which the operator's pods send traces; none unless a test asks for them."""
    if not getattr(request, "param", False):
        return ()
    return ("--tracing-endpoint=http://collector.watch.svc:4317", "--tracing-headers-secret=otel")


@pytest.fixture
def operator(
    plane: ControlPlane, namespace: str, tmp_path: Path, listens: str, traces: tuple[str, ...]
) -> Iterator[OperatorProcess]:
    """An operator with a Lease long enough for a busy machine, because nothing restarts the operator here."""
    allow_everything(plane)
    flags = (*OPERATOR_FLAGS, *traces, "--lease-time=60s", "--lease-renewal=5s")
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


def test_gateways_are_handed_to_their_autoscaler_without_losing_any(endpoint: Endpoint, cluster: Cluster):
    def gateways() -> int:
        return int(endpoint.children("deployments")["desk-gateway"]["spec"]["replicas"])

    numbers: set[int] = set()
    endpoint.apply(replicas=1, gateway={"replicas": 4})
    endpoint.reaches("GatewayReady", "True", "GatewayAvailable")
    assert gateways() == 4
    endpoint.change(gateway={"autoscaling": {"min": 2, "max": 6}})
    until(
        lambda: (
            numbers.add(gateways())
            or "desk-gateway" in endpoint.children("horizontalpodautoscalers", "apis/autoscaling/v2")
        ),
        what="the autoscaler of the gateways",
    )
    until(
        lambda: numbers.add(gateways()) or "f:replicas" not in _applied_spec(endpoint),
        what="the operator to give up the number",
    )
    assert numbers == {4}, "not one pod was taken away meanwhile"
    # There is no metrics server here, and the autoscaler says so.
    endpoint.reaches("Autoscaled", "False", "AutoscalerBlind")
    assert "HorizontalPodAutoscaler desk-gateway: FailedGetResourceMetric" in endpoint.message("Autoscaled")
    cluster.kubectl("scale", "deployment/desk-gateway", "-n", endpoint.namespace, "--replicas=1")
    until(lambda: gateways() == 2, what="the autoscaler to keep its smallest number")
    endpoint.change(gateway={"maxInFlight": 7})  # a new pod template does not touch the number
    until(
        lambda: '"7"' in json.dumps(endpoint.children("deployments")["desk-gateway"]["spec"]["template"]),
        what="the new template",
    )
    assert gateways() == 2
    endpoint.change(gateway={"autoscaling": None, "replicas": 3})
    until(
        lambda: (
            gateways() == 3
            and not endpoint.children("horizontalpodautoscalers", "apis/autoscaling/v2")
            and endpoint.condition("Autoscaled") == ("", "")
        ),
        what="the number of the spec",
    )


def _applied_spec(endpoint: Endpoint) -> Json:
    """The fields of the gateways' Deployment that the operator owns."""
    owners = endpoint.children("deployments")["desk-gateway"]["metadata"]["managedFields"]
    ours = (one for one in owners if one["manager"] == "learntoask-operator" and one["operation"] == "Apply")
    return dict(next(ours)["fieldsV1"]["f:spec"])


def test_its_pods_are_admitted_by_the_restricted_level(cluster: Cluster, endpoint: Endpoint, namespace: str):
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    gateway = {"access": {"tokenSecret": "token", "tlsSecret": "cert"}, "records": {"enabled": True}}
    endpoint.apply(engine="vllm", gpus=1, gateway=gateway, servers={"tls": {"secret": "servers"}})
    endpoint.reaches("Ready", "True", "Serving")  # refused pods would never run
    pods = endpoint.children("pods", "api/v1").values()
    assert len(pods) == 4
    secrets = [
        [
            one["secret"].get("items")
            for one in pod["spec"]["volumes"]
            if one.get("secret", {}).get("secretName") == "servers"
        ]
        for pod in pods
    ]
    assert sorted(secrets, key=str) == [[None], [None], *[[[{"key": "ca.crt", "path": "ca.crt"}]]] * 2]


@pytest.mark.parametrize("traces", [True], indirect=True)
def test_traces_reach_the_pods_by_the_operators_settings(endpoint: Endpoint):
    endpoint.apply(replicas=1)
    endpoint.reaches("Ready", "True", "Serving")
    for pod in endpoint.children("pods", "api/v1").values():
        found = {one["name"]: one for one in pod["spec"]["containers"][0]["env"]}
        assert found["OTEL_EXPORTER_OTLP_ENDPOINT"]["value"] == "http://collector.watch.svc:4317"
        assert found["OTEL_EXPORTER_OTLP_HEADERS"]["valueFrom"]["secretKeyRef"]["name"] == "otel"


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


CANARY: Json = {
    "mode": "canary",
    "observeWithin": "1s",
    "steps": [{"weight": 10, "minConversations": 20}, {"weight": 50}],
    "guards": [{"metric": "abandoned", "margin": 0.1}],
    "minConversations": 50,
}


@pytest.mark.parametrize("listens", [True], indirect=True)
def test_a_policy_is_tried_promoted_or_rolled_back_by_what_gateways_count(
    cluster: Cluster, endpoint: Endpoint, listens: str, namespace: str
):
    """The test speaks for the gateways, whose pods are simulated."""
    endpoint.apply(rollout={"maxSurge": 1, "drain": "1s", "strategy": CANARY})
    endpoint.reaches("RolledOut", "True", "RolloutComplete")
    old = endpoint.asked()
    pods = endpoint.children("pods", "api/v1")
    name = next(name for name in sorted(pods) if name.startswith("desk-gateway-"))
    with grpc.insecure_channel(listens) as channel:
        gateway = Gateway(cluster, namespace, pods[name], channel)
        gateway.sees(2)
        for letter, canary, end in (("b", (20, 25), "RolledBack"), ("c", (2, 20), "RolloutComplete")):
            endpoint.change(policy=published(letter))
            endpoint.reaches("RolledOut", "False", "TryingPolicy")
            rollout = endpoint.status["rollout"]
            assert (rollout["weight"], rollout["verdict"], endpoint.asked()) == (10, "Hold", old)
            chosen = rollout["canary"]
            # The status is written first, and the objects follow.
            until(lambda chosen=chosen: endpoint.asked("desk-canary") == chosen, what="the canary's Service")
            until(lambda id=rollout["id"]: endpoint.mounted_rollout()["id"] == id, what="the ConfigMap")
            shown = cluster.kubectl("-n", namespace, "get", "askep", "desk")
            assert all(word in shown for word in ("CANARY", "WEIGHT", "VERDICT", "Hold", chosen))
            while (told := gateway.told_of_rollout())["id"] != rollout["id"]:
                pass
            counts = counted(canary, (18, 180), weight=10)
            gateway.sees(2, id=rollout["id"], counts=counts)
            if end == "RolledBack":
                endpoint.reaches("RolledOut", "False", "RolledBack")
                assert "80.0% of 25 conversations" in endpoint.message("RolloutHealthy")
                assert endpoint.asked() == old
                while told["weight"] != 0:
                    told = gateway.told_of_rollout()
                until(lambda: "HarmShown" in endpoint.events(), what="an Event with the metric")
                continue
            until(lambda: endpoint.status["rollout"]["weight"] == 50, what="the second step")
            gateway.sees(2, id=rollout["id"], counts=counts.plus(counted((40, 400), (40, 400), weight=50)))
            endpoint.reaches("RolledOut", "True", "RolloutComplete")
            assert endpoint.condition("RolloutHealthy") == ("True", "Promoted")
            until(lambda chosen=chosen: endpoint.asked() == chosen, what="all traffic at the new policy")
            until(lambda: not endpoint.mounted_rollout()["id"], what="the end of what gateways follow")


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

    def sees(self, servers: int, *, id: str = "", counts: RolloutCounts | None = None) -> None:
        """Tell how many servers it sees, and what it has counted of the rollout `id`."""
        view = gateway_pb2.GatewayView(endpoint="desk", serving=servers)
        if counts is not None:
            view.rollout.id, view.rollout.start = id, "only"
            view.rollout.counts = counts.model_dump_json(by_alias=True, exclude_defaults=True)
        self._views.put(view)

    def told_of_rollout(self) -> Json:
        """Wait for what the operator tells next, and return the state of the rollout in it."""
        return dict(json.loads(next(self._call).rollout or "{}").get("state", {"id": "", "weight": -1}))

    def told(self) -> set[str]:
        """Wait for what the operator tells next."""
        return set(next(self._call).addresses)
