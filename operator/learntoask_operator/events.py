"""Kubernetes Events, which `kubectl describe` shows: posted on transitions, with the reasons of the conditions.

They are posted in the background. One that cannot be posted is only logged, because the status holds the truth.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from learntoask.core.digest import digest_of
from learntoask.core.json_object import Json
from learntoask.core.status.conditions import shorten, timestamp
from learntoask.kube import EVENT, AlreadyExists, Kube, KubeError

SOURCE = "learntoask-operator"
_CAPACITY = 256  # events that may wait to be posted
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Event:
    """An Event before it has a time and an object."""

    reason: str
    message: str
    type: Literal["Normal", "Warning"] = "Normal"


class EventQueue:
    """Events that wait to be posted; `run` posts them."""

    def __init__(self, kube: Kube, *, clock: Callable[[], float]) -> None:
        self._kube, self._clock = kube, clock
        self._queue: asyncio.Queue[Json] = asyncio.Queue(_CAPACITY)

    def post(self, about: Json, event: Event) -> None:
        """Queue `event` about the object `about`. The same event in the same second is posted once."""
        now = timestamp(self._clock())
        metadata = about["metadata"]
        message = shorten(event.message)
        identity = digest_of([metadata["uid"], event.reason, message, now])
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{metadata['name']}.{identity[:16]}", "namespace": metadata["namespace"]},
            "involvedObject": {
                "apiVersion": about["apiVersion"],
                "kind": about["kind"],
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            },
            "reason": event.reason,
            "message": message,
            "type": event.type,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "source": {"component": SOURCE},
            "reportingComponent": SOURCE,
        }
        try:
            self._queue.put_nowait(body)
        except asyncio.QueueFull:
            _log.warning("event dropped: %s %s", event.reason, message, extra={"object": metadata["name"]})

    async def run(self) -> None:
        """Post queued events until cancelled."""
        while True:
            body = await self._queue.get()
            try:
                await self._kube.create(EVENT, body, deadline=10)
            except AlreadyExists:
                pass
            except KubeError as error:
                _log.warning("event not posted: %s", error, extra={"object": body["involvedObject"]["name"]})
