"""The namespaces whose objects the operator reconciles, where a label selects them.

The operator then watches the whole cluster, and the loop leaves objects of other namespaces alone. A namespace that
gets the label is taken up at once, and one that loses it is left as it is: nothing in it is stopped or deleted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from learntoask.core.backoff import Backoff
from learntoask.kube import NAMESPACE, Change, Kind, Kube, KubeError, follow

from learntoask_operator.loop import Loop

_BACKOFF = Backoff(first=0.5, longest=15.0)
_log = logging.getLogger(__name__)


class ServedNamespaces:
    """`selector` is a label selector; if it is empty, all namespaces that the operator watches are served."""

    def __init__(self, selector: str) -> None:
        self._selector = selector
        self._selected: frozenset[str] = frozenset()

    def __contains__(self, namespace: object) -> bool:
        return not self._selector or namespace in self._selected

    async def watch(self, kube: Kube, loop: Loop, kinds: Sequence[Kind]) -> None:
        """Follow the labels of namespaces until cancelled, if there is a selector."""
        if not self._selector:
            return
        async for change in follow(kube, NAMESPACE, labels=self._selector, metadata_only=True):
            before = self._selected
            self._selected = self._after(change)
            for namespace in sorted(before - self._selected):
                _log.info("namespace left", extra={"object": namespace})
                loop.leave(namespace)
            if gained := self._selected - before:
                _log.info("namespaces taken up", extra={"object": ", ".join(sorted(gained))})
                await _take_up(kube, loop, kinds, gained)

    def _after(self, change: Change) -> frozenset[str]:
        """The selected namespaces after `change`. One that loses its label is told as gone."""
        named = frozenset(body["metadata"]["name"] for body in change.items)
        if change.how == "listed":
            return named
        return self._selected | named if change.how == "set" else self._selected - named


async def _take_up(kube: Kube, loop: Loop, kinds: Sequence[Kind], gained: frozenset[str]) -> None:
    """Give `loop` the objects that were there before their namespace was selected, which no watch reports again."""
    (namespace,) = gained if len(gained) == 1 else (None,)
    for kind in kinds:
        failures = 0
        while True:
            try:
                bodies = await kube.list(kind, namespace=namespace)
                break
            except KubeError as error:
                failures += 1
                _log.warning("listing %s: %s", kind.plural, error, extra={"object": namespace or "all"})
                await asyncio.sleep(_BACKOFF.delay(failures))
        for body in bodies:
            loop.observed(kind, body)
