"""What gateways tell the operator and are told by it: how many servers they see, and where servers are.

It is kept in memory only, and gateways tell it again to the next operator. What a gateway told last counts until it
tells something else: while its stream is cut, its servers may still answer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from learntoask.core.status.rollout import RolloutCounts
from learntoask.kube import ENDPOINT
from learntoask.progress.gateways import CountsView, GatewayView, Servers
from learntoask.wire.ask_pb2 import ReportOutcomeRequest

from learntoask_operator.loop import Ref

_PASSED_ON = 256  # outcomes that a gateway hears after a reconnection

Source = tuple[str, str]
"""A pod of a gateway, and one of its starts."""


@dataclass(slots=True)
class _Gateways:
    """The gateways of one endpoint: servers that each pod sees, why it sees none, what each start of one has counted of
    a rollout (by pod and start), what to tell them (None: not known yet), the last `outcomes` to be passed on and the
    number of all, and how many of them listen."""

    seen: dict[str, int] = field(default_factory=dict)
    troubles: dict[str, str] = field(default_factory=dict)
    counts: dict[Source, CountsView] = field(default_factory=dict)
    pods: frozenset[str] = frozenset()
    told: Servers | None = None
    outcomes: deque[ReportOutcomeRequest] = field(default_factory=lambda: deque(maxlen=_PASSED_ON))
    passed_on: int = 0
    listening: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """Let the gateways that listen hear what is new."""
        self.changed.set()
        self.changed = asyncio.Event()

    def outcomes_since(self, passed_on: int) -> tuple[ReportOutcomeRequest, ...]:
        """The outcomes after the first `passed_on` ones, as far as they are kept."""
        news = min(self.passed_on - passed_on, len(self.outcomes))
        return tuple(self.outcomes)[len(self.outcomes) - news :]


class GatewayBoard:
    """See progress.gateways.Gateways. `wake` is called with an endpoint whose gateways see something else."""

    def __init__(self, *, wake: Callable[[Ref], None]) -> None:
        self._wake = wake
        self._endpoints: dict[Ref, _Gateways] = {}

    def seen(self, view: GatewayView) -> None:
        ref = Ref(kind=ENDPOINT, namespace=view.namespace, name=view.endpoint)
        gateways = self._of(ref)
        before = gateways.seen.get(view.pod), gateways.troubles.get(view.pod)
        if before != (view.serving, view.trouble):
            gateways.seen[view.pod], gateways.troubles[view.pod] = view.serving, view.trouble
            self._wake(ref)
        if view.rollout is not None:
            source = view.pod, view.rollout.start
            if gateways.counts.get(source) != view.rollout:
                gateways.counts[source] = view.rollout
                self._wake(ref)
        if view.outcomes:
            gateways.outcomes.extend(view.outcomes)
            gateways.passed_on += len(view.outcomes)
            gateways.wake()

    async def servers(self, namespace: str, endpoint: str) -> AsyncIterator[Servers]:
        ref = Ref(kind=ENDPOINT, namespace=namespace, name=endpoint)
        told: Servers | None = None
        heard = 0  # outcomes
        gateways = self._of(ref)
        gateways.listening += 1
        try:
            while True:
                outcomes = gateways.outcomes_since(heard)
                if gateways.told is not None and (gateways.told != told or outcomes):
                    told, heard = gateways.told, gateways.passed_on
                    yield replace(told, outcomes=outcomes)
                else:
                    await gateways.changed.wait()
        finally:
            gateways.listening -= 1
            self._drop_unused(ref)

    def views(self, ref: Ref) -> Mapping[str, int]:
        """How many servers each gateway sees, by pod; those that have told nothing are left out."""
        return self._of(ref).seen

    def troubles(self, ref: Ref) -> Mapping[str, str]:
        """Why gateways see no server, by pod; empty for those that do not know."""
        return self._of(ref).troubles

    def counts(self, ref: Ref, rollout: str) -> dict[Source, RolloutCounts]:
        """What each start of a gateway has counted of a rollout, by pod and start."""
        views = self._of(ref).counts.items()
        return {source: view.counts for source, view in views if view.id == rollout}

    def has_seen(self, ref: Ref, pod: str) -> bool:
        """Whether the pod existed when gateways were last told about servers."""
        return pod in self._of(ref).pods

    def forget_counts(self, ref: Ref, sources: Collection[Source]) -> None:
        """Forget what was counted by gateways that are gone, once their sums are written down elsewhere."""
        for source in sources:
            self._of(ref).counts.pop(source, None)

    def publish(self, ref: Ref, servers: Servers, *, pods: Collection[str]) -> None:
        """Tell the gateways where servers are, and forget what those see that are gone. `pods` are all that exist."""
        gateways = self._of(ref)
        for gone in gateways.pods.difference(pods):
            gateways.seen.pop(gone, None)
            gateways.troubles.pop(gone, None)
        gateways.pods = frozenset(pods)
        if gateways.told != servers:
            gateways.told = servers
            gateways.wake()

    def forget(self, ref: Ref) -> None:
        """The endpoint is reconciled no more. What its gateways see is kept while they listen: they do not tell it
        again if the endpoint is taken up once more."""
        if ref in self._endpoints:
            self._endpoints[ref].told = None
            self._drop_unused(ref)

    def _drop_unused(self, ref: Ref) -> None:
        gateways = self._endpoints.get(ref)
        if gateways is not None and not gateways.listening and gateways.told is None:
            del self._endpoints[ref]

    def _of(self, ref: Ref) -> _Gateways:
        return self._endpoints.setdefault(ref, _Gateways())
