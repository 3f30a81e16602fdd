"""An endpoint whose operator runs on an API server in memory; Deployments get their pods at once."""

from __future__ import annotations

from typing import Any

from learntoask.core.json_object import Json
from learntoask.core.pod_contract import REVISION_LABEL
from learntoask.core.status.conditions import find_condition
from learntoask.core.status.endpoint import EndpointStatus
from learntoask.kube import (
    DEPLOYMENT,
    ENDPOINT,
    POD,
    SERVICE,
    Kind,
    NotFound,
)
from learntoask.progress.gateways import GatewayView
from learntoask_operator.cache.children import ChildCache
from learntoask_operator.cache.projections import PROJECTIONS
from learntoask_operator.endpoint.gateways import GatewayBoard
from learntoask_operator.endpoint.reconciler import EndpointReconciler
from learntoask_operator.events import Event
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
    """`life` gives Deployments their pods. All pods are warm, except those of the policies in `cold`, and those beyond
    `most_warm` of a policy. With a `progress_address`, they exist as objects too, and gateways see what the test lets
    them see."""

    def __init__(self, *, progress_address: str = "", **spec: Any) -> None:
        self.progress_address = progress_address
        self.now = 1_700_000_000.0
        self.kube, self.events = Kube(lambda: self.now), Posted()
        self.cold: dict[str, str] = {}
        self.most_warm: dict[str, int] = {}
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
            warm = 0 if why else min(count, self.most_warm.get(self.policy_of(body), count))
            status = {"replicas": count, "readyReplicas": warm}
            if body.get("status") != status:
                self.kube.put(DEPLOYMENT, {**body, "status": status})
            if self.progress_address and not why:
                self.ready_pods(body, warm)
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

    def ready_pods(self, deployment: Json, count: int) -> None:
        """Ready pods of a Deployment, each with an address of its own."""
        name = deployment["metadata"]["name"]
        for number in range(count):
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

    def gateways_wanted(self) -> int:
        return self.kube.objects[DEPLOYMENT, "default", "desk-gateway"]["spec"]["replicas"]

    def scale_gateways(self, count: int) -> None:
        """What an autoscaler does."""
        body = self.kube.objects[DEPLOYMENT, "default", "desk-gateway"]
        self.kube.put(DEPLOYMENT, {**body, "spec": {**body["spec"], "replicas": count}})

    def message(self, type: str) -> str:
        found = find_condition(self.status.conditions, type)
        return found.message if found else ""

    def conditions(self) -> dict[str, str]:
        return {one.type: one.reason for one in self.status.conditions}

    def ready(self) -> tuple[str, str, str]:
        """Status, reason and message of the condition Ready."""
        found = find_condition(self.status.conditions, "Ready")
        return (found.status, found.reason, found.message) if found else ("", "", "")
