"""Reconciles of an endpoint on an API server in memory, killed after any write."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from learntoask.core.json_object import Json
from learntoask.core.pod_contract import REVISION_LABEL
from learntoask.core.status.conditions import find_condition
from learntoask.core.status.endpoint import EndpointStatus
from learntoask.kube import (
    DEPLOYMENT,
    ENDPOINT,
    HPA,
    PDB,
    POD,
    RUN,
    SERVICE,
    Invalid,
    Kind,
    NotFound,
    Unavailable,
)
from learntoask.progress.gateways import GatewayView
from learntoask_operator.cache.children import ChildCache
from learntoask_operator.cache.projections import PROJECTIONS
from learntoask_operator.endpoint.gateways import GatewayBoard
from learntoask_operator.endpoint.reconciler import EndpointReconciler
from learntoask_operator.events import Event
from learntoask_operator.loop import Ref
from learntoask_operator.metrics import Metrics
from learntoask_operator.settings import Settings
from worlds.fake_kube import Crashed, FakeKube, apply_merge_patch


def published(letter: str) -> Json:
    return {"publication": letter * 64, "policy": letter * 64}


class Kube(FakeKube):
    """A FakeKube that can patch, as scaling Deployments needs."""

    async def patch(
        self, kind: Kind, name: str, patch: Json, *, namespace: str | None = None, subresource: str = ""
    ) -> Json:
        self._check_refusal("patch", kind)
        key = (kind, namespace or "", name)
        if key not in self.objects:
            raise NotFound(name, status=404)
        made = self.put(kind, apply_merge_patch(self.objects[key], patch))
        self._record_write("patch", kind)
        return made


class Posted:
    def __init__(self) -> None:
        self.reasons: list[str] = []

    def post(self, about: Json, event: Event) -> None:
        self.reasons.append(event.reason)


class World:
    """`life` gives Deployments their pods. All pods are warm, except those of the policies in `cold`. With a
    `progress_address`, they exist as objects too, and gateways see what the test lets them see."""

    def __init__(self, *, progress_address: str = "", **spec: Any) -> None:
        self.progress_address = progress_address
        self.now = 1_700_000_000.0
        self.kube, self.events = Kube(lambda: self.now), Posted()
        self.cold: dict[str, str] = {}
        self.gone: list[str] = []
        self.traffic: list[str] = []
        self.addresses: list[str] = []
        whole = {"policy": published("a"), "replicas": 2, "rollout": {"maxSurge": 2, "drain": "30s"}} | spec
        self.kube.put(ENDPOINT, {"metadata": {"name": "desk", "namespace": "default"}, "spec": whole})
        self.restart()

    def restart(self) -> None:
        """Start a new operator process, which remembers nothing and lists all objects."""
        self.kube.events.clear()
        self.children = ChildCache(PROJECTIONS, changed=lambda ref: None)
        for kind in PROJECTIONS:
            self.children.listed(kind, None, self.kube.all(kind))
        self.metrics = Metrics()
        self.gateways = GatewayBoard(wake=lambda ref: None)
        self.reconciler = EndpointReconciler(
            kube=self.kube,
            children=self.children,
            gateways=self.gateways,
            events=self.events,
            settings=Settings(
                store_uri="s3://artefacts/lta",
                store_credentials="keys",
                progress_address=self.progress_address,
            ),
            metrics=self.metrics,
            observed=lambda kind, body: None,
            gone=lambda kind, body: self.gone.append(body["metadata"]["name"]),
            clock=lambda: self.now,
        )

    async def reconcile(self, *, crash_after: int | None = None) -> None:
        """Deliver what changed, reconcile once, and let Deployments get their pods."""
        for what, kind, body in self.kube.events:
            if kind in PROJECTIONS:
                (self.children.gone if what == "DELETED" else self.children.observed)(kind, body)
        self.kube.events.clear()
        self.kube.crash_after = crash_after
        try:
            self.wake_at = await self.reconciler.reconcile(self.body)
        except Crashed:
            self.restart()
        finally:
            self.kube.crash_after = None
        self.life()
        self.now += 1

    async def settle(self) -> None:
        """Reconcile until nothing is written any more."""
        for _ in range(60):
            before = len(self.kube.writes)
            await self.reconcile()
            if len(self.kube.writes) == before and not self.kube.events:
                return
        raise AssertionError(f"the operator does not come to rest: {self.kube.writes[-20:]}")

    def life(self) -> None:
        for body in self.kube.all(DEPLOYMENT):
            count = body["spec"]["replicas"]
            why = self.cold.get(self.policy_of(body), "")
            status = {"replicas": count, "readyReplicas": 0 if why else count}
            if body.get("status") != status:
                self.kube.put(DEPLOYMENT, {**body, "status": status})
            if self.progress_address and not why:
                self.ready_pods(body)
            if why and not any(
                pod["metadata"]["labels"] == body["metadata"]["labels"] for pod in self.kube.all(POD)
            ):
                ended = {"exitCode": 3, "message": why}
                self.kube.put(
                    POD,
                    {
                        "metadata": {
                            "name": f"{body['metadata']['name']}-x",
                            "namespace": "default",
                            "labels": body["metadata"]["labels"],
                        },
                        "status": {
                            "containerStatuses": [{"restartCount": 5, "lastState": {"terminated": ended}}]
                        },
                    },
                )
        service = self.kube.objects.get((SERVICE, "default", "desk-policy"))
        if service:
            asked = service["spec"]["selector"].get(REVISION_LABEL, "")
            if not self.traffic or self.traffic[-1] != asked:
                self.traffic.append(asked)

    def ready_pods(self, deployment: Json) -> None:
        """Ready pods of a Deployment, each with an address of its own."""
        name = deployment["metadata"]["name"]
        for number in range(deployment["spec"]["replicas"]):
            pod = f"{name}-{number}"
            if (POD, "default", pod) in self.kube.objects:
                continue
            self.addresses.append(f"10.0.0.{len(self.addresses) + 1}")
            self.kube.put(
                POD,
                {
                    "metadata": {
                        "name": pod,
                        "namespace": "default",
                        "labels": deployment["metadata"]["labels"],
                    },
                    "status": {
                        "podIP": self.addresses[-1],
                        "conditions": [{"type": "Ready", "status": "True"}],
                    },
                },
            )

    def see(self, pod: str, serving: int) -> None:
        """Let a gateway tell how many servers it sees."""
        self.gateways.seen(GatewayView(namespace="default", endpoint="desk", pod=pod, serving=serving))

    @staticmethod
    def policy_of(deployment: Json) -> str:
        env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
        return next((one["value"][0] for one in env if one["name"] == "LTA_POLICY"), "")

    def edit(self, **spec: Any) -> None:
        self.kube.put(ENDPOINT, {**self.body, "spec": {**self.body["spec"], **spec}})

    @property
    def body(self) -> Json:
        return self.kube.objects[ENDPOINT, "default", "desk"]

    @property
    def status(self) -> EndpointStatus:
        return EndpointStatus.model_validate(self.body["status"])

    def servers(self) -> dict[str, int]:
        return {
            self.policy_of(body): body["spec"]["replicas"]
            for body in self.kube.all(DEPLOYMENT)
            if REVISION_LABEL in body["metadata"]["labels"]
        }

    def message(self, type: str) -> str:
        found = find_condition(self.status.conditions, type)
        return found.message if found else ""

    def conditions(self) -> dict[str, str]:
        return {one.type: one.reason for one in self.status.conditions}

    def ready(self) -> tuple[str, str, str]:
        """Status, reason and message of the condition Ready."""
        found = find_condition(self.status.conditions, "Ready")
        return (found.status, found.reason, found.message) if found else ("", "", "")


async def test_a_settled_endpoint_costs_nothing_until_something_changes():
    world = World()
    await world.settle()
    assert world.conditions() == {
        "Ready": "Serving",
        "RolledOut": "RolloutComplete",
        "GatewayReady": "GatewayAvailable",
    }
    before = list(world.kube.writes)
    for _ in range(5):
        await world.reconcile()
    assert world.kube.writes == before
    assert world.wake_at == world.now - 1 + 600


async def test_a_deployment_that_somebody_removed_is_made_again():
    world = World()
    await world.settle()
    (victim,) = [body for body in world.kube.all(DEPLOYMENT) if body["metadata"]["name"] == "desk-gateway"]
    world.kube.remove(DEPLOYMENT, victim)
    await world.settle()
    assert {body["metadata"]["name"] for body in world.kube.all(DEPLOYMENT)} >= {"desk-gateway"}


@pytest.mark.parametrize("surge", [1, 2])
async def test_killed_after_any_write_a_rollout_ends_as_ever(surge: int):
    for crash_after in range(1, 30):
        world = World(rollout={"maxSurge": surge, "drain": "3s"})
        await world.settle()
        old = world.status.revision
        world.edit(policy=published("b"))
        await world.reconcile(crash_after=crash_after)
        await world.reconcile(crash_after=max(1, crash_after // 2))
        for _ in range(12):
            await world.reconcile()
        await world.settle()
        assert world.servers() == {"b": 2}
        assert [(one.state, one.number) for one in world.status.revisions] == [("Serving", 2), ("Retired", 1)]
        path = [asked for asked in world.traffic if asked]
        assert path == [old, world.status.revision], path
        assert world.conditions()["RolledOut"] == "RolloutComplete"


async def test_a_policy_that_fails_is_stopped_and_its_words_are_told():
    world = World()
    await world.settle()
    world.cold["b"] = "error (WarmUpFailed): answer 1 failed"
    world.edit(policy=published("b"))
    await world.settle()
    assert world.servers() == {"a": 2}
    assert world.conditions()["RolledOut"] == world.conditions()["Stalled"] == "WarmUpFailed"
    assert world.conditions()["Ready"] == "Serving"
    assert "answer 1 failed" in world.status.revisions[0].message
    assert world.events.reasons.count("WarmUpFailed") == 1
    labels = {"namespace": "default", "endpoint": "desk", "phase": "Degraded", "rollout": "WarmUpFailed"}
    assert world.metrics.registry.get_sample_value("lta_endpoint_info", labels) == 1
    world.reconciler.forget(Ref(kind=ENDPOINT, namespace="default", name="desk"))
    assert world.metrics.registry.get_sample_value("lta_endpoint_info", labels) is None
    assert len(set(world.traffic)) == 1
    world.edit(policy=published("a"))
    await world.settle()
    assert (world.status.revisions[0].number, world.servers()) == (3, {"a": 2})


async def test_a_refused_write_is_made_good_by_the_next_pass():
    world = World()
    world.kube.refuse = lambda verb, kind: (
        Unavailable("429", status=429) if kind == SERVICE and verb == "apply" else None
    )
    with pytest.raises(Unavailable):
        await world.reconcile()
    world.kube.refuse = lambda verb, kind: None
    await world.settle()
    assert world.conditions()["Ready"] == "Serving"


async def test_a_followed_run_is_looked_at_until_it_publishes():
    world = World(policy={"run": "clinic"})
    await world.reconcile()
    assert world.conditions()["Ready"] == "WaitingForPolicy"
    assert world.wake_at == world.now - 1 + 30
    assert not world.kube.all(DEPLOYMENT)
    stages = [{"name": name, "state": "Published", "key": "c" * 64} for name in ("serve", "grpo")]
    metadata = {"name": "clinic", "namespace": "default"}
    run = world.kube.put(RUN, {"metadata": metadata, "spec": {}, "status": {"stages": stages}})
    await world.settle()
    assert world.servers() == {"c": 2}
    world.kube.remove(RUN, run)
    await world.settle()
    assert (world.servers(), world.conditions()["Ready"]) == ({"c": 2}, "Serving")


async def test_an_autoscaler_comes_and_goes_and_a_foreign_one_stays():
    world = World(autoscaling={"max": 4})
    await world.settle()
    assert len(world.kube.all(HPA)) == 1
    world.edit(autoscaling=None)
    await world.settle()
    assert not world.kube.all(HPA)
    world.kube.put(HPA, {"metadata": {"name": "desk", "namespace": "default"}, "spec": {"maxReplicas": 9}})
    world.restart()
    await world.settle()
    assert len(world.kube.all(HPA)) == 1
    world.edit(autoscaling={"max": 4})
    await world.settle()
    assert world.kube.all(HPA)[0]["spec"] == {"maxReplicas": 9}
    rollout = find_condition(world.status.conditions, "RolledOut")
    assert (rollout.status, rollout.reason) == ("False", "ChildForeign")
    assert "HorizontalPodAutoscaler desk exists" in rollout.message
    assert world.conditions()["Stalled"] == "ChildForeign"
    assert world.ready()[:2] == ("True", "Serving")  # the policy answers all the same
    world.kube.remove(HPA, world.kube.all(HPA)[0])
    world.now = world.wake_at
    await world.settle()
    assert world.conditions()["RolledOut"] == "RolloutComplete"
    assert world.kube.all(HPA)[0]["spec"]["maxReplicas"] == 4


GATEWAYS = ("desk-gateway-0", "desk-gateway-1")


async def test_ready_means_that_every_gateway_sees_a_server():
    world = World(progress_address="operator.lta.svc:50055")
    await world.settle()
    status, reason, message = world.ready()
    assert (status, reason) == ("Unknown", "GatewaysSilent")
    assert "desk-gateway-0, desk-gateway-1" in message
    assert "operator.lta.svc:50055" in message
    world.see(GATEWAYS[0], 2)
    world.see(GATEWAYS[1], 0)
    await world.settle()
    assert world.ready() == (
        "False",
        "ServersNotSeen",
        "desk-gateway-1: sees no policy server; the gateways answer with the fallback",
    )
    assert "ServersNotSeen" in world.events.reasons
    world.see(GATEWAYS[1], 1)
    await world.settle()
    assert world.ready() == ("True", "Serving", "")
    world.restart()  # the next operator has heard nothing yet, and what was so goes on
    await world.settle()
    assert world.ready() == ("True", "Serving", "")
    world.see(GATEWAYS[0], 0)
    await world.settle()
    assert world.ready()[:2] == ("False", "ServersNotSeen")


async def test_gateways_are_told_where_the_servers_are_that_get_calls():
    world = World(progress_address="operator.lta.svc:50055")
    told = world.gateways.servers("default", "desk")
    first = asyncio.ensure_future(anext(told))
    await world.settle()
    while not first.done():
        await asyncio.sleep(0)
    pods = {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in world.kube.all(POD)}
    servers = [address for name, address in pods.items() if "gateway" not in name]
    assert await first in ((), tuple(sorted(f"{address}:50051" for address in servers)))
    old = set(servers)
    world.edit(policy=published("b"))
    await world.settle()
    addresses = await anext(told)
    while set(addresses) & {f"{address}:50051" for address in old}:
        addresses = await anext(told)
    assert len(addresses) == 2


async def test_an_address_that_belongs_to_somebody_else_is_not_given_out():
    world = World()
    foreign = {"metadata": {"name": "desk", "namespace": "default"}, "spec": {"ports": [{"port": 80}]}}
    world.kube.put(SERVICE, foreign)
    await world.settle()
    assert world.ready()[:2] == ("False", "ChildForeign")
    assert "Service desk exists" in world.ready()[2]
    assert (world.status.address, world.status.phase) == ("", "Degraded")
    assert not world.kube.all(DEPLOYMENT)  # nobody could call the servers
    assert world.events.reasons.count("ChildForeign") == 2  # of Ready and RolledOut, once each
    world.restart()
    await world.settle()
    assert world.ready()[:2] == ("False", "ChildForeign")
    world.kube.remove(SERVICE, world.kube.objects[SERVICE, "default", "desk"])
    world.now = world.wake_at
    await world.settle()
    assert (world.ready()[1], world.status.address) == ("Serving", "desk.default.svc:50051")


async def test_a_refused_deployment_is_told_while_the_old_policy_goes_on_answering():
    world = World()
    await world.settle()
    world.kube.refuse = lambda verb, kind: (
        Invalid("limits: must be at least requests", status=422)
        if (verb, kind) == ("apply", DEPLOYMENT)
        else None
    )
    world.edit(policy=published("b"))
    await world.settle()
    rollout = find_condition(world.status.conditions, "RolledOut")
    assert (rollout.status, rollout.reason) == ("False", "ChildRefused")
    assert "is refused by the API server: limits: must be at least requests" in rollout.message
    assert world.conditions()["Stalled"] == "ChildRefused"
    assert world.ready()[:2] == ("True", "Serving")
    assert world.servers() == {"a": 2}
    world.kube.refuse = lambda verb, kind: None
    for _ in ("applied", "drained"):
        world.now = world.wake_at
        await world.settle()
    assert (world.servers(), world.conditions()["RolledOut"]) == ({"b": 2}, "RolloutComplete")
    assert "Stalled" not in world.conditions()


async def test_what_the_api_server_refuses_stands_in_the_conditions_and_heals():
    world = World()
    too_much = Invalid("POST deployments: requests must be at most limits", status=422)
    world.kube.refuse = lambda verb, kind: too_much if (verb, kind) == ("apply", DEPLOYMENT) else None
    await world.settle()
    conditions = world.conditions()
    assert conditions["Stalled"] == conditions["RolledOut"] == conditions["Ready"] == "ChildRefused"
    assert "requests must be at most limits" in world.message("Stalled")
    assert world.events.reasons.count("ChildRefused") == 2, "of Ready and RolledOut, once each"
    writes, since = len(world.kube.writes), find_condition(world.status.conditions, "Stalled")
    world.now = world.wake_at
    await world.settle()
    assert len(world.kube.writes) == writes, "a refusal that lasts is written down once"
    assert find_condition(world.status.conditions, "Stalled") == since
    world.kube.refuse = lambda verb, kind: None
    await world.settle()
    assert "Stalled" not in world.conditions()
    assert world.conditions()["Ready"] == "Serving"


async def test_a_spec_that_our_own_model_refuses_is_told():
    world = World(gateway={"records": {"enabled": True, "redact": ["(broken"]}})
    await world.settle()
    status, reason, message = world.ready()
    assert (status, reason) == ("False", "InvalidSpec")
    assert "spec.gateway.records.redact.0" in message
    assert world.conditions()["Stalled"] == "InvalidSpec"
    assert world.status.phase == "Pending"
    assert world.wake_at is None
    world.edit(gateway={})
    await world.settle()
    assert world.ready()[:2] == ("True", "Serving")
    assert "Stalled" not in world.conditions()
    world.edit(gateway={"records": {"enabled": True, "redact": ["(unclosed"]}})
    await world.settle()
    assert world.ready()[:2] == ("Unknown", "InvalidSpec")
    assert world.conditions()["Stalled"] == world.conditions()["RolledOut"] == "InvalidSpec"
    assert world.servers() == {"a": 2}, "what serves goes on serving"


@pytest.mark.parametrize("component", ["policy-server", "gateway"])
async def test_the_cause_of_pods_that_are_not_created_is_told(component: str):
    world = World()
    quota = 'pods "x" is forbidden: exceeded quota: small, requested: pods=1, used: pods=0, limited: pods=0'
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": quota}
    await world.reconcile()
    for body in world.kube.all(DEPLOYMENT):
        refused = body["metadata"]["labels"]["app.kubernetes.io/component"] == component
        ready = {"replicas": 2, "readyReplicas": 2}
        status = {"replicas": 0, "conditions": [failure]} if refused else ready
        world.kube.put(DEPLOYMENT, {**body, "status": status})
    world.life = lambda: None  # type: ignore[method-assign]
    await world.settle()
    assert world.ready()[:2] == ("False", "PodsRefused")
    assert quota in world.ready()[2]
    assert "PodsRefused" in world.events.reasons


async def test_what_it_waits_for_is_so():
    world = World(policy={"run": "ghost"})
    await world.settle()
    message = "there is no run ghost in this namespace; create it, or correct spec.policy.run"
    assert world.ready() == ("False", "WaitingForPolicy", message)
    assert world.message("RolledOut") == message
    run = {
        "metadata": {"name": "ghost", "namespace": "default"},
        "spec": {},
        "status": {"phase": "Failed", "stages": []},
    }
    world.kube.put(RUN, run)
    await world.settle()
    assert world.ready()[2] == "run ghost has published no policy yet; it is Failed"


async def test_children_deleted_by_hand_are_made_again():
    world = World(autoscaling={"max": 4})
    await world.settle()
    for kind in (SERVICE, PDB, HPA, DEPLOYMENT):
        names = {body["metadata"]["name"] for body in world.kube.all(kind)}
        for body in world.kube.all(kind):
            world.kube.remove(kind, body)
        await world.settle()
        assert {body["metadata"]["name"] for body in world.kube.all(kind)} == names, kind.kind


async def test_an_endpoint_whose_status_is_not_found_is_gone():
    world = World()
    await world.settle()
    body = world.body
    world.kube.remove(ENDPOINT, body)
    edited = {**body["metadata"], "generation": 99}
    await world.reconciler.reconcile({**body, "metadata": edited})
    assert world.gone == ["desk"]
