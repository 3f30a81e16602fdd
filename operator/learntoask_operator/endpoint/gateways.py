"""What gateways tell the operator and are told by it: how many servers they see, and where servers are.

It is kept in memory only, and gateways tell it again to the next operator. What a gateway told last counts until it
tells something else: while its stream is cut, its servers may still answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field

from learntoask.kube import ENDPOINT
from learntoask.progress.gateways import GatewayView

from learntoask_operator.loop import Ref


@dataclass(slots=True)
class _Gateways:
    """The gateways of one endpoint: servers that each pod sees, and addresses to tell them (None: not known yet)."""

    seen: dict[str, int] = field(default_factory=dict)
    pods: frozenset[str] = frozenset()
    addresses: tuple[str, ...] | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class GatewayBoard:
    """See progress.gateways.Gateways. `wake` is called with an endpoint whose gateways see something else."""

    def __init__(self, *, wake: Callable[[Ref], None]) -> None:
        self._wake = wake
        self._endpoints: dict[Ref, _Gateways] = {}

    def seen(self, view: GatewayView) -> None:
        ref = Ref(kind=ENDPOINT, namespace=view.namespace, name=view.endpoint)
        seen = self._of(ref).seen
        if seen.get(view.pod) != view.serving:
            seen[view.pod] = view.serving
            self._wake(ref)

    async def servers(self, namespace: str, endpoint: str) -> AsyncIterator[tuple[str, ...]]:
        ref = Ref(kind=ENDPOINT, namespace=namespace, name=endpoint)
        told: tuple[str, ...] | None = None
        while True:
            gateways = self._of(ref)
            if gateways.addresses != told and gateways.addresses is not None:
                told = gateways.addresses
                yield told
            else:
                await gateways.changed.wait()

    def views(self, ref: Ref) -> Mapping[str, int]:
        """How many servers each gateway sees, by pod; those that have told nothing are left out."""
        return self._of(ref).seen

    def publish(self, ref: Ref, addresses: tuple[str, ...], *, pods: Collection[str]) -> None:
        """Tell the gateways where servers are, and forget those that are gone. `pods` are all that exist."""
        gateways = self._of(ref)
        for gone in gateways.pods.difference(pods):
            gateways.seen.pop(gone, None)
        gateways.pods = frozenset(pods)
        if gateways.addresses != addresses:
            gateways.addresses = addresses
            gateways.changed.set()
            gateways.changed = asyncio.Event()

    def forget(self, ref: Ref) -> None:
        gateways = self._endpoints.pop(ref, None)
        if gateways is not None:
            gateways.changed.set()

    def _of(self, ref: Ref) -> _Gateways:
        return self._endpoints.setdefault(ref, _Gateways())
