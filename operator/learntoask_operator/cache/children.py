"""What the watches know of the objects that the operator made: selected by label at the server, kept by owner.

Objects are trimmed to what is read of them before they are kept. What the operator itself just wrote counts at once:
otherwise a pass that follows closely could act on a picture older than its own last action.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from learntoask.core.json_object import Json
from learntoask.kube import ENDPOINT, RUN, Kind, Kube, follow

from learntoask_operator.compression import packed, unpacked
from learntoask_operator.loop import Ref

Trim = Callable[[Json], Json]
MANAGED_BY, MANAGER = "app.kubernetes.io/managed-by", "learntoask-operator"
RUN_LABEL, ENDPOINT_LABEL = "learntoask.io/run", "learntoask.io/endpoint"


@dataclass(slots=True)
class _Child:
    uid: str
    version: int
    body: bytes
    deleting: str | None = None  # when it was asked to go


class Children:
    """`kinds` maps each kind that is watched to what is kept of its objects; `changed` is told whose changed."""

    def __init__(self, kinds: Mapping[Kind, Trim], *, changed: Callable[[Ref], None]) -> None:
        self._trim, self._changed = kinds, changed
        self._by_owner: dict[Kind, dict[Ref, dict[str, _Child]]] = {kind: {} for kind in kinds}
        self._synced: set[tuple[Kind, str | None]] = set()

    def of(self, owner: Ref, kind: Kind) -> list[Json]:
        """The objects of `kind` labelled as `owner`'s, whoever owns them; trimmed."""
        found = []
        for child in self._by_owner[kind].get(owner, {}).values():
            body = unpacked(child.body)
            if child.deleting:
                body["metadata"].setdefault("deletionTimestamp", child.deleting)
            found.append(body)
        return found

    def saw(self, kind: Kind, body: Json) -> None:
        """`body` is how a child is, by a watch or by the answer to a write; an older version is passed over."""
        owner = owner_of(body)
        if owner is None:
            return
        metadata = body["metadata"]
        named = self._by_owner[kind].setdefault(owner, {})
        before, version = named.get(metadata["name"]), int(metadata["resourceVersion"])
        if before is not None and before.version >= version:
            return
        deleting = before.deleting if before is not None and before.uid == metadata["uid"] else None
        kept = packed(self._trim[kind](body))
        named[metadata["name"]] = _Child(uid=metadata["uid"], version=version, body=kept, deleting=deleting)
        self._changed(owner)

    def gone(self, kind: Kind, body: Json) -> None:
        owner = owner_of(body)
        if owner is not None:
            self._drop(kind, owner, body["metadata"]["name"], uid=body["metadata"]["uid"])

    def deleting(self, kind: Kind, owner: Ref, name: str, *, at: str) -> None:
        """The child was asked to go: until the watch says so it counts as going."""
        child = self._by_owner[kind].get(owner, {}).get(name)
        if child is not None:
            child.deleting = at

    def _drop(self, kind: Kind, owner: Ref, name: str, *, uid: str) -> None:
        named = self._by_owner[kind].get(owner, {})
        if name in named and named[name].uid == uid:
            del named[name]
            if not named:
                del self._by_owner[kind][owner]
            self._changed(owner)

    def listed(self, kind: Kind, namespace: str | None, items: Iterable[Json]) -> None:
        """`items` are all there are of `kind` (in `namespace`)."""
        there = {body["metadata"]["uid"]: body for body in items}
        known = [
            (owner, name, child.uid)
            for owner, named in self._by_owner[kind].items()
            if namespace in (None, owner.namespace)
            for name, child in named.items()
        ]
        for owner, name, uid in known:
            if uid not in there:
                self._drop(kind, owner, name, uid=uid)
        for body in there.values():
            self.saw(kind, body)
        self._synced.add((kind, namespace))

    def synced(self, namespaces: Iterable[str | None]) -> bool:
        return all((kind, namespace) in self._synced for kind in self._trim for namespace in namespaces)

    async def watch(self, kube: Kube, namespaces: Iterable[str | None]) -> None:
        """Follow all kinds in all `namespaces` (None: the whole cluster) until cancelled."""
        async with asyncio.TaskGroup() as group:
            for kind in self._trim:
                for namespace in namespaces:
                    group.create_task(self._watch(kube, kind, namespace))

    async def _watch(self, kube: Kube, kind: Kind, namespace: str | None) -> None:
        selector = f"{MANAGED_BY}={MANAGER}"
        async for change in follow(kube, kind, namespace=namespace, labels=selector):
            if change.how == "listed":
                self.listed(kind, namespace, change.items)
            for body in change.items if change.how != "listed" else ():
                (self.gone if change.how == "gone" else self.saw)(kind, body)


def owner_of(body: Json) -> Ref | None:
    """The run or endpoint that the labels of a child name."""
    metadata = body["metadata"]
    labels = metadata.get("labels") or {}
    for label, kind in ((RUN_LABEL, RUN), (ENDPOINT_LABEL, ENDPOINT)):
        if label in labels:
            return Ref(kind=kind, namespace=metadata["namespace"], name=labels[label])
    return None


def owned_by(child: Json, uid: str) -> bool:
    """Whether `child` is controlled by the object with `uid`; labels alone prove nothing."""
    owners = child["metadata"].get("ownerReferences") or ()
    return any(owner.get("uid") == uid and owner.get("controller") for owner in owners)
