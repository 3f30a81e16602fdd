"""Reconciles an AskEndpoint: observe, decide, write the status, apply."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from learntoask.core.digest import digest_of
from learntoask.core.json_object import Json
from learntoask.core.manifest import AskEndpoint, EndpointSpec, PolicyReference
from learntoask.core.pod_contract import REVISION_LABEL
from learntoask.core.status.conditions import CHILD_FOREIGN
from learntoask.core.status.endpoint import EndpointStatus
from learntoask.kube import DEPLOYMENT, ENDPOINT, HPA, POD, RUN, Conflict, Kind, Kube, NotFound, merge_patch

from learntoask_operator.cache.children import ChildCache
from learntoask_operator.endpoint.decide import EndpointDecision, Target, decide
from learntoask_operator.endpoint.labels import SERVER, revision_name
from learntoask_operator.endpoint.observe import observe
from learntoask_operator.endpoint.policy import follows_run, resolve_policy
from learntoask_operator.endpoint.render.objects import Objects, render, revision_of
from learntoask_operator.endpoint.render.servers import server_template
from learntoask_operator.endpoint.status import events_of, status_of
from learntoask_operator.events import Event, EventQueue
from learntoask_operator.loop import Ref, ref_of
from learntoask_operator.metrics import Metrics
from learntoask_operator.ownership import COMPONENT, is_owned_by
from learntoask_operator.settings import Settings

_FOLLOW_SECONDS = 30.0  # between two looks at the run that the endpoint follows
_AGAIN_SECONDS = 600.0  # until an unchanged object is applied again, should another client have changed it


class ChildForeign(Exception):
    """An object with the name of a child exists and belongs to another owner."""


class EndpointReconciler:
    """See loop.Reconciler. `observed` gets each endpoint that was written, so that the next reconcile knows it."""

    kind = ENDPOINT

    def __init__(
        self,
        *,
        kube: Kube,
        children: ChildCache,
        events: EventQueue,
        settings: Settings,
        metrics: Metrics,
        observed: Callable[[Kind, Json], None],
        clock: Callable[[], float],
    ) -> None:
        self._kube, self._children, self._events = kube, children, events
        self._settings, self._metrics, self._observed, self._clock = settings, metrics, observed, clock
        # By endpoint: digest of each object as last applied ("" for one that must not exist), and when.
        self._applied: dict[Ref, dict[tuple[Kind, str], tuple[str, float]]] = {}
        self._foreign: set[tuple[Ref, Kind, str]] = set()  # an Event was posted about these

    def forget(self, ref: Ref) -> None:
        self._applied.pop(ref, None)
        self._foreign = {foreign for foreign in self._foreign if foreign[0] != ref}
        self._metrics.endpoints.forget(ref)

    async def reconcile(self, body: Json) -> float | None:
        metadata = body["metadata"]
        if metadata.get("deletionTimestamp"):
            return None
        ref, now = ref_of(ENDPOINT, body), self._clock()
        spec = _spec_of(body)
        before = EndpointStatus.model_validate(body.get("status") or {})
        policy = await self._policy(ref, spec, before)
        deployments, pods = self._children.of(ref, DEPLOYMENT), self._children.of(ref, POD)
        observed = observe(deployments, pods, uid=metadata["uid"])
        decision = None
        if policy is not None:
            decision = decide(
                target=Target(name=revision_of(policy, spec, self._settings), policy=policy),
                previous=before.target,
                revisions=before.revisions,
                servers=observed.servers,
                replicas=spec.replicas,
                rollout=spec.rollout,
                now=now,
            )
        after = status_of(before, body, spec, decision, observed, now=now)
        # The decision is remembered before it is carried out: a reconcile that is cut short is repeated, not forgotten.
        await self._write(body, before, after)
        self._metrics.endpoints.status_written(ref, after)
        if decision is not None and policy is not None:
            await self._carry_out(body, spec, policy, decision, deployments, now=now)
        wakes = [now + _AGAIN_SECONDS]
        if follows_run(spec.policy):
            wakes.append(now + _FOLLOW_SECONDS)
        if decision is not None and decision.look_again is not None:
            wakes.append(decision.look_again)
        return min(wakes)

    async def _policy(self, ref: Ref, spec: EndpointSpec, before: EndpointStatus) -> PolicyReference | None:
        run = None
        if follows_run(spec.policy):
            run = await self._kube.find(RUN, str(spec.policy.run), namespace=ref.namespace)
        return resolve_policy(spec.policy, run, before.revisions)

    async def _write(self, body: Json, before: EndpointStatus, after: EndpointStatus) -> None:
        """Patch what changed in the status, and post the Events about it."""
        patch = merge_patch(
            body.get("status") or {}, after.model_dump(mode="json", by_alias=True, exclude_none=True)
        )
        if not patch:
            return
        metadata = body["metadata"]
        written = await self._kube.patch_status(
            ENDPOINT,
            metadata["name"],
            patch,
            namespace=metadata["namespace"],
            resource_version=metadata["resourceVersion"],
        )
        self._observed(ENDPOINT, written)
        for event in events_of(before, after):
            self._events.post(body, event)

    async def _carry_out(
        self,
        body: Json,
        spec: EndpointSpec,
        policy: PolicyReference,
        decision: EndpointDecision,
        deployments: list[Json],
        *,
        now: float,
    ) -> None:
        ref, target = ref_of(ENDPOINT, body), decision.revisions[0].name
        templates = {target: server_template(policy, spec, self._settings)}
        objects = render(body, spec, decision, templates=templates, settings=self._settings)
        await self._apply(body, objects, deployments, now=now)
        await self._scale_old(body, decision, deployments)
        if spec.autoscaling is None:
            await self._remove_autoscaler(ref, body["metadata"]["uid"], now)

    async def _apply(self, endpoint: Json, objects: Objects, deployments: list[Json], *, now: float) -> None:
        """Apply the objects that changed since they were applied last, are missing, or are due again."""
        memory = self._applied.setdefault(ref_of(ENDPOINT, endpoint), {})
        existing = {deployment["metadata"]["name"] for deployment in deployments}
        for kind, body in objects:
            name, digest = body["metadata"]["name"], digest_of(body)
            known = memory.get((kind, name))
            missing = kind == DEPLOYMENT and name not in existing
            if known and known[0] == digest and now < known[1] + _AGAIN_SECONDS and not missing:
                continue
            if known is None or not known[0]:
                await self._check_owner(kind, body, endpoint)
            written = await self._kube.apply(kind, body)
            if kind == DEPLOYMENT:
                self._children.observed(kind, written)
            memory[kind, name] = (digest, now)

    async def _check_owner(self, kind: Kind, body: Json, endpoint: Json) -> None:
        """Raise ChildForeign, once with an Event, if an object of this name exists that the endpoint does not own."""
        metadata = body["metadata"]
        found = await self._kube.find(kind, metadata["name"], namespace=metadata["namespace"])
        if found is not None and not is_owned_by(found, endpoint["metadata"]["uid"]):
            message = f"{kind.kind} {metadata['name']} exists and does not belong to this endpoint; remove or rename it"
            about = (ref_of(ENDPOINT, endpoint), kind, metadata["name"])
            if about not in self._foreign:
                self._foreign.add(about)
                self._events.post(endpoint, Event(reason=CHILD_FOREIGN, message=message, type="Warning"))
            raise ChildForeign(message)

    async def _scale_old(self, endpoint: Json, decision: EndpointDecision, deployments: list[Json]) -> None:
        """Scale the Deployments of earlier revisions, or delete them."""
        ref, target = ref_of(ENDPOINT, endpoint), decision.revisions[0].name
        for deployment in deployments:
            metadata = deployment["metadata"]
            labels = metadata.get("labels", {})
            if labels.get(COMPONENT) != SERVER or not is_owned_by(deployment, endpoint["metadata"]["uid"]):
                continue
            revision = labels.get(REVISION_LABEL, "")
            if revision not in decision.scale:
                await self._remove(DEPLOYMENT, ref, metadata["name"], metadata["uid"])
            elif revision != target and deployment["spec"].get("replicas") != decision.scale[revision]:
                written = await self._kube.patch(
                    DEPLOYMENT,
                    revision_name(ref.name, revision),
                    {"spec": {"replicas": decision.scale[revision]}},
                    namespace=ref.namespace,
                )
                self._children.observed(DEPLOYMENT, written)

    async def _remove_autoscaler(self, ref: Ref, uid: str, now: float) -> None:
        memory = self._applied.setdefault(ref, {})
        known = memory.get((HPA, ref.name))
        if known and known[0] == "":
            return
        found = await self._kube.find(HPA, ref.name, namespace=ref.namespace)
        if found is not None and is_owned_by(found, uid):
            await self._remove(HPA, ref, ref.name, found["metadata"]["uid"])
        memory[HPA, ref.name] = ("", now)

    async def _remove(self, kind: Kind, ref: Ref, name: str, uid: str) -> None:
        with suppress(NotFound, Conflict):  # it is gone, or another object has its name
            await self._kube.delete(kind, name, namespace=ref.namespace, uid=uid)
        self._applied.get(ref, {}).pop((kind, name), None)


def _spec_of(body: Json) -> EndpointSpec:
    manifest = {name: body[name] for name in ("apiVersion", "kind", "spec")}
    return AskEndpoint.model_validate(manifest | {"metadata": {"name": body["metadata"]["name"]}}).spec
