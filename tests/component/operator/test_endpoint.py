"""Reconciles of an endpoint on an API server in memory, killed after any write."""

from __future__ import annotations

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
from learntoask_operator.cache.children import ChildCache
from learntoask_operator.cache.projections import PROJECTIONS
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
    """`life` gives Deployments their pods. All pods are warm, except those of the policies in `cold`."""

    def __init__(self, **spec: Any) -> None:
        self.now = 1_700_000_000.0
        self.kube, self.events = Kube(lambda: self.now), Posted()
        self.cold: dict[str, str] = {}
        self.gone: list[str] = []
        self.traffic: list[str] = []
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
        self.reconciler = EndpointReconciler(
            kube=self.kube,
            children=self.children,
            events=self.events,
            settings=Settings(store_uri="s3://artefacts/lta", store_credentials="keys"),
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
    assert world.conditions()["RolledOut"] == "WarmUpFailed"
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
    assert world.conditions()["Stalled"] == "ChildForeign"
    assert world.kube.all(HPA)[0]["spec"] == {"maxReplicas": 9}


async def test_a_run_that_does_not_exist_is_not_said_to_train():
    world = World(policy={"run": "ghost"})
    await world.reconcile()
    assert "there is no run ghost" in world.message("RolledOut")
    metadata = {"name": "ghost", "namespace": "default"}
    world.kube.put(RUN, {"metadata": metadata, "spec": {}})
    await world.reconcile()
    assert "run ghost has published no policy yet" in world.message("RolledOut")


async def test_what_the_api_server_refuses_stands_in_the_conditions_and_heals():
    world = World()
    too_much = Invalid("POST deployments: requests must be at most limits", status=422)
    world.kube.refuse = lambda verb, kind: too_much if (verb, kind) == ("apply", DEPLOYMENT) else None
    await world.settle()
    assert world.conditions()["Stalled"] == world.conditions()["RolledOut"] == "ChildRefused"
    assert "requests must be at most limits" in world.message("RolledOut")
    assert world.events.reasons.count("ChildRefused") == 1
    writes = len(world.kube.writes)
    await world.settle()
    assert len(world.kube.writes) == writes, "a refusal that lasts is written down once"
    world.kube.refuse = lambda verb, kind: None
    await world.settle()
    assert "Stalled" not in world.conditions()
    assert world.conditions()["Ready"] == "Serving"


async def test_a_spec_that_the_schema_lets_through_is_refused_in_the_conditions():
    world = World()
    await world.settle()
    world.edit(gateway={"records": {"enabled": True, "redact": ["(unclosed"]}})
    await world.settle()
    conditions = world.conditions()
    assert (conditions["RolledOut"], conditions["Stalled"]) == ("InvalidSpec", "InvalidSpec")
    assert "redact" in world.message("RolledOut")
    assert conditions["Ready"] == "Serving", "what serves goes on serving"
    world.edit(gateway={})
    await world.settle()
    assert "Stalled" not in world.conditions()


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
