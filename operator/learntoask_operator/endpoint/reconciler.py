"""One reconcile of an AskEndpoint: observe, decide, write the status, apply."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from learntoask.core.digest import digest_of
from learntoask.core.input_checks import explain
from learntoask.core.json_object import Json
from learntoask.core.manifest import AskEndpoint, EndpointSpec, PolicyReference
from learntoask.core.pod_contract import REVISION_LABEL
from learntoask.core.status.conditions import CHILD_FOREIGN, CHILD_REFUSED, INVALID_SPEC
from learntoask.core.status.endpoint import EndpointStatus
from learntoask.kube import (
    DEPLOYMENT,
    ENDPOINT,
    HPA,
    POD,
    RUN,
    Conflict,
    Forbidden,
    Invalid,
    Kind,
    Kube,
    NotFound,
    merge_patch,
)
from pydantic import ValidationError

from learntoask_operator.cache.children import ChildCache
from learntoask_operator.cache.projections import PROJECTIONS
from learntoask_operator.endpoint.decide import EndpointDecision, Target, decide
from learntoask_operator.endpoint.labels import SERVER, revision_name
from learntoask_operator.endpoint.observe import Refusal, observe
from learntoask_operator.endpoint.policy import follows_run, resolve_policy
from learntoask_operator.endpoint.render.objects import Objects, render, revision_of
from learntoask_operator.endpoint.render.servers import server_template
from learntoask_operator.endpoint.status import events_of, refused_status, status_of
from learntoask_operator.events import EventQueue
from learntoask_operator.loop import Ref, ref_of
from learntoask_operator.metrics import Metrics
from learntoask_operator.ownership import COMPONENT, is_owned_by
from learntoask_operator.settings import Settings

_SOON = 0.5  # until what has just been found out is written down
_REFUSED_SECONDS = 30.0  # until what was refused is tried again
_FOLLOW_SECONDS = 30.0  # between two looks at the run that the endpoint follows
_AGAIN_SECONDS = 600.0  # until an unchanged object is applied again, should another client have changed it


class ChildForeign(Exception):
    """An object with the name of a child exists and belongs to another owner."""


class EndpointReconciler:
    """See loop.Reconciler. `observed` gets each endpoint that was written, so that the next reconcile knows it, and
    `gone` each one that turns out to be deleted."""

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
        gone: Callable[[Kind, Json], None],
        clock: Callable[[], float],
    ) -> None:
        self._gone = gone
        self._kube, self._children, self._events = kube, children, events
        self._settings, self._metrics, self._observed, self._clock = settings, metrics, observed, clock
        # By endpoint: digest of each object as last applied ("" for one that must not exist), and when.
        self._applied: dict[Ref, dict[tuple[Kind, str], tuple[str, float]]] = {}
        self._refused: dict[Ref, Refusal] = {}  # what kept the last reconcile from being carried out

    def forget(self, ref: Ref) -> None:
        self._applied.pop(ref, None)
        self._refused.pop(ref, None)
        self._metrics.endpoints.forget(ref)

    async def reconcile(self, body: Json) -> float | None:
        metadata = body["metadata"]
        if metadata.get("deletionTimestamp"):
            return None
        ref, now = ref_of(ENDPOINT, body), self._clock()
        before = EndpointStatus.model_validate(body.get("status") or {})
        try:
            spec = _spec_of(body)
        except ValidationError as error:
            invalid = Refusal(reason=INVALID_SPEC, message=explain(error, AskEndpoint))
            await self._write(body, before, refused_status(before, body, invalid, now=now))
            return None  # until it is edited
        run = await self._run(ref, spec)
        policy = resolve_policy(spec.policy, run, before.revisions)
        deployments, pods = self._children.of(ref, DEPLOYMENT), self._children.of(ref, POD)
        refusal = self._refused.get(ref)
        observed = replace(
            observe(deployments, pods, uid=metadata["uid"]), run_missing=run is None, refusal=refusal
        )
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
        if not await self._write(body, before, after):
            return None
        if decision is not None and policy is not None:
            try:
                await self._carry_out(body, spec, policy, decision, deployments, now=now)
                self._refused.pop(ref, None)
            except (Invalid, Forbidden, ChildForeign) as error:
                reason = CHILD_FOREIGN if isinstance(error, ChildForeign) else CHILD_REFUSED
                self._refused[ref] = Refusal(reason=reason, message=str(error))
                return now + (_SOON if self._refused[ref] != refusal else _REFUSED_SECONDS)
        wakes = [now + (_SOON if refusal and ref not in self._refused else _AGAIN_SECONDS)]
        if follows_run(spec.policy):
            wakes.append(now + _FOLLOW_SECONDS)
        if decision is not None and decision.look_again is not None:
            wakes.append(decision.look_again)
        return min(wakes)

    async def _run(self, ref: Ref, spec: EndpointSpec) -> Json | None:
        """The run that the endpoint follows; None if it follows none, or if there is none."""
        if not follows_run(spec.policy):
            return None
        return await self._kube.find(RUN, str(spec.policy.run), namespace=ref.namespace)

    async def _write(self, body: Json, before: EndpointStatus, after: EndpointStatus) -> bool:
        """Patch what changed in the status, and post the Events about it. False if the endpoint is gone."""
        self._metrics.endpoints.status_written(ref_of(ENDPOINT, body), after)
        patch = merge_patch(
            body.get("status") or {}, after.model_dump(mode="json", by_alias=True, exclude_none=True)
        )
        if not patch:
            return True
        metadata = body["metadata"]
        try:
            written = await self._kube.patch_status(
                ENDPOINT,
                metadata["name"],
                patch,
                namespace=metadata["namespace"],
                resource_version=metadata["resourceVersion"],
            )
        except NotFound:
            self._gone(ENDPOINT, body)
            return False
        self._observed(ENDPOINT, written)
        for event in events_of(before, after):
            self._events.post(body, event)
        return True

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
        await self._apply(body, objects, now=now)
        await self._scale_old(body, decision, deployments)
        if spec.autoscaling is None:
            await self._remove_autoscaler(ref, body["metadata"]["uid"], now)

    async def _apply(self, endpoint: Json, objects: Objects, *, now: float) -> None:
        """Apply the objects that changed since they were applied last, are missing, or are due again."""
        ref = ref_of(ENDPOINT, endpoint)
        memory = self._applied.setdefault(ref, {})
        existing = {
            (kind, child["metadata"]["name"])
            for kind in PROJECTIONS
            for child in self._children.of(ref, kind)
        }
        for kind, body in objects:
            name, digest = body["metadata"]["name"], digest_of(body)
            known = memory.get((kind, name))
            missing = (kind, name) not in existing
            if known and known[0] == digest and now < known[1] + _AGAIN_SECONDS and not missing:
                continue
            if known is None or not known[0]:
                await self._check_owner(kind, body, endpoint)
            written = await self._kube.apply(kind, body)
            self._children.observed(kind, written)
            memory[kind, name] = (digest, now)

    async def _check_owner(self, kind: Kind, body: Json, endpoint: Json) -> None:
        """Raise ChildForeign if an object of this name exists that the endpoint does not own."""
        metadata = body["metadata"]
        found = await self._kube.find(kind, metadata["name"], namespace=metadata["namespace"])
        if found is not None and not is_owned_by(found, endpoint["metadata"]["uid"]):
            message = f"{kind.kind} {metadata['name']} exists and does not belong to this endpoint; remove or rename it"
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
