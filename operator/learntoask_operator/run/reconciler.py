"""Reconciles a run: observe, decide, act, in an order in which a crash anywhere does no harm."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from learntoask.core.json_object import Json
from learntoask.core.manifest import RunSpec
from learntoask.core.status import conditions as c
from learntoask.core.status.conditions import timestamp
from learntoask.core.status.run import Lineage, RunStatus, ServedAt
from learntoask.kube import (
    CONFIG_MAP,
    DEPLOYMENT,
    ENDPOINT,
    JOB,
    POD,
    RUN,
    SERVICE,
    AlreadyExists,
    Conflict,
    Forbidden,
    Invalid,
    Kind,
    Kube,
    KubeError,
    NotFound,
    merge_patch,
)

from learntoask_operator.cache.children import ChildCache
from learntoask_operator.events import Event, EventQueue
from learntoask_operator.loop import Ref, ref_of
from learntoask_operator.metrics import Metrics
from learntoask_operator.ownership import foreign_message, is_owned_by, refused_message
from learntoask_operator.run.children import RunChildren
from learntoask_operator.run.decide import RunDecision, decide
from learntoask_operator.run.progress import ProgressBoard
from learntoask_operator.run.render.endpoint import client_address, endpoint, endpoint_name
from learntoask_operator.run.status import obstructed_status
from learntoask_operator.settings import Settings
from learntoask_operator.status_writer import AGAIN_SECONDS, StatusWriter

_CACHED = (JOB, DEPLOYMENT, SERVICE, CONFIG_MAP)
_FAULT_SECONDS = 30.0  # until a child that the API server refused is tried again
_KEPT_WHEN_ZERO = ("percent", "exitCode", "attempt", "observedGeneration", "gpuHours", "retryable")
_log = logging.getLogger(__name__)


class RunReconciler:
    """See loop.Reconciler. `observed` gets each run that was written, so that the next reconcile knows it, and `gone`
    each one that turns out to be deleted."""

    kind = RUN

    def __init__(
        self,
        *,
        kube: Kube,
        children: ChildCache,
        events: EventQueue,
        progress: ProgressBoard,
        settings: Settings,
        metrics: Metrics,
        observed: Callable[[Kind, Json], None],
        gone: Callable[[Kind, Json], None],
        clock: Callable[[], float],
    ) -> None:
        self._gone = gone
        self._kube, self._children, self._events = kube, children, events
        self._progress, self._settings = progress, settings
        self._metrics, self._clock = metrics, clock
        self._statuses = StatusWriter(kube, RUN, observed=observed, gone=gone)

    def forget(self, ref: Ref) -> None:
        self._progress.forget(ref)
        self._metrics.runs.forget(ref)

    async def reconcile(self, body: Json) -> float | None:
        if "deletionTimestamp" in body["metadata"]:
            return None  # the garbage collector deletes its children, by their owner references
        run, uid, now = ref_of(RUN, body), body["metadata"]["uid"], self._clock()
        decision = decide(
            body,
            self._children_of(run, uid),
            progress=self._progress.latest(run),
            settings=self._settings,
            now=now,
        )
        if decision.remove:
            self._post(body, decision.events)
            with suppress(NotFound, Conflict):
                await self._kube.delete(RUN, run.name, namespace=run.namespace, uid=uid)
            return None
        jobs = [child for kind, child in decision.creates if kind == JOB]
        with self._children.creating(jobs, at=timestamp(now)):
            if decision.creates and not await self._exists(run, uid):
                self._gone(RUN, body)
                return None
            obstacle = await self._create_and_apply(body, decision)
        status = decision.status
        events: Sequence[Event] = decision.events
        if obstacle is None and decision.serve is not None:
            served = await self._serve(body, status, decision.serve)
            status, obstacle = (status, served) if isinstance(served, Event) else (served, None)
        if obstacle is not None:
            status, events = obstructed_status(body, obstacle, now=now)
        if not await self._write(body, status):
            return now + AGAIN_SECONDS
        # The end of an attempt is written down before its Job is deleted.
        await self._delete(run, decision, now)
        self._post(body, events)
        if obstacle is not None:
            return now + (AGAIN_SECONDS if obstacle.type == "Normal" else _FAULT_SECONDS)
        return decision.wake_at

    async def _exists(self, run: Ref, uid: str) -> bool:
        """Whether the run still exists. Its deletion may not have been heard of, and children of a run that is gone
        would come and go for ever."""
        found = await self._kube.find(RUN, run.name, namespace=run.namespace)
        return found is not None and found["metadata"]["uid"] == uid

    def _children_of(self, run: Ref, uid: str) -> RunChildren:
        """The children that the run owns, and all pods with its labels.

        Pods count even if their Job is gone, because they must end before another attempt begins.
        """

        def own(kind: Kind) -> list[Json]:
            return [child for child in self._children.of(run, kind) if is_owned_by(child, uid)]

        return RunChildren(
            jobs=own(JOB),
            pods=self._children.of(run, POD),
            deployments=own(DEPLOYMENT),
            services=own(SERVICE),
            config_maps=own(CONFIG_MAP),
            computing=self._children.computing,
        )

    async def _create_and_apply(self, run: Json, decision: RunDecision) -> Event | None:
        """Create and apply the decided children. Return an Event about the obstacle if there is one."""
        for kind, body in decision.creates:
            try:
                created = await self._kube.create(kind, body)
            except AlreadyExists:
                # The answer to an earlier creation was lost, the watch is behind, or another client took the name.
                found = await self._kube.find(
                    kind, body["metadata"]["name"], namespace=body["metadata"]["namespace"]
                )
                if found is None or _belongs_to_namesake(found, run):
                    return _still_deleting(kind, body)
                if not is_owned_by(found, run["metadata"]["uid"]):
                    return _foreign(kind, body)
                created = found
            except (Invalid, Forbidden) as error:
                return _refused(kind, body, error)
            if kind in _CACHED:
                self._children.observed(kind, created)
        for kind, body in decision.applies:
            try:
                await self._kube.apply(kind, body)
            except (Invalid, Forbidden) as error:
                return _refused(kind, body, error)
        return None

    async def _delete(self, run: Ref, decision: RunDecision, now: float) -> None:
        for kind, name, uid in decision.deletes:
            with suppress(NotFound, Conflict):
                await self._kube.delete(kind, name, namespace=run.namespace, uid=uid)
            if kind in _CACHED:
                self._children.deleting(kind, run, name, at=timestamp(now))

    async def _serve(self, run: Json, status: RunStatus, keys: tuple[str, str]) -> RunStatus | Event:
        """Give the policy to the AskEndpoint, without overwriting what people set there.

        If they set the policy itself, the run leaves the endpoint alone and only says so. Return the status with the
        endpoint, or an Event about the API server's refusal.
        """
        publication, policy = keys
        spec = RunSpec.model_validate(run["spec"])
        name = endpoint_name(run["metadata"]["name"], spec)
        for whole in (True, False):
            body = endpoint(run, spec, publication=publication, policy=policy, whole=whole)
            try:
                applied = await self._kube.apply(ENDPOINT, body, force=False)
            except Conflict:
                continue
            except (Invalid, Forbidden) as error:
                return _refused(ENDPOINT, body, error)
            message = f"AskEndpoint {name} was given the policy of this run"
            self._post(run, [Event(reason=c.ENDPOINT_APPLIED, message=message)])
            return _with_served(status, publication, ServedAt(name=name, address=client_address(applied)))
        message = f"AskEndpoint {name} has a policy that another client set; it is left alone"
        self._post(run, [Event(reason=c.ENDPOINT_FOREIGN, message=message, type="Warning")])
        return _with_served(status, publication, None)

    async def _write(self, run: Json, status: RunStatus) -> bool:
        """Write what changed in the status. False if the run has changed since it was observed, or is gone."""
        before = RunStatus.model_validate(run.get("status") or {})
        # A status that does not exist yet has no defaults: all fields are written.
        patch = merge_patch(_dump(before) if run.get("status") else {}, _dump(status))
        self._metrics.run_written(ref_of(RUN, run), before, status)
        return await self._statuses.write(run, patch) is not None

    def _post(self, run: Json, events: Iterable[Event]) -> None:
        for event in events:
            self._events.post(run, event)


def _with_served(status: RunStatus, publication: str, endpoint: ServedAt | None) -> RunStatus:
    lineage = (status.lineage or Lineage()).model_copy(update={"served": publication})
    return status.model_copy(update={"lineage": lineage, "endpoint": endpoint})


def _belongs_to_namesake(found: Json, run: Json) -> bool:
    """Whether `found` belonged to an earlier run of the same name, whose children are being deleted."""
    if is_owned_by(found, run["metadata"]["uid"]):
        return False
    owners = found["metadata"].get("ownerReferences") or ()
    return any(
        owner.get("kind") == RUN.kind and owner.get("name") == run["metadata"]["name"] for owner in owners
    )


def _still_deleting(kind: Kind, body: Json) -> Event:
    name = body["metadata"]["name"]
    return Event(
        reason=c.CHILD_FOREIGN, message=f"{kind.kind} {name} of an earlier run is still being deleted"
    )


def _foreign(kind: Kind, body: Json) -> Event:
    return Event(reason=c.CHILD_FOREIGN, message=foreign_message(kind, body, "run"), type="Warning")


def _refused(kind: Kind, body: Json, error: KubeError) -> Event:
    return Event(reason=c.CHILD_REFUSED, message=refused_message(kind, body, error), type="Warning")


def _dump(status: RunStatus) -> Json:
    """The status as it is written: without empty fields, except in conditions, whose form Kubernetes prescribes."""
    dumped = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    conditions = dumped.pop("conditions")
    compact: Json = _without_empty(dumped)
    return {**compact, **({"conditions": conditions} if conditions else {})}


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        found = {name: _without_empty(inner) for name, inner in value.items()}
        return {
            name: inner
            for name, inner in found.items()
            if name in _KEPT_WHEN_ZERO or (inner not in ("", {}, []) and inner is not False and inner != 0)
        }
    return [_without_empty(inner) for inner in value] if isinstance(value, list) else value
