"""Objects as they are and as they change, for as long as somebody listens: list, watch, and list again when needed."""

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
    """`listed`: `items` are all there are, whatever was known before. `set`: they are new or changed. `gone`: they are
    deleted."""

    how: Literal["listed", "set", "gone"]
    items: tuple[dict[str, Any], ...]


async def follow(
    kube: Kube, kind: Kind, *, namespace: str | None = None, labels: str | None = None
) -> AsyncIterator[Change]:
    """All objects first, then every change; ends only by cancellation.

    A watch that ends goes on where it was; where the server forgot that place (410), or refuses, everything is listed
    anew, after a growing pause.
    """
    version: str | None = None
    failures = 0
    while True:
        try:
            if version is None:
                listing = await kube.listing(kind, namespace=namespace, labels=labels)
                yield Change(how="listed", items=tuple(listing.items))
                version = listing.resource_version
                del listing  # thousands of objects must not stay with an idle watch
            changes = kube.watch(kind, resource_version=version, namespace=namespace, labels=labels)
            async for what, item in changes:
                version = item["metadata"]["resourceVersion"]
                failures = 0
                if what != "BOOKMARK":
                    yield Change(how="gone" if what == "DELETED" else "set", items=(item,))
            await asyncio.sleep(0.1)  # a server that ends every watch at once is not to be hammered
        except Expired:
            version = None
        except KubeError as error:
            _log.warning("watching %s: %s", kind.plural, error)
            if error.status:  # a refusal, not a lost connection: what is known may be out of date
                version = None
            failures += 1
            await asyncio.sleep(_BACKOFF.delay(failures, draw=random.random()))
