"""Reconciles of an endpoint on an API server in memory, killed after any write."""

from __future__ import annotations

import asyncio

import pytest
from learntoask.core.status.conditions import find_condition
from learntoask.kube import (
    DEPLOYMENT,
    ENDPOINT,
    HPA,
    PDB,
    POD,
    RUN,
    SERVICE,
    Invalid,
    Unavailable,
)
from learntoask_operator.loop import Ref
from worlds.endpoint import World, published


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


async def test_an_autoscaler_of_the_gateways_takes_over_their_number_and_gives_it_back():
    world = World(gateway={"replicas": 4})
    await world.settle()
    world.edit(gateway={"replicas": 4, "autoscaling": {"min": 2, "max": 9}})
    await world.settle()
    (autoscaler,) = world.kube.all(HPA)
    assert autoscaler["spec"]["scaleTargetRef"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "desk-gateway",
    }
    assert world.gateways_wanted() == 4  # and not the one pod that a Deployment without a number has
    assert world.conditions()["Autoscaled"] == "AutoscalerStarting"
    for condition, reason in (("False", "AutoscalerBlind"), ("True", "Autoscaling")):
        told = {"type": "ScalingActive", "status": condition, "reason": "Why", "message": "what it says"}
        world.kube.put(HPA, {**autoscaler, "status": {"conditions": [told]}})
        await world.settle()
        assert world.conditions()["Autoscaled"] == reason
    assert world.events.reasons.count("AutoscalerBlind") == 1
    world.scale_gateways(7)
    world.edit(gateway={"autoscaling": {"min": 2, "max": 9}, "maxInFlight": 5})  # a new pod template
    await world.settle()
    assert world.gateways_wanted() == 7
    world.edit(gateway={"replicas": 3})
    await world.settle()
    assert (world.gateways_wanted(), world.kube.all(HPA)) == (3, [])
    assert "Autoscaled" not in world.conditions()


async def test_an_endpoint_that_changed_during_a_reconcile_is_decided_about_again():
    world = World()
    stale = world.body
    world.edit(replicas=1)
    assert await world.reconciler.reconcile(stale) == world.now + 2
    assert world.kube.writes == []
    assert world.events.reasons == []
    await world.settle()
    assert world.servers() == {"a": 1}


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
    assert (await first).addresses in ((), tuple(sorted(f"{address}:50051" for address in servers)))
    old = set(servers)
    world.edit(policy=published("b"))
    await world.settle()
    found = await anext(told)
    while set(found.addresses) & {f"{address}:50051" for address in old}:
        found = await anext(told)
    assert len(found.addresses) == 2


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
