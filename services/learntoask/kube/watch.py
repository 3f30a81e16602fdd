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
    changed. `gone`: they are deleted. `version` is that of the listing, or of the object."""

    how: Literal["listed", "set", "gone"]
    items: tuple[dict[str, Any], ...]
    version: int


async def follow(
    kube: Kube,
    kind: Kind,
    *,
    namespace: str | None = None,
    labels: str | None = None,
    fields: str | None = None,
    metadata_only: bool = False,
) -> AsyncIterator[Change]:
    """Iterate over all objects and then over their changes. The iteration only ends by cancellation.

    `labels` and `fields` are selectors; with `metadata_only` the server sends nothing but the metadata of the objects.

    A watch that ends is continued from its last change. If the server does not know that change any more (410), or
    refuses the watch, all objects are listed again, after a growing delay for a refusal.
    """
    version: str | None = None
    failures = 0
    which: Any = {"namespace": namespace, "labels": labels, "fields": fields, "metadata_only": metadata_only}
    while True:
        try:
            if version is None:
                listing = await kube.listing(kind, **which)
                version = listing.resource_version
                yield Change(how="listed", items=tuple(listing.items), version=int(version))
                del listing  # it may hold thousands of objects, which an idle watch would keep in memory
            changes = kube.watch(kind, resource_version=version, **which)
            async for what, item in changes:
                version = item["metadata"]["resourceVersion"]
                failures = 0
                if what != "BOOKMARK":
                    yield Change(
                        how="gone" if what == "DELETED" else "set", items=(item,), version=int(version)
                    )
            await asyncio.sleep(0.1)  # protects a server that ends every watch at once
        except Expired:
            version = None
        except KubeError as error:
            _log.warning("watching %s: %s", kind.plural, error)
            if error.status:  # a refusal, and not a lost connection, so the known version may be out of date
                version = None
            failures += 1
            await asyncio.sleep(_BACKOFF.delay(failures, draw=random.random()))
