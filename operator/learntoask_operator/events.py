"""Events that `kubectl describe` shows: posted on transitions, with the reasons of the conditions, never waited for.

An event that cannot be posted is logged and forgotten; what is true stands in the status.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Literal

from learntoask.core.digest import digest_of
from learntoask.core.json_object import Json
from learntoask.core.status.conditions import shorten, timestamp
from learntoask.kube import EVENT, AlreadyExists, Kube, KubeError

COMPONENT = "learntoask-operator"
_AT_ONCE = 256
_log = logging.getLogger(__name__)


class Events:
    def __init__(self, kube: Kube, *, clock: Callable[[], float]) -> None:
        self._kube, self._clock = kube, clock
        self._queue: asyncio.Queue[Json] = asyncio.Queue(_AT_ONCE)

    def post(
        self, about: Json, *, reason: str, message: str, type: Literal["Normal", "Warning"] = "Normal"
    ) -> None:
        """Queue an event about the object `about`. One with the same text in the same second is posted once."""
        now = timestamp(self._clock())
        metadata = about["metadata"]
        text = shorten(message)
        identity = digest_of([metadata["uid"], reason, text, now])
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
            "reason": reason,
            "message": text,
            "type": type,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
        }
        try:
            self._queue.put_nowait(body)
        except asyncio.QueueFull:
            _log.warning("event dropped: %s %s", reason, text, extra={"object": metadata["name"]})

    async def run(self) -> None:
        """Post what is queued, until cancelled."""
        while True:
            body = await self._queue.get()
            try:
                await self._kube.create(EVENT, body, deadline=10)
            except AlreadyExists:
                pass
            except KubeError as error:
                _log.warning("event not posted: %s", error, extra={"object": body["involvedObject"]["name"]})
