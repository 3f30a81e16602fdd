"""The Warning Events about Jobs and pods: the only place where some causes are told.

Events are about any pod of the cluster, and may come before the operator knows the pod. So those about all pods are
kept, by the uid of the pod, and the objects and Events that were heard of longest ago are dropped beyond a bound.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable

from learntoask.core.json_object import Json
from learntoask.core.status.conditions import seconds_of, shorten
from learntoask.kube import EVENT, Kube, follow

_KINDS = ("Job", "Pod")
_MOST_OBJECTS, _MOST_EVENTS = 20_000, 8


class WarningCache:
    """`changed` is called with the uid of an object that there is news about."""

    def __init__(self, *, changed: Callable[[str], None]) -> None:
        self._changed = changed
        self._by_uid: OrderedDict[str, dict[str, Json]] = OrderedDict()

    def of(self, uid: str) -> list[Json]:
        """The Events about the object, each with `reason`, `message` and `at` (seconds since the epoch)."""
        return list(self._by_uid.get(uid, {}).values())

    def observed(self, event: Json) -> None:
        about, name = event["involvedObject"], event["metadata"]["name"]
        uid = about.get("uid", "")
        events = self._by_uid.pop(uid, {})
        events.pop(name, None)
        events[name] = {
            "reason": str(event.get("reason") or "")[:128],
            "message": shorten(str(event.get("message") or "")),
            "at": _last_seen(event),
        }
        if len(events) > _MOST_EVENTS:
            del events[next(iter(events))]
        self._by_uid[uid] = events
        if len(self._by_uid) > _MOST_OBJECTS:
            self._by_uid.popitem(last=False)
        self._changed(uid)

    def gone(self, event: Json) -> None:
        """Forget an Event that the API server keeps no longer; this is no news about the object."""
        uid = event["involvedObject"].get("uid", "")
        events = self._by_uid.get(uid, {})
        events.pop(event["metadata"]["name"], None)
        if not events:
            self._by_uid.pop(uid, None)

    async def watch(self, kube: Kube, namespaces: Iterable[str | None]) -> None:
        """Watch the Events in all `namespaces` (None: the whole cluster) until cancelled."""
        async with asyncio.TaskGroup() as group:
            for kind in _KINDS:
                for namespace in namespaces:
                    group.create_task(self._watch(kube, kind, namespace))

    async def _watch(self, kube: Kube, kind: str, namespace: str | None) -> None:
        which = f"type=Warning,involvedObject.kind={kind}"
        async for change in follow(kube, EVENT, namespace=namespace, fields=which):
            for event in change.items:
                (self.gone if change.how == "gone" else self.observed)(event)


def _last_seen(event: Json) -> float:
    """When the Event happened last; the time stands in different fields, by the client that posted it."""
    series = event.get("series") or {}
    times = (
        series.get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        event["metadata"].get("creationTimestamp"),
    )
    return max((seconds_of(time) for time in times if time), default=0.0)
