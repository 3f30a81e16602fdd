"""One pass over a run: look, decide (run.decision), do, in an order that a crash anywhere does not hurt."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from learntoask.core.json_object import Json
from learntoask.core.manifest import RunSpec
from learntoask.core.status import conditions as c
from learntoask.core.status.conditions import timestamp
from learntoask.core.status.run import Lineage, RunStatus, ServedAt
from learntoask.kube import (
    DEPLOYMENT,
    ENDPOINT,
    JOB,
    POD,
    RUN,
    AlreadyExists,
    Conflict,
    Kind,
    Kube,
    NotFound,
    merge_patch,
)

from learntoask_operator.cache.children import Children, owned_by
from learntoask_operator.events import Events
from learntoask_operator.loop import Ref, ref_of
from learntoask_operator.metrics import Metrics
from learntoask_operator.run import status as story
from learntoask_operator.run.decide import Decision, decide
from learntoask_operator.run.progress import ProgressBoard
from learntoask_operator.run.render import endpoint as serving
from learntoask_operator.run.workload import Children as Own
from learntoask_operator.settings import Settings

_WATCHED = (JOB, DEPLOYMENT)
_SOON, _LATER = 2.0, 30.0  # seconds until another look
_log = logging.getLogger(__name__)


class RunReconciler:
    """`saw` is told how objects are after a write; a pass that follows must not know less than this one did."""

    kind = RUN

    def __init__(
        self,
        *,
        kube: Kube,
        children: Children,
        events: Events,
        progress: ProgressBoard,
        settings: Settings,
        metrics: Metrics,
        saw: Callable[[Kind, Json], None],
        clock: Callable[[], float],
    ) -> None:
        self._kube, self._children, self._events = kube, children, events
        self._progress, self._settings = progress, settings
        self._metrics, self._saw, self._clock = metrics, saw, clock

    def forget(self, ref: Ref) -> None:
        self._progress.forget(ref)
        self._metrics.runs.forget(ref)

    async def reconcile(self, seen: Json) -> float | None:
        if "deletionTimestamp" in seen["metadata"]:
            return None  # the garbage collector takes its children, which have owner references
        run, now = ref_of(RUN, seen), self._clock()
        told = self._progress.told(run)
        decision = decide(
            seen, self._own(run, seen["metadata"]["uid"]), told=told, settings=self._settings, now=now
        )
        if decision.remove:
            self._post(seen, decision.events)
            with suppress(NotFound, Conflict):
                await self._kube.delete(RUN, run.name, namespace=run.namespace, uid=seen["metadata"]["uid"])
            return None
        obstacle = await self._make(seen, decision)
        status = (
            decision.status if obstacle is None else _obstructed(decision.status, obstacle, seen, now=now)
        )
        if obstacle is None and decision.serve is not None:
            status = await self._serve(seen, status, decision.serve)
        written = await self._write(seen, status)
        if not written:
            return now + _SOON
        # Nothing is deleted before what it was, and why it goes, is written down.
        for kind, name, uid in decision.deletes:
            with suppress(NotFound, Conflict):
                await self._kube.delete(kind, name, namespace=run.namespace, uid=uid)
            if kind in _WATCHED:
                self._children.deleting(kind, run, name, at=timestamp(now))
        self._post(seen, decision.events)
        if obstacle is not None:
            return now + (_SOON if obstacle.type == "Normal" else _LATER)
        return decision.wake_at

    def _own(self, run: Ref, uid: str) -> Own:
        """The run's own children; pods are of whatever Job had the run's labels, since even those of a Job that is gone
        must end before another attempt begins."""
        jobs = [one for one in self._children.of(run, JOB) if owned_by(one, uid)]
        deployments = [one for one in self._children.of(run, DEPLOYMENT) if owned_by(one, uid)]
        return Own(jobs=jobs, pods=self._children.of(run, POD), deployments=deployments)

    async def _make(self, seen: Json, decision: Decision) -> story.Happened | None:
        """Create and apply; what stands in the way, if something does."""
        for kind, body in decision.creates:
            try:
                created = await self._kube.create(kind, body)
            except AlreadyExists:
                # The answer to an earlier creation was lost, the watch is behind, or somebody else took the name.
                found = await self._kube.find(
                    kind, body["metadata"]["name"], namespace=body["metadata"]["namespace"]
                )
                if found is None:
                    return _going(kind, body)
                if not owned_by(found, seen["metadata"]["uid"]):
                    return _going(kind, body) if _of_namesake(found, seen) else _foreign(kind, body)
                created = found
            if kind in _WATCHED:
                self._children.saw(kind, created)
        for kind, body in decision.applies:
            applied = await self._kube.apply(kind, body)
            if kind in _WATCHED:
                self._children.saw(kind, applied)
        return None

    async def _serve(self, seen: Json, status: RunStatus, keys: tuple[str, str]) -> RunStatus:
        """Give the policy to the AskEndpoint. What people set there stays; where they set the policy itself, it is
        theirs, and the run only says so."""
        publication, policy = keys
        spec = RunSpec.model_validate(seen["spec"])
        name = serving.endpoint_name(seen["metadata"]["name"], spec)
        for whole in (True, False):
            body = serving.endpoint(seen, spec, publication=publication, policy=policy, whole=whole)
            try:
                applied = await self._kube.apply(ENDPOINT, body, force=False)
            except Conflict:
                continue
            message = f"AskEndpoint {name} is to serve the policy of this run"
            self._post(seen, (story.Happened(reason=c.ENDPOINT_APPLIED, message=message),))
            address = str((applied.get("status") or {}).get("address", ""))
            return _with_served(status, publication, ServedAt(name=name, address=address))
        message = f"AskEndpoint {name} has a policy that somebody else set; it is left alone"
        self._post(seen, (story.Happened(reason=c.ENDPOINT_FOREIGN, message=message, type="Warning"),))
        return _with_served(status, publication, None)

    async def _write(self, seen: Json, status: RunStatus) -> bool:
        """Patch what changed; False when the run changed meanwhile, so that this pass rests on an old picture."""
        before = RunStatus.model_validate(seen.get("status") or {})
        patch = merge_patch(_dumped(before), _dumped(status))
        self._metrics.told(ref_of(RUN, seen), before, status)
        if not patch:
            return True
        metadata = seen["metadata"]
        try:
            written = await self._kube.patch_status(
                RUN,
                metadata["name"],
                patch,
                namespace=metadata["namespace"],
                resource_version=metadata["resourceVersion"],
            )
        except (Conflict, NotFound):
            return False
        self._saw(RUN, written)
        return True

    def _post(self, seen: Json, events: tuple[story.Happened, ...]) -> None:
        for event in events:
            self._events.post(seen, reason=event.reason, message=event.message, type=event.type)


def _with_served(status: RunStatus, publication: str, endpoint: ServedAt | None) -> RunStatus:
    lineage = (status.lineage or Lineage()).model_copy(update={"served": publication})
    return status.model_copy(update={"lineage": lineage, "endpoint": endpoint})


def _obstructed(status: RunStatus, obstacle: story.Happened, seen: Json, *, now: float) -> RunStatus:
    """What is written when a child could not be made: all as it was, and why nothing goes on."""
    before = RunStatus.model_validate(seen.get("status") or {})
    if obstacle.type == "Normal":
        return before
    generation = int(seen["metadata"].get("generation", 0))
    conditions = c.set_condition(
        before.conditions, c.PROGRESSING, "False", reason=obstacle.reason, message=obstacle.message,
        generation=generation, now=now,
    )  # fmt: skip
    return before.model_copy(
        update={"conditions": conditions, "reason": obstacle.reason, "message": obstacle.message}
    )


def _of_namesake(found: Json, seen: Json) -> bool:
    """Whether `found` belonged to an earlier run of the same name, whose children are being collected."""
    owners = found["metadata"].get("ownerReferences") or ()
    return any(one.get("kind") == RUN.kind and one.get("name") == seen["metadata"]["name"] for one in owners)


def _going(kind: Kind, body: Json) -> story.Happened:
    name = body["metadata"]["name"]
    return story.Happened(
        reason=c.CHILD_FOREIGN, message=f"{kind.kind} {name} of an earlier run is still going"
    )


def _foreign(kind: Kind, body: Json) -> story.Happened:
    message = (
        f"{kind.kind} {body['metadata']['name']} is not this run's; rename or delete it, and the run goes on"
    )
    return story.Happened(reason=c.CHILD_FOREIGN, message=message, type="Warning")


_ALWAYS = ("percent", "exitCode", "attempt", "observedGeneration", "gpuHours")


def _dumped(status: RunStatus) -> Json:
    """As it is written: without what is empty, except in conditions, whose form Kubernetes prescribes."""
    dumped = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    conditions = dumped.pop("conditions")
    compact: Json = _compact(dumped)
    return {**compact, **({"conditions": conditions} if conditions else {})}


def _compact(value: Any) -> Any:
    if isinstance(value, dict):
        found = {name: _compact(inner) for name, inner in value.items()}
        return {
            name: inner
            for name, inner in found.items()
            if name in _ALWAYS or (inner not in ("", {}, []) and inner is not False and inner != 0)
        }
    return [_compact(inner) for inner in value] if isinstance(value, list) else value
