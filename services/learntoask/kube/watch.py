"""The objects of a kind and their changes: list them, watch them, and list them again when a watch cannot continue."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal

from learntoask.core.backoff import Backoff
from learntoask.kube.client import Kube
from learntoask.kube.errors import Expired, KubeError
from learntoask.kube.kinds import Kind

_BACKOFF = Backoff(first=0.5, longest=15.0)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change. `listed`: `items` are all existing objects and replace all former knowledge. `set`: they are new or
    changed. `gone`: they are deleted."""

    how: Literal["listed", "set", "gone"]
    items: tuple[dict[str, Any], ...]


async def follow(
    kube: Kube, kind: Kind, *, namespace: str | None = None, labels: str | None = None
) -> AsyncIterator[Change]:
    """Iterate over all objects and then over their changes. The iteration only ends by cancellation.

    A watch that ends is continued from its last change. If the server does not know that change any more (410), or
    refuses the watch, all objects are listed again, after a growing delay for a refusal.
    """
    version: str | None = None
    failures = 0
    while True:
        try:
            if version is None:
                listing = await kube.listing(kind, namespace=namespace, labels=labels)
                yield Change(how="listed", items=tuple(listing.items))
                version = listing.resource_version
                del listing  # it may hold thousands of objects, which an idle watch would keep in memory
            changes = kube.watch(kind, resource_version=version, namespace=namespace, labels=labels)
            async for what, item in changes:
                version = item["metadata"]["resourceVersion"]
                failures = 0
                if what != "BOOKMARK":
                    yield Change(how="gone" if what == "DELETED" else "set", items=(item,))
            await asyncio.sleep(0.1)  # protects a server that ends every watch at once
        except Expired:
            version = None
        except KubeError as error:
            _log.warning("watching %s: %s", kind.plural, error)
            if error.status:  # a refusal, and not a lost connection, so the known version may be out of date
                version = None
            failures += 1
            await asyncio.sleep(_BACKOFF.delay(failures, draw=random.random()))
