"""An endpoint tries a new policy on the API server in memory: steps, verdicts, hand verbs, killed operators."""

from __future__ import annotations

import json
from typing import Any

import pytest
from learntoask.core.json_object import Json
from learntoask.core.pod_contract import (
    REVISION_LABEL,
    ROLLOUT_JUDGED_ANNOTATION,
    ROLLOUT_ORDER_ANNOTATION,
    ROLLOUT_PAUSED_ANNOTATION,
)
from learntoask.core.status.rollout import JudgedPairs, RolloutCounts, RolloutStatus
from learntoask.kube import CONFIG_MAP, DEPLOYMENT, ENDPOINT, POD, SERVICE
from learntoask.progress.gateways import CountsView, GatewayView
from worlds.endpoint import World, published
from worlds.rollout import counted

GATEWAYS = ("desk-gateway-0", "desk-gateway-1")
STRATEGY: Json = {
    "mode": "canary",
    "observeWithin": "60s",
    "steps": [{"weight": 10, "minConversations": 20}, {"weight": 50}],
    "guards": [{"metric": "abandoned", "margin": 0.1}],
    "minConversations": 50,
}


def trying(**changes: Any) -> World:
    rollout = {"maxSurge": 1, "drain": "3s", "strategy": {**STRATEGY, **changes}}
    return World(progress_address="operator.lta.svc:50055", rollout=rollout)


def tell(world: World, counts: RolloutCounts, *, pod: str = GATEWAYS[0], start: str = "s1") -> None:
    """Let a gateway tell what it has counted."""
    view = CountsView(id=state(world).id, start=start, counts=counts)
    world.gateways.seen(GatewayView(namespace="default", endpoint="desk", pod=pod, serving=2, rollout=view))


def state(world: World) -> RolloutStatus:
    found = world.status.rollout
    assert found is not None
    return found


async def tried(**changes: Any) -> World:
    """An endpoint that tries policy b."""
    world = trying(**changes)
    await world.settle()
    for pod in GATEWAYS:
        world.see(pod, 2)
    await world.settle()
    world.edit(policy=published("b"))
    await world.settle()
    return world


def selected(world: World, service: str) -> str:
    """The policy whose servers a headless Service selects."""
    revision = world.kube.objects[SERVICE, "default", service]["spec"]["selector"].get(REVISION_LABEL, "")
    found = [
        world.policy_of(body)
        for body in world.kube.all(DEPLOYMENT)
        if body["metadata"]["labels"].get(REVISION_LABEL) == revision
    ]
    return found[0] if found else ""


def followed(world: World) -> Json | None:
    """The state of the rollout that gateways follow; None where they have no file and no Service of a canary."""
    file = world.kube.objects.get((CONFIG_MAP, "default", "desk-rollout"))
    assert (file is None) == ((SERVICE, "default", "desk-canary") not in world.kube.objects)
    return None if file is None else json.loads(file["data"]["rollout.json"])["state"]


def annotate(world: World, **annotations: str) -> None:
    names = {
        "paused": ROLLOUT_PAUSED_ANNOTATION,
        "order": ROLLOUT_ORDER_ANNOTATION,
        "judged": ROLLOUT_JUDGED_ANNOTATION,
    }
    metadata = {
        **world.body["metadata"],
        "annotations": {names[key]: value for key, value in annotations.items()},
    }
    world.kube.put(ENDPOINT, {**world.body, "metadata": metadata})


async def test_a_new_policy_gets_its_own_servers_and_no_traffic_but_that_of_its_step():
    world = await tried()
    assert world.servers() == {"a": 2, "b": 1}
    assert (selected(world, "desk-policy"), selected(world, "desk-canary")) == ("a", "b")
    found = state(world)
    assert (found.stage, found.weight, found.verdict) == ("Steps", 10, "Hold")
    assert world.status.canary == found.canary == world.status.target
    assert world.conditions()["RolledOut"] == "TryingPolicy"
    assert world.conditions()["RolloutHealthy"] == "Collecting"
    assert "gets 10 % of the new conversations: about" in world.message("RolledOut")
    told = followed(world)
    assert told is not None
    assert (told["weight"], told["id"]) == (10, found.id)
    env = world.kube.objects[DEPLOYMENT, "default", "desk-gateway"]["spec"]["template"]["spec"]["containers"]
    names = {variable["name"]: variable.get("value") for variable in env[0]["env"]}
    assert names["LTA_GATEWAY_CANARY"] == ["desk-canary.default.svc:50051"] or (
        names["LTA_GATEWAY_CANARY"] == "desk-canary.default.svc:50051"
    )


async def test_a_policy_that_is_no_worse_is_promoted_step_by_step():
    world = await tried()
    tell(world, counted((2, 20), (18, 180), weight=10))
    await world.settle()
    assert (state(world).weight, world.servers()) == (50, {"a": 2, "b": 1})
    both = counted((2, 20), (18, 180), weight=10).plus(counted((40, 400), (40, 400), weight=50))
    tell(world, both)
    await world.settle()
    assert (state(world).verdict, state(world).reason) == ("Promote", "NoWorse")
    assert selected(world, "desk-policy") == "b"
    assert selected(world, "desk-canary") == "b"  # conversations of the canary stay with its servers
    world.now += 60
    await world.settle()
    assert world.servers() == {"b": 2}
    assert followed(world) is None
    assert world.conditions()["RolledOut"] == "RolloutComplete"
    assert world.conditions()["RolloutHealthy"] == "Promoted"
    assert world.status.canary == ""
    assert "Promoted" in world.events.reasons


async def test_a_worse_policy_is_rolled_back_and_its_servers_stay_until_its_conversations_are_over():
    world = await tried()
    tell(world, counted((20, 25), (20, 225), weight=10))
    await world.settle()
    assert (state(world).verdict, state(world).reason, state(world).weight) == ("Rollback", "HarmShown", 0)
    assert world.servers() == {"a": 2, "b": 1}
    assert selected(world, "desk-policy") == "a"
    assert world.conditions()["RolledOut"] == world.conditions()["Stalled"] == "RolledBack"
    assert "80.0% of 25 conversations" in world.message("RolloutHealthy")
    assert world.events.reasons.count("HarmShown") == 1
    assert world.wake_at <= world.now + 60
    world.now += 61
    await world.settle()
    assert world.servers() == {"a": 2}
    assert followed(world) is None
    assert world.conditions()["Ready"] == "Serving"
    for _ in range(3):
        await world.reconcile()
    assert state(world).verdict == "Rollback"  # and it is not tried again by itself


async def test_another_attempt_of_the_same_policy_is_another_rollout():
    world = await tried()
    tell(world, counted((20, 25), (20, 225), weight=10))
    await world.settle()
    first = state(world).id
    world.edit(policy=published("a"))
    await world.settle()
    world.edit(policy=published("b"))
    await world.settle()
    assert state(world).id != first
    assert (state(world).verdict, state(world).counts) == ("Hold", RolloutCounts())


@pytest.mark.parametrize(
    ("order", "verdict", "servers"), [("promote", "Promote", {"b": 2}), ("abort", "Rollback", {"a": 2})]
)
async def test_people_may_decide(order: str, verdict: str, servers: dict[str, int]):
    world = await tried()
    annotate(world, order=f"{order} another-rollout")
    await world.settle()
    assert state(world).verdict == "Hold"
    annotate(world, order=f"{order} {state(world).id}")
    await world.settle()
    world.now += 120
    await world.settle()
    assert (state(world).verdict, state(world).reason, world.servers()) == (verdict, "ByHand", servers)


async def test_people_decide_about_copies():
    world = await tried(shadow={"pairs": 10})
    annotate(world, judged="{")
    await world.settle()
    assert state(world).judged is None
    annotate(world, judged=JudgedPairs(id=state(world).id, worse=12).model_dump_json())
    await world.settle()
    assert (state(world).verdict, state(world).reason) == ("Rollback", "HarmShown")
    assert "worse in 12 of 12 that differ, as people judged" in world.message("RolloutHealthy")


async def test_a_pause_holds_the_step_until_it_ends():
    world = await tried()
    annotate(world, paused="true")
    tell(world, counted((2, 20), (18, 180), weight=10))
    await world.settle()
    assert (state(world).weight, state(world).paused) == (10, True)
    assert world.conditions()["RolloutHealthy"] == "Paused"
    annotate(world)
    await world.settle()
    assert (state(world).weight, state(world).paused) == (50, False)


async def test_the_old_policy_in_the_spec_ends_the_rollout():
    world = await tried()
    world.edit(policy=published("a"))
    await world.settle()
    world.now += 120
    await world.settle()
    assert (state(world).verdict, state(world).reason) == ("Rollback", "ByHand")
    assert world.servers() == {"a": 2}
    assert world.conditions()["RolledOut"] == "RolloutComplete"


async def test_a_second_policy_waits_for_the_end_and_there_are_never_two_canaries():
    world = await tried()
    world.edit(policy=published("c"))
    await world.settle()
    assert world.servers() == {"a": 2, "b": 1}
    assert world.status.queued
    assert f"revision {world.status.queued} waits for the end" in world.message("RolledOut")
    tell(world, counted((20, 25), (20, 225), weight=10))
    seen = []
    for _ in range(100):
        await world.reconcile()
        seen.append(set(world.servers()))
    assert all(len(policies) <= 2 or "b" not in policies for policies in seen)
    assert world.servers() == {"a": 2, "c": 1}
    assert (state(world).verdict, world.status.queued) == ("Hold", "")


async def test_a_second_policy_replaces_one_that_only_answers_copies():
    world = await tried(shadow={"pairs": 10})
    assert (state(world).stage, state(world).weight) == ("Shadow", 0)
    world.edit(policy=published("c"))
    for _ in range(20):
        await world.reconcile()
    assert (world.servers(), state(world).stage) == ({"a": 2, "c": 1}, "Shadow")


async def test_counts_of_gateways_that_are_gone_are_kept_and_a_new_operator_hears_the_others_again():
    world = await tried()
    tell(world, counted((1, 5), (4, 45), weight=10))
    tell(world, counted((1, 6), (5, 54), weight=10), pod=GATEWAYS[1])
    await world.settle()
    assert state(world).counts == counted((2, 11), (9, 99), weight=10)
    (gone,) = [pod for pod in world.kube.all(POD) if pod["metadata"]["name"] == GATEWAYS[1]]
    world.kube.remove(POD, gone)
    world.kube.objects[DEPLOYMENT, "default", "desk-gateway"]["spec"]["replicas"] = 1
    await world.settle()
    assert world.status.rollout_gone == counted((1, 6), (5, 54), weight=10)
    tell(world, counted((1, 7), (4, 63), weight=10), start="s2")  # the first gateway has started again
    await world.settle()
    assert state(world).counts == counted((3, 18), (13, 162), weight=10)
    world.restart()
    tell(world, counted((1, 7), (4, 63), weight=10), start="s2")
    await world.settle()
    assert state(world).counts == counted(
        (2, 13), (9, 117), weight=10
    )  # the old start died while nobody heard it


async def test_weights_rise_with_the_servers_that_are_ready():
    world = World(replicas=4, progress_address="operator.lta.svc:50055")
    world.edit(rollout={"maxSurge": 1, "drain": "3s", "strategy": STRATEGY})
    await world.settle()
    world.edit(policy=published("b"))
    world.most_warm["b"] = 1
    await world.settle()
    assert (state(world).weight, world.servers()) == (10, {"a": 4, "b": 1})
    tell(world, counted((2, 20), (18, 180), weight=10))
    await world.settle()
    assert (state(world).weight, world.servers()) == (10, {"a": 3, "b": 2})
    assert "1 of 2 servers are ready for 50 %" in world.message("RolloutHealthy")
    world.most_warm["b"] = 2
    await world.settle()
    assert state(world).weight == 50
    both = counted((2, 20), (18, 180), weight=10).plus(counted((40, 400), (40, 400), weight=50))
    tell(world, both)
    seen = []
    for warm in (2, 3, 4):
        world.most_warm["b"] = warm
        await world.settle()
        told = followed(world)
        assert told is not None
        seen.append((told["stage"], told["weight"], selected(world, "desk-policy")))
    assert seen == [("Promoted", 50, "a"), ("Promoted", 75, "a"), ("Promoted", 100, "b")]
    assert world.servers()["b"] == 4


async def test_a_promotion_by_hand_gives_no_server_more_than_its_share():
    world = await tried(shadow={"pairs": 10})
    world.most_warm["b"] = 1
    annotate(world, order=f"promote {state(world).id}")
    await world.settle()
    told = followed(world)
    assert told is not None
    assert (told["stage"], told["weight"]) == ("Promoted", 50)


async def test_without_a_strategy_gateways_follow_nothing_any_more():
    world = await tried()
    assert followed(world) is not None
    world.edit(rollout={"maxSurge": 1, "drain": "3s"})
    await world.settle()
    assert followed(world) is None
    world.now += 10
    await world.settle()
    assert (world.servers(), world.status.rollout) == ({"b": 2}, None)


@pytest.mark.parametrize("bad", [False, True])
async def test_killed_after_any_write_the_verdict_is_the_same_and_no_step_is_repeated(bad: bool):
    for crash_after in range(1, 24):
        world = trying()
        await world.settle()
        world.edit(policy=published("b"))
        await world.reconcile(crash_after=crash_after)
        await world.settle()
        weights = [state(world).weight]
        canary = (15, 20) if bad else (2, 20)
        for counts in (
            counted(canary, (18, 180), weight=10),
            counted(canary, (18, 180), weight=10).plus(counted((40, 400), (40, 400), weight=50)),
        ):
            tell(world, counts)
            await world.reconcile(crash_after=max(1, crash_after // 3))
            if not (world.status.rollout and world.status.rollout.ended):
                tell(world, counts)  # gateways tell the next operator again
            await world.settle()
            weights.append(state(world).weight)
        assert weights == ([10, 0, 0] if bad else [10, 50, 100])
        assert state(world).verdict == ("Rollback" if bad else "Promote")


async def test_without_a_strategy_nothing_is_tried():
    world = World(rollout={"maxSurge": 1, "drain": "3s"})
    await world.settle()
    world.edit(policy=published("b"))
    await world.settle()
    world.now += 10
    await world.settle()
    assert (world.servers(), world.status.rollout) == ({"b": 2}, None)
    assert (SERVICE, "default", "desk-canary") not in world.kube.objects
