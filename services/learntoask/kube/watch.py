"""Objects as they are and as they change, for as long as somebody listens: list, watch, and list again when needed."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal

from learntoask.kube.client import Kube
from learntoask.kube.errors import Expired, KubeError
from learntoask.kube.kinds import Kind

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0
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
    pause = _FIRST_PAUSE
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
                pause = _FIRST_PAUSE
                if what != "BOOKMARK":
                    yield Change(how="gone" if what == "DELETED" else "set", items=(item,))
            await asyncio.sleep(0.1)  # a server that ends every watch at once is not to be hammered
        except Expired:
            version = None
        except KubeError as error:
            _log.warning("watching %s: %s", kind.plural, error)
            if error.status:  # a refusal, not a lost connection: what is known may be out of date
                version = None
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _LONGEST_PAUSE)
