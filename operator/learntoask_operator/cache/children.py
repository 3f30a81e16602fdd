"""Keeps the objects that the operator made as last observed: selected by label at the API server, kept by owner.

Only the fields that the operator reads are kept. What the operator itself wrote counts at once: otherwise a reconcile
that follows closely could act on a picture older than the operator's own last action.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from learntoask.core.json_object import Json
from learntoask.core.pod_contract import ENDPOINT_LABEL, RUN_LABEL, STAGE_KEY_ANNOTATION
from learntoask.kube import ENDPOINT, JOB, RUN, Kind, Kube, follow

from learntoask_operator.cache.projections import METADATA_ONLY
from learntoask_operator.cache.warnings import WarningCache
from learntoask_operator.compression import compress, decompress
from learntoask_operator.loop import Ref
from learntoask_operator.ownership import MANAGED_BY, MANAGER

Projection = Callable[[Json], Json]
"""Returns the fields of an object that are kept."""


@dataclass(slots=True)
class _Child:
    uid: str
    version: int
    body: bytes
    deleting: str | None = None  # when the operator asked for its deletion


class ChildCache:
    """`projections` has every kind that is watched; `changed` is called with the owner of a child that changed.

    A child about which there are Warning Events has them as `warnings` (cache.warnings).
    """

    def __init__(self, projections: Mapping[Kind, Projection], *, changed: Callable[[Ref], None]) -> None:
        self._projections, self._changed = projections, changed
        self._by_owner: dict[Kind, dict[Ref, dict[str, _Child]]] = {kind: {} for kind in projections}
        self._synced: set[tuple[Kind, str | None]] = set()
        self._owner_of: dict[str, Ref] = {}  # by the uid of the child
        self._computing: dict[str, set[tuple[Ref, str]]] = {}  # owners and names of Jobs, by stage key
        self._coming: list[Json] = []  # Jobs that are about to be created
        self.warnings = WarningCache(changed=self._warned)

    def of(self, owner: Ref, kind: Kind) -> list[Json]:
        """The objects of `kind` with the labels of `owner`; their owner references may say otherwise."""
        found = []
        for child in self._by_owner[kind].get(owner, {}).values():
            body = decompress(child.body)
            if child.deleting:
                body["metadata"].setdefault("deletionTimestamp", child.deleting)
            if warnings := self.warnings.of(child.uid):
                body["warnings"] = warnings
            found.append(body)
        return found

    @contextmanager
    def creating(self, jobs: Iterable[Json], *, at: str) -> Iterator[None]:
        """While the context is open, `computing` knows `jobs`, which are about to be created. Two reconciles at the
        same time would otherwise both create a Job for a stage that their runs share."""
        coming = [
            {**job, "metadata": {**job["metadata"], "creationTimestamp": at}, "status": {}} for job in jobs
        ]
        self._coming += coming
        try:
            yield
        finally:
            self._coming = [job for job in self._coming if not any(job is own for own in coming)]

    def computing(self, key: str) -> list[Json]:
        """The Jobs of all runs that compute, computed or are about to compute the stage `key`."""
        found = [job for job in self._coming if _stage_key(JOB, job) == key]
        for owner, name in self._computing.get(key, ()):
            found += [job for job in self.of(owner, JOB) if job["metadata"]["name"] == name]
        return found

    def observed(self, kind: Kind, body: Json) -> None:
        """Take a child from a watch or from the answer to a write; ignore one older than the known one."""
        owner = owner_of(body)
        if owner is None:
            return
        metadata = body["metadata"]
        named = self._by_owner[kind].setdefault(owner, {})
        before, version = named.get(metadata["name"]), int(metadata["resourceVersion"])
        if before is not None and before.version >= version:
            return
        deleting = before.deleting if before is not None and before.uid == metadata["uid"] else None
        kept = compress(self._projections[kind](body))
        if before is not None:
            self._owner_of.pop(before.uid, None)
        self._owner_of[metadata["uid"]] = owner
        if key := _stage_key(kind, body):
            self._computing.setdefault(key, set()).add((owner, metadata["name"]))
        named[metadata["name"]] = _Child(uid=metadata["uid"], version=version, body=kept, deleting=deleting)
        self._changed(owner)

    def gone(self, kind: Kind, body: Json) -> None:
        owner = owner_of(body)
        if owner is not None:
            self._drop(kind, owner, body["metadata"]["name"], uid=body["metadata"]["uid"])

    def deleting(self, kind: Kind, owner: Ref, name: str, *, at: str) -> None:
        """The operator asked for the child's deletion: it counts as being deleted before the watch reports it."""
        child = self._by_owner[kind].get(owner, {}).get(name)
        if child is not None:
            child.deleting = at

    def listed(self, kind: Kind, namespace: str | None, items: Iterable[Json]) -> None:
        """`items` are all objects of `kind`, in `namespace` if one is given."""
        present = {body["metadata"]["uid"]: body for body in items}
        known = [
            (owner, name, child.uid)
            for owner, named in self._by_owner[kind].items()
            if namespace in (None, owner.namespace)
            for name, child in named.items()
        ]
        for owner, name, uid in known:
            if uid not in present:
                self._drop(kind, owner, name, uid=uid)
        for body in present.values():
            self.observed(kind, body)
        self._synced.add((kind, namespace))

    def synced(self, namespaces: Iterable[str | None]) -> bool:
        """Whether all kinds have been listed in all `namespaces`."""
        return all(
            (kind, namespace) in self._synced for kind in self._projections for namespace in namespaces
        )

    async def watch(self, kube: Kube, namespaces: Iterable[str | None]) -> None:
        """Watch all kinds in all `namespaces` (None: the whole cluster) until cancelled."""
        async with asyncio.TaskGroup() as group:
            for kind in self._projections:
                for namespace in namespaces:
                    group.create_task(self._watch(kube, kind, namespace))
            group.create_task(self.warnings.watch(kube, namespaces))

    def _warned(self, uid: str) -> None:
        if owner := self._owner_of.get(uid):
            self._changed(owner)

    def _drop(self, kind: Kind, owner: Ref, name: str, *, uid: str) -> None:
        named = self._by_owner[kind].get(owner, {})
        if name in named and named[name].uid == uid:
            if key := _stage_key(kind, decompress(named.pop(name).body)):
                self._computing[key].discard((owner, name))
                if not self._computing[key]:
                    del self._computing[key]
            self._owner_of.pop(uid, None)
            if not named:
                del self._by_owner[kind][owner]
            self._changed(owner)

    async def _watch(self, kube: Kube, kind: Kind, namespace: str | None) -> None:
        selector = f"{MANAGED_BY}={MANAGER}"
        metadata_only = kind in METADATA_ONLY
        async for change in follow(
            kube, kind, namespace=namespace, labels=selector, metadata_only=metadata_only
        ):
            if change.how == "listed":
                self.listed(kind, namespace, change.items)
            for body in change.items if change.how != "listed" else ():
                (self.gone if change.how == "gone" else self.observed)(kind, body)


def _stage_key(kind: Kind, body: Json) -> str | None:
    return (body["metadata"].get("annotations") or {}).get(STAGE_KEY_ANNOTATION) if kind == JOB else None


def owner_of(body: Json) -> Ref | None:
    """The run or endpoint that the labels of a child name."""
    metadata = body["metadata"]
    labels = metadata.get("labels") or {}
    for label, kind in ((RUN_LABEL, RUN), (ENDPOINT_LABEL, ENDPOINT)):
        if label in labels:
            return Ref(kind=kind, namespace=metadata["namespace"], name=labels[label])
    return None
