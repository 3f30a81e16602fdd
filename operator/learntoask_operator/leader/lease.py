"""Takes, renews and gives back the Lease: only the replica that holds it acts.

A Lease is valid for its duration after its last renewal. Each replica measures that by its own clock, from when it saw
the renewal, so that the clocks of the replicas need not agree. A holder that cannot renew in time stops before another
replica may begin.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from learntoask.core.json_object import Json
from learntoask.kube import LEASE, AlreadyExists, Conflict, Kube, KubeError, NotFound

_MARGIN = 0.2  # share of the duration between the moment its holder gives up and the end of the Lease
_log = logging.getLogger(__name__)


class LeaseLost(Exception):
    """Another replica holds the Lease, or it could not be renewed in time."""


class Lease:
    """`duration` and `renewal` are in seconds; `identity` names this replica."""

    def __init__(
        self,
        kube: Kube,
        *,
        name: str,
        namespace: str,
        identity: str,
        duration: float,
        renewal: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kube, self._name, self._namespace = kube, name, namespace
        self._identity, self._duration, self._renewal = identity, duration, renewal
        self._clock = clock
        # The last renewal of another holder, and when this replica first saw it.
        self._other: tuple[Any, float] | None = None

    async def acquire(self) -> None:
        """Return once this replica holds the Lease."""
        while True:
            try:
                if await self._try(deadline=max(1.0, self._renewal)):
                    _log.info("holding the Lease", extra={"object": self._name})
                    return
            except (Conflict, AlreadyExists):
                pass  # another replica was faster
            except KubeError as error:
                _log.warning("the Lease cannot be asked for: %s", error, extra={"object": self._name})
            await asyncio.sleep(min(self._renewal, max(0.1, self._duration / 10)))

    async def hold(self) -> None:
        """Renew until cancelled. Raises LeaseLost."""
        renewed = self._clock()
        while True:
            await asyncio.sleep(self._renewal)
            asked = self._clock()
            left = renewed + self._duration * (1 - _MARGIN) - asked
            try:
                # Wait for a slow server as long as the Lease is valid, and no longer.
                async with asyncio.timeout(max(0.1, left)):
                    if not await self._try(deadline=max(0.1, left)):
                        raise LeaseLost("another replica holds the Lease")
                renewed = asked
            except Conflict:
                continue
            except (KubeError, TimeoutError) as error:
                _log.warning("the Lease cannot be renewed: %s", error, extra={"object": self._name})
                if self._clock() >= renewed + self._duration * (1 - _MARGIN):
                    raise LeaseLost("the Lease could not be renewed in time") from error

    async def release(self) -> None:
        """Give the Lease back, so that a standby can take over at once."""
        try:
            lease = await self._kube.get(LEASE, self._name, namespace=self._namespace, deadline=3)
            if lease["spec"].get("holderIdentity") == self._identity:
                spec = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
                await self._kube.replace(LEASE, {**lease, "spec": spec}, deadline=3)
        except KubeError as error:
            _log.warning("the Lease cannot be given back: %s", error, extra={"object": self._name})

    async def _try(self, *, deadline: float) -> bool:
        """Take or renew the Lease; False while another replica holds it."""
        try:
            lease = await self._kube.get(LEASE, self._name, namespace=self._namespace, deadline=deadline)
        except NotFound:
            body = {
                "apiVersion": LEASE.api_version,
                "kind": LEASE.kind,
                "metadata": {"name": self._name, "namespace": self._namespace},
                "spec": self._spec({}),
            }
            await self._kube.create(LEASE, body, deadline=deadline)
            return True
        spec = lease.get("spec") or {}
        if spec.get("holderIdentity") not in ("", None, self._identity) and not self._expired(spec):
            return False
        await self._kube.replace(LEASE, {**lease, "spec": self._spec(spec)}, deadline=deadline)
        return True

    def _expired(self, spec: Json) -> bool:
        renewal, now = (spec.get("holderIdentity"), spec.get("renewTime")), self._clock()
        if self._other is None or self._other[0] != renewal:
            self._other = (renewal, now)
        return now - self._other[1] > float(spec.get("leaseDurationSeconds") or self._duration)

    def _spec(self, before: Json) -> Json:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        same = before.get("holderIdentity") == self._identity
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(1, round(self._duration)),
            "acquireTime": before.get("acquireTime", now) if same else now,
            "renewTime": now,
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + (not same),
        }
