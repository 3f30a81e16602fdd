"""Applies the objects of an endpoint, and says why one could not be applied.

An object that belongs to another owner is never changed. The others are applied even if the API server refuses one.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

from learntoask.core.digest import digest_of
from learntoask.core.json_object import Json
from learntoask.core.pod_contract import REVISION_LABEL
from learntoask.core.status.conditions import CHILD_FOREIGN, CHILD_REFUSED
from learntoask.kube import (
    CONFIG_MAP,
    DEPLOYMENT,
    ENDPOINT,
    HPA,
    SERVICE,
    Conflict,
    Forbidden,
    Invalid,
    Kind,
    Kube,
    NotFound,
)

from learntoask_operator.cache.children import ChildCache
from learntoask_operator.endpoint.decide import EndpointDecision
from learntoask_operator.endpoint.labels import SERVER, canary_name, revision_name, rollout_name
from learntoask_operator.endpoint.render.autoscaler import autoscaler_names
from learntoask_operator.endpoint.render.objects import Objects
from learntoask_operator.endpoint.status import Fault
from learntoask_operator.loop import Ref, ref_of
from learntoask_operator.ownership import COMPONENT, MANAGER, foreign_message, is_owned_by, refused_message

_AGAIN_SECONDS = 600.0  # until an unchanged object is applied again, should another client have changed it


class EndpointObjects:
    """The objects of all endpoints, as they were applied last."""

    def __init__(self, kube: Kube, children: ChildCache) -> None:
        self._kube, self._children = kube, children
        # By endpoint: digest of each object as last applied ("" for one that must not exist), and when.
        self._applied: dict[Ref, dict[tuple[Kind, str], tuple[str, float]]] = {}
        self._faults: dict[Ref, Fault] = {}

    def forget(self, ref: Ref) -> None:
        self._applied.pop(ref, None)
        self._faults.pop(ref, None)

    def known(self, ref: Ref) -> bool:
        """Whether the objects of the endpoint were applied since the operator started."""
        return ref in self._applied

    def fault(self, ref: Ref) -> Fault | None:
        """Why the objects could not all be applied last time."""
        return self._faults.get(ref)

    async def carry_out(
        self, endpoint: Json, objects: Objects, decision: EndpointDecision, *, now: float
    ) -> Fault | None:
        """Apply `objects`, and scale or delete the Deployments of other revisions. Return the first fault."""
        ref, uid = ref_of(ENDPOINT, endpoint), endpoint["metadata"]["uid"]
        deployments = self._children.of(ref, DEPLOYMENT)
        fault = await self._apply(endpoint, objects, deployments, now=now)
        if fault is None:
            self._faults.pop(ref, None)
            rendered = {body["metadata"]["name"] for kind, body in objects if kind == DEPLOYMENT}
            await self._scale_others(endpoint, decision, deployments, rendered)
        else:  # the old servers stay, because the new ones may not get their calls
            self._faults[ref] = fault
        wanted = {(kind, body["metadata"]["name"]) for kind, body in objects}
        for kind, name in _optional(ref.name):
            if (kind, name) not in wanted:
                await self._remove_unneeded(ref, kind, name, uid, now)
        return fault

    async def _apply(
        self, endpoint: Json, objects: Objects, deployments: list[Json], *, now: float
    ) -> Fault | None:
        """Apply the objects that changed since they were applied last, are missing, or are due again."""
        ref = ref_of(ENDPOINT, endpoint)
        memory = self._applied.setdefault(ref, {})
        existing = {
            (kind, child["metadata"]["name"])
            for kind in {kind for kind, _ in objects}
            for child in self._children.of(ref, kind)
        }
        due, faults = [], []
        for kind, body in objects:
            name, digest = body["metadata"]["name"], digest_of(body)
            known = memory.get((kind, name))
            missing = (kind, name) not in existing
            if known and known[0] == digest and now < known[1] + _AGAIN_SECONDS and not missing:
                continue
            foreign = await self._foreign(kind, body, endpoint)
            if foreign is None:
                due.append((kind, body, digest))
            else:
                faults.append(foreign)
        if any(fault.nameless for fault in faults) and not deployments:
            return faults[0]  # without its Service no client could call the servers
        for kind, body, digest in due:
            refused = await self._apply_one(kind, body)
            if refused is None:
                memory[kind, body["metadata"]["name"]] = (digest, now)
            else:
                faults.append(refused)
        return faults[0] if faults else None

    async def _apply_one(self, kind: Kind, body: Json) -> Fault | None:
        try:
            if kind == DEPLOYMENT and "replicas" not in body["spec"]:
                await self._leave_replicas(body["metadata"])
            written = await self._kube.apply(kind, body)
        except (Invalid, Forbidden) as error:
            return Fault(reason=CHILD_REFUSED, message=refused_message(kind, body, error))
        self._children.observed(kind, written)
        return None

    async def _leave_replicas(self, metadata: Json) -> None:
        """Keep the number of pods of a Deployment that is about to be applied without it.

        The API server removes a field that its only owner no longer applies, and one pod would be left. So another
        manager owns the field too, until an autoscaler changes it.
        """
        name, namespace = metadata["name"], metadata["namespace"]
        found = await self._kube.find(DEPLOYMENT, name, namespace=namespace)
        if found is None:
            return
        only = {
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"replicas": found["spec"]["replicas"]},
        }
        with suppress(Conflict):  # it was changed meanwhile, so it has an owner
            await self._kube.apply(DEPLOYMENT, only, force=False, manager=f"{MANAGER}-replicas")

    async def _foreign(self, kind: Kind, body: Json, endpoint: Json) -> Fault | None:
        """The fault that an object of this name exists which the endpoint does not own."""
        name, namespace = body["metadata"]["name"], body["metadata"]["namespace"]
        found = await self._kube.find(kind, name, namespace=namespace)
        if found is None or is_owned_by(found, endpoint["metadata"]["uid"]):
            return None
        nameless = kind == SERVICE and name == endpoint["metadata"]["name"]
        return Fault(reason=CHILD_FOREIGN, message=foreign_message(kind, body, "endpoint"), nameless=nameless)

    async def _scale_others(
        self, endpoint: Json, decision: EndpointDecision, deployments: list[Json], rendered: Collection[str]
    ) -> None:
        """Scale the Deployments of other revisions than the one that is rendered, or delete them."""
        ref = ref_of(ENDPOINT, endpoint)
        for deployment in deployments:
            metadata = deployment["metadata"]
            labels = metadata.get("labels", {})
            if labels.get(COMPONENT) != SERVER or not is_owned_by(deployment, endpoint["metadata"]["uid"]):
                continue
            revision = labels.get(REVISION_LABEL, "")
            if revision not in decision.scale:
                await self._remove(DEPLOYMENT, ref, metadata["name"], metadata["uid"])
            elif (
                metadata["name"] not in rendered
                and deployment["spec"].get("replicas") != decision.scale[revision]
            ):
                written = await self._kube.patch(
                    DEPLOYMENT,
                    revision_name(ref.name, revision),
                    {"spec": {"replicas": decision.scale[revision]}},
                    namespace=ref.namespace,
                )
                self._children.observed(DEPLOYMENT, written)

    async def _remove_unneeded(self, ref: Ref, kind: Kind, name: str, uid: str, now: float) -> None:
        memory = self._applied.setdefault(ref, {})
        known = memory.get((kind, name))
        if known and known[0] == "":
            return
        found = await self._kube.find(kind, name, namespace=ref.namespace)
        if found is not None and is_owned_by(found, uid):
            await self._remove(kind, ref, name, found["metadata"]["uid"])
        memory[kind, name] = ("", now)

    async def _remove(self, kind: Kind, ref: Ref, name: str, uid: str) -> None:
        with suppress(NotFound, Conflict):  # it is gone, or another object has its name
            await self._kube.delete(kind, name, namespace=ref.namespace, uid=uid)
        self._applied.get(ref, {}).pop((kind, name), None)


def _optional(endpoint: str) -> list[tuple[Kind, str]]:
    """The objects that an endpoint has at some times only."""
    autoscalers = [(HPA, name) for name in autoscaler_names(endpoint)]
    return [*autoscalers, (SERVICE, canary_name(endpoint)), (CONFIG_MAP, rollout_name(endpoint))]
