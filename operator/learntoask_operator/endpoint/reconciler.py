"""Reconciles an AskEndpoint: observe, decide, write the status, apply."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from learntoask.core.documents.input_checks import explain
from learntoask.core.json_object import Json
from learntoask.core.manifest import AskEndpoint, EndpointSpec, PolicyReference
from learntoask.core.network.address import join_host_port
from learntoask.core.status.endpoint import EndpointStatus
from learntoask.kube import DEPLOYMENT, ENDPOINT, POD, RUN, Kind, Kube, NotFound, merge_patch
from pydantic import ValidationError

from learntoask_operator.cache.children import ChildCache
from learntoask_operator.endpoint.apply import EndpointObjects
from learntoask_operator.endpoint.decide import EndpointDecision, Target, decide
from learntoask_operator.endpoint.findings import Views
from learntoask_operator.endpoint.gateways import GatewayBoard
from learntoask_operator.endpoint.observe import ObservedEndpoint, ObservedServers, observe
from learntoask_operator.endpoint.policy import follows_run, resolve_policy, waiting_for
from learntoask_operator.endpoint.render.objects import Objects, render, revision_of
from learntoask_operator.endpoint.render.pods import PORT
from learntoask_operator.endpoint.render.servers import server_template
from learntoask_operator.endpoint.status import events_of, fault_in, refused_status, status_of
from learntoask_operator.events import EventQueue
from learntoask_operator.loop import Ref, ref_of
from learntoask_operator.metrics import Metrics
from learntoask_operator.settings import Settings

_FOLLOW_SECONDS = 30.0  # between two looks at the run that the endpoint follows
_FAULT_SECONDS = 30.0  # until objects that could not be applied are tried again
_AGAIN_SECONDS = 600.0  # between two reconciles of an endpoint where nothing happens


class EndpointReconciler:
    """See loop.Reconciler. `observed` gets each endpoint that was written, so that the next reconcile knows it, and
    `gone` each one that turns out to be deleted."""

    kind = ENDPOINT

    def __init__(
        self,
        *,
        kube: Kube,
        children: ChildCache,
        gateways: GatewayBoard,
        events: EventQueue,
        settings: Settings,
        metrics: Metrics,
        observed: Callable[[Kind, Json], None],
        gone: Callable[[Kind, Json], None],
        clock: Callable[[], float],
    ) -> None:
        self._kube, self._children, self._gateways, self._events = kube, children, gateways, events
        self._settings, self._metrics, self._observed, self._clock = settings, metrics, observed, clock
        self._gone = gone
        self._objects = EndpointObjects(kube, children)

    def forget(self, ref: Ref) -> None:
        self._objects.forget(ref)
        self._gateways.forget(ref)
        self._metrics.endpoints.forget(ref)

    async def reconcile(self, body: Json) -> float | None:
        if body["metadata"].get("deletionTimestamp"):
            return None
        ref, now = ref_of(ENDPOINT, body), self._clock()
        before = EndpointStatus.model_validate(body.get("status") or {})
        try:
            spec = _spec_of(body)
        except ValidationError as error:
            await self._write(
                body, before, refused_status(before, body, explain(error, AskEndpoint), now=now)
            )
            return None  # an edit wakes the endpoint
        run = await self._followed(ref, spec)
        policy = resolve_policy(spec.policy, run, before.revisions)
        pods = self._children.of(ref, POD)
        observed = observe(self._children.of(ref, DEPLOYMENT), pods, uid=body["metadata"]["uid"], now=now)
        decision = None if policy is None else self._decide(before, spec, policy, observed, now=now)
        describe = partial(
            status_of,
            body=body,
            spec=spec,
            decision=decision,
            observed=observed,
            views=Views(address=self._settings.progress_address, seen=self._gateways.views(ref)),
            waiting="" if policy else waiting_for(spec.policy, run),
            now=now,
        )
        # The decision is remembered before it is carried out: a reconcile that is cut short is repeated, not forgotten.
        fault = self._objects.fault(ref) if self._objects.known(ref) else fault_in(before)
        after = describe(before, fault=fault)
        written = await self._write(body, before, after)
        if written is None:
            return None
        wakes = [now + _AGAIN_SECONDS]
        if follows_run(spec.policy):
            wakes.append(now + _FOLLOW_SECONDS)
        if decision is not None and policy is not None:
            self._tell_gateways(ref, decision, observed, pods)
            objects = self._render(written, spec, policy, decision)
            fault = await self._objects.carry_out(written, objects, decision, now=now)
            await self._write(written, after, describe(after, fault=fault))
            if fault is not None:
                wakes.append(now + _FAULT_SECONDS)
            if decision.look_again is not None:
                wakes.append(decision.look_again)
        return min(wakes)

    async def _followed(self, ref: Ref, spec: EndpointSpec) -> Json | None:
        """The run that decides what is served, if one does and it exists."""
        if not follows_run(spec.policy):
            return None
        return await self._kube.find(RUN, str(spec.policy.run), namespace=ref.namespace)

    def _decide(
        self,
        before: EndpointStatus,
        spec: EndpointSpec,
        policy: PolicyReference,
        observed: ObservedEndpoint,
        *,
        now: float,
    ) -> EndpointDecision:
        return decide(
            target=Target(name=revision_of(policy, spec, self._settings), policy=policy),
            previous=before.target,
            revisions=before.revisions,
            servers=observed.servers,
            replicas=spec.replicas,
            rollout=spec.rollout,
            now=now,
        )

    def _render(
        self, body: Json, spec: EndpointSpec, policy: PolicyReference, decision: EndpointDecision
    ) -> Objects:
        templates = {decision.revisions[0].name: server_template(policy, spec, self._settings)}
        return render(body, spec, decision, templates=templates, settings=self._settings)

    def _tell_gateways(
        self, ref: Ref, decision: EndpointDecision, observed: ObservedEndpoint, pods: Sequence[Json]
    ) -> None:
        """Tell the gateways where the servers are that get traffic. `pods` are all of the endpoint."""
        found = [observed.servers.get(revision, ObservedServers()).addresses for revision in decision.traffic]
        addresses = sorted(join_host_port(ip, PORT) for pods in found for ip in pods.values())
        self._gateways.publish(ref, tuple(addresses), pods={pod["metadata"]["name"] for pod in pods})

    async def _write(self, body: Json, before: EndpointStatus, after: EndpointStatus) -> Json | None:
        """Patch what changed in the status, and post the Events about it. Return the endpoint as it is then, or None if
        it is gone."""
        self._metrics.endpoints.status_written(ref_of(ENDPOINT, body), after)
        patch = merge_patch(
            body.get("status") or {}, after.model_dump(mode="json", by_alias=True, exclude_none=True)
        )
        if not patch:
            return body
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
            return None
        self._observed(ENDPOINT, written)
        for event in events_of(before, after):
            self._events.post(body, event)
        return written


def _spec_of(body: Json) -> EndpointSpec:
    manifest = {name: body[name] for name in ("apiVersion", "kind", "spec")}
    return AskEndpoint.model_validate(manifest | {"metadata": {"name": body["metadata"]["name"]}}).spec
