"""One pass over an AskEndpoint: observe, decide, apply, tell."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from learntoask.core.digest import digest_of
from learntoask.core.json_object import Json
from learntoask.core.manifest import AskEndpoint
from learntoask.core.status.conditions import CHILD_FOREIGN
from learntoask.core.status.endpoint import EndpointStatus
from learntoask.kube import DEPLOYMENT, ENDPOINT, HPA, POD, RUN, Conflict, Kind, Kube, NotFound, merge_patch

from learntoask_operator.cache.children import Children, owned_by
from learntoask_operator.endpoint.decide import Decision, Target, decide
from learntoask_operator.endpoint.labels import COMPONENT, REVISION, SERVER, revision_name
from learntoask_operator.endpoint.observe import gateway_of, servers_of
from learntoask_operator.endpoint.policy import follows, resolved
from learntoask_operator.endpoint.render.objects import Objects, render, revision_of
from learntoask_operator.endpoint.render.pods import server_template
from learntoask_operator.endpoint.status import events_of, status_of
from learntoask_operator.events import Events
from learntoask_operator.loop import Ref, ref_of
from learntoask_operator.metrics import Metrics
from learntoask_operator.settings import Settings

_FOLLOW_SECONDS = 30.0  # a followed run is looked at so often
_AGAIN_SECONDS = 600.0  # what was applied is applied again, should somebody have changed or removed it


class ChildForeign(Exception):
    """An object of a child's name is somebody else's."""


class EndpointReconciler:
    """See loop.Reconciler."""

    kind = ENDPOINT

    def __init__(
        self,
        kube: Kube,
        children: Children,
        events: Events,
        *,
        settings: Settings,
        metrics: Metrics,
        seen: Callable[[Kind, Json], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`seen` is told of what was written: the loop's `saw`, so that no pass acts on an older status."""
        self._kube, self._children, self._events = kube, children, events
        self._settings, self._metrics, self._seen, self._clock = settings, metrics, seen, clock
        # By endpoint: digest of each object as last applied ("" for one that is not to be there), and when.
        self._applied: dict[Ref, dict[tuple[Kind, str], tuple[str, float]]] = {}
        self._foreign: set[tuple[Ref, Kind, str]] = set()  # told of already

    def forget(self, ref: Ref) -> None:
        self._applied.pop(ref, None)
        self._foreign = {one for one in self._foreign if one[0] != ref}
        self._metrics.endpoints.forget(ref)

    async def reconcile(self, seen: Json) -> float | None:
        if seen["metadata"].get("deletionTimestamp"):
            return None
        ref, now = ref_of(ENDPOINT, seen), self._clock()
        spec = AskEndpoint.model_validate(
            {name: seen[name] for name in ("apiVersion", "kind", "spec")} | {"metadata": {"name": ref.name}}
        ).spec
        before = EndpointStatus.model_validate(seen.get("status") or {})
        run = None
        if follows(spec.policy):
            run = await self._kube.find(RUN, str(spec.policy.run), namespace=ref.namespace)
        policy = resolved(spec.policy, run, before.revisions)

        uid = seen["metadata"]["uid"]
        deployments, pods = self._children.of(ref, DEPLOYMENT), self._children.of(ref, POD)
        servers, gateway = servers_of(deployments, pods, uid=uid), gateway_of(deployments, pods, uid=uid)
        decision, target = None, ""
        if policy is not None:
            target = revision_of(policy, spec, self._settings)
            decision = decide(
                target=Target(name=target, policy=policy),
                previous=before.target,
                revisions=before.revisions,
                servers=servers,
                replicas=spec.replicas,
                rollout=spec.rollout,
                now=now,
            )
        after = status_of(
            before,
            name=ref.name,
            namespace=ref.namespace,
            generation=seen["metadata"]["generation"],
            spec=spec,
            decision=decision,
            target=target,
            servers=servers,
            gateway=gateway,
            now=now,
        )
        # What was decided is remembered before it is done: a pass that is cut short is then repeated, not forgotten.
        await self._tell(seen, before, after)
        self._metrics.endpoints.told(ref, after)
        if decision is not None and policy is not None:
            template = server_template(policy, spec, self._settings)
            objects = render(seen, spec, decision, templates={target: template}, settings=self._settings)
            await self._apply(ref, seen, objects, deployments, now)
            await self._scale(ref, uid, decision, deployments, target)
            if spec.autoscaling is None:
                await self._without_autoscaler(ref, uid, now)
        wakes = [now + _AGAIN_SECONDS]
        if follows(spec.policy):
            wakes.append(now + _FOLLOW_SECONDS)
        if decision is not None and decision.look_again is not None:
            wakes.append(decision.look_again)
        return min(wakes)

    async def _tell(self, seen: Json, before: EndpointStatus, after: EndpointStatus) -> None:
        patch = merge_patch(
            seen.get("status") or {}, after.model_dump(mode="json", by_alias=True, exclude_none=True)
        )
        if not patch:
            return
        metadata = seen["metadata"]
        written = await self._kube.patch_status(
            ENDPOINT,
            metadata["name"],
            patch,
            namespace=metadata["namespace"],
            resource_version=metadata["resourceVersion"],
        )
        self._seen(ENDPOINT, written)
        for told in events_of(before, after):
            self._events.post(seen, reason=told.reason, message=told.message, type=told.type)

    async def _apply(
        self, ref: Ref, seen: Json, objects: Objects, deployments: list[Json], now: float
    ) -> None:
        """Apply what differs from what was applied last, or is gone."""
        memory = self._applied.setdefault(ref, {})
        there = {one["metadata"]["name"] for one in deployments}
        for kind, body in objects:
            name, digest = body["metadata"]["name"], digest_of(body)
            known = memory.get((kind, name))
            missing = kind == DEPLOYMENT and name not in there
            if known and known[0] == digest and now < known[1] + _AGAIN_SECONDS and not missing:
                continue
            if known is None or not known[0]:
                await self._check_ours(kind, body, seen)
            written = await self._kube.apply(kind, body)
            if kind == DEPLOYMENT:
                self._children.saw(kind, written)
            memory[kind, name] = (digest, now)

    async def _check_ours(self, kind: Kind, body: Json, seen: Json) -> None:
        """What somebody else made is left alone. Raises ChildForeign."""
        metadata = body["metadata"]
        found = await self._kube.find(kind, metadata["name"], namespace=metadata["namespace"])
        if found is not None and not owned_by(found, seen["metadata"]["uid"]):
            message = f"{kind.kind} {metadata['name']} exists and is not this endpoint's; remove or rename it"
            about = (ref_of(ENDPOINT, seen), kind, metadata["name"])
            if about not in self._foreign:
                self._foreign.add(about)
                self._events.post(seen, reason=CHILD_FOREIGN, message=message, type="Warning")
            raise ChildForeign(message)

    async def _scale(
        self, ref: Ref, uid: str, decision: Decision, deployments: list[Json], target: str
    ) -> None:
        """Servers of earlier revisions: as many as they are to have still, or none."""
        for deployment in deployments:
            metadata = deployment["metadata"]
            labels = metadata.get("labels", {})
            if labels.get(COMPONENT) != SERVER or not owned_by(deployment, uid):
                continue
            revision = labels.get(REVISION, "")
            if revision not in decision.scale:
                await self._remove(DEPLOYMENT, ref, metadata["name"], metadata["uid"])
            elif revision != target and deployment["spec"].get("replicas") != decision.scale[revision]:
                written = await self._kube.patch(
                    DEPLOYMENT,
                    revision_name(ref.name, revision),
                    {"spec": {"replicas": decision.scale[revision]}},
                    namespace=ref.namespace,
                )
                self._children.saw(DEPLOYMENT, written)

    async def _without_autoscaler(self, ref: Ref, uid: str, now: float) -> None:
        memory = self._applied.setdefault(ref, {})
        known = memory.get((HPA, ref.name))
        if known and known[0] == "":
            return
        found = await self._kube.find(HPA, ref.name, namespace=ref.namespace)
        if found is not None and owned_by(found, uid):
            await self._remove(HPA, ref, ref.name, found["metadata"]["uid"])
        memory[HPA, ref.name] = ("", now)

    async def _remove(self, kind: Kind, ref: Ref, name: str, uid: str) -> None:
        with suppress(NotFound, Conflict):  # gone, or another one of its name
            await self._kube.delete(kind, name, namespace=ref.namespace, uid=uid)
        self._applied.get(ref, {}).pop((kind, name), None)
