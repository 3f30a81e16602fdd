"""Reconciles an AskEndpoint: observe, decide, write the status, apply."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from learntoask.core.documents.input_checks import explain
from learntoask.core.json_object import Json
from learntoask.core.manifest import AskEndpoint, EndpointSpec, PolicyReference
from learntoask.core.network.address import join_host_port
from learntoask.core.status.endpoint import EndpointStatus
from learntoask.core.status.rollout import RolloutCounts, total
from learntoask.kube import DEPLOYMENT, ENDPOINT, HPA, POD, RUN, Kind, Kube, merge_patch
from learntoask.progress.gateways import Servers
from learntoask.rollout.decide import is_over
from pydantic import ValidationError

from learntoask_operator.cache.children import ChildCache
from learntoask_operator.endpoint.apply import EndpointObjects
from learntoask_operator.endpoint.decide import EndpointDecision, decide
from learntoask_operator.endpoint.findings import Views
from learntoask_operator.endpoint.gateways import GatewayBoard, Source
from learntoask_operator.endpoint.observe import ObservedEndpoint, ObservedServers, observe
from learntoask_operator.endpoint.policy import follows_run, resolve_policy, waiting_for
from learntoask_operator.endpoint.render.objects import Objects, render, revision_of, rollout_text
from learntoask_operator.endpoint.render.pods import PORT
from learntoask_operator.endpoint.render.servers import server_template
from learntoask_operator.endpoint.status import events_of, fault_in, refused_status, status_of
from learntoask_operator.endpoint.trial import Target, try_target
from learntoask_operator.events import EventQueue
from learntoask_operator.loop import Ref, ref_of
from learntoask_operator.metrics import Metrics
from learntoask_operator.settings import Settings
from learntoask_operator.status_writer import AGAIN_SECONDS, StatusWriter

_FOLLOW_SECONDS = 30.0  # between two looks at the run that the endpoint follows
_FAULT_SECONDS = 30.0  # until objects that could not be applied are tried again
_QUIET_SECONDS = 600.0  # between two reconciles of an endpoint where nothing happens


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
        self._settings, self._metrics, self._clock = settings, metrics, clock
        self._statuses = StatusWriter(kube, ENDPOINT, observed=observed, gone=gone)
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
            refused = refused_status(before, body, explain(error, AskEndpoint), now=now)
            written = await self._write(body, before, refused)
            return now + AGAIN_SECONDS if written is None else None  # an edit wakes the endpoint
        run = await self._followed(ref, spec)
        policy = resolve_policy(spec.policy, run, before.revisions)
        pods = self._children.of(ref, POD)
        observed = observe(
            self._children.of(ref, DEPLOYMENT),
            pods,
            autoscalers=self._children.of(ref, HPA),
            uid=body["metadata"]["uid"],
            now=now,
        )
        tally = self._tally(ref, before, pods)
        decision = (
            None
            if policy is None
            else self._decide(body, before, spec, policy, observed, counts=tally.counts, now=now)
        )
        describe = partial(
            status_of,
            body=body,
            spec=spec,
            decision=decision,
            observed=observed,
            views=Views(
                address=self._settings.progress_address,
                seen=self._gateways.views(ref),
                troubles=self._gateways.troubles(ref),
            ),
            waiting="" if policy else waiting_for(spec.policy, run),
            rollout_gone=tally.gone,
            now=now,
        )
        # The decision is remembered before it is carried out: a reconcile that is cut short is repeated, not forgotten.
        fault = self._objects.fault(ref) if self._objects.known(ref) else fault_in(before)
        after = describe(before, fault=fault)
        written = await self._write(body, before, after)
        if written is None:
            return now + AGAIN_SECONDS
        self._gateways.forget_counts(ref, tally.sources)  # the status has them now
        wakes = [now + _QUIET_SECONDS]
        if follows_run(spec.policy):
            wakes.append(now + _FOLLOW_SECONDS)
        if decision is not None and policy is not None:
            self._tell_gateways(ref, spec, decision, observed, pods)
            objects = self._render(written, spec, policy, decision)
            fault = await self._objects.carry_out(written, objects, decision, now=now)
            if await self._write(written, after, describe(after, fault=fault)) is None:
                return now + AGAIN_SECONDS
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

    def _tally(self, ref: Ref, before: EndpointStatus, pods: Sequence[Json]) -> _Tally:
        """Add up what gateways have counted. What those have counted that are gone is kept in the status."""
        if before.rollout is None or is_over(before.rollout):
            return _Tally(counts=RolloutCounts(), gone=before.rollout_gone)
        living = {pod["metadata"]["name"] for pod in pods}
        counted = self._gateways.counts(ref, before.rollout.id)
        gone = {
            source: counts
            for source, counts in counted.items()
            # A pod that was never seen is a new one, and will be.
            if source[0] not in living and self._gateways.has_seen(ref, source[0])
        }
        base = total([before.rollout_gone, *gone.values()])
        running = [counts for source, counts in counted.items() if source not in gone]
        return _Tally(counts=total([base, *running]), gone=base, sources=tuple(gone))

    def _decide(
        self,
        body: Json,
        before: EndpointStatus,
        spec: EndpointSpec,
        policy: PolicyReference,
        observed: ObservedEndpoint,
        *,
        counts: RolloutCounts,
        now: float,
    ) -> EndpointDecision:
        trial = try_target(
            Target(name=revision_of(policy, spec, self._settings), policy=policy),
            before=before.rollout,
            previous=before.target,
            revisions=before.revisions,
            servers=observed.servers,
            replicas=spec.replicas,
            rollout=spec.rollout,
            counts=counts,
            annotations=body["metadata"].get("annotations") or {},
            now=now,
        )
        return decide(
            trial=trial,
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
        # While another policy waits for the end of a rollout, the spec says nothing about the one that is tried.
        rendered = revision_of(policy, spec, self._settings) == decision.revisions[0].name
        template = {decision.revisions[0].name: server_template(policy, spec, self._settings)}
        templates = template if rendered else {}
        return render(body, spec, decision, templates=templates, settings=self._settings)

    def _tell_gateways(
        self,
        ref: Ref,
        spec: EndpointSpec,
        decision: EndpointDecision,
        observed: ObservedEndpoint,
        pods: Sequence[Json],
    ) -> None:
        """Tell the gateways where the servers are that get traffic, and about a rollout. `pods` are all of the
        endpoint."""
        servers = Servers(
            addresses=_addresses(observed, decision.traffic),
            canary=_addresses(observed, (decision.canary,)),
            rollout="" if decision.told is None else rollout_text(spec, decision.told),
        )
        self._gateways.publish(ref, servers, pods={pod["metadata"]["name"] for pod in pods})

    async def _write(self, body: Json, before: EndpointStatus, after: EndpointStatus) -> Json | None:
        """Write what changed in the status, and post the Events about it. Return the endpoint as it is then, or None if
        it has changed since it was observed, or is gone."""
        self._metrics.endpoints.status_written(ref_of(ENDPOINT, body), after)
        patch = merge_patch(
            body.get("status") or {}, after.model_dump(mode="json", by_alias=True, exclude_none=True)
        )
        written = await self._statuses.write(body, patch)
        for event in events_of(before, after) if patch and written is not None else ():
            self._events.post(body, event)
        return written


@dataclass(frozen=True, kw_only=True)
class _Tally:
    """Counts of all gateways, those of gateways that are gone (`sources`), and the latter's share."""

    counts: RolloutCounts
    gone: RolloutCounts
    sources: tuple[Source, ...] = ()


def _addresses(observed: ObservedEndpoint, revisions: Iterable[str]) -> tuple[str, ...]:
    """`ip:port` of the ready servers of revisions."""
    found = [observed.servers.get(revision, ObservedServers()).addresses for revision in revisions]
    return tuple(sorted(join_host_port(ip, PORT) for pods in found for ip in pods.values()))


def _spec_of(body: Json) -> EndpointSpec:
    manifest = {name: body[name] for name in ("apiVersion", "kind", "spec")}
    return AskEndpoint.model_validate(manifest | {"metadata": {"name": body["metadata"]["name"]}}).spec
