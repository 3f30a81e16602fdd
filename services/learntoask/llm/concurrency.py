"""The number of concurrent requests, and the delay before a retry.

The limit follows the share of failed requests, as the window of DCTCP follows the share of marked packets (RFC 8257).
After each round of as many results as the limit, it shrinks by half the share of failures if that share is above
TOLERATED, and grows by an eighth otherwise. Halving it at every failure, as TCP does, would reduce 64 concurrent
requests to 4 on a server that fails a tenth of them.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass

from learntoask.core.backoff import Backoff

TOLERATED = 0.2  # share of failures up to which retries cost less than fewer concurrent requests
_RETRIES = Backoff(first=0.25, longest=30.0)


def retry_delay(attempt: int, *, retry_after: float | None = None) -> float:
    """Return the seconds to wait after failed `attempt` (from 1): exponential back-off with jitter, but at least
    `retry_after`, the seconds that the server asked for."""
    return max(_RETRIES.delay(attempt, draw=random.random()), retry_after or 0.0)


@dataclass
class ConcurrencyLimit:
    """The limit of concurrent requests, as a function of the results so far. The caller passes the time."""

    ceiling: int
    value: float = 0.0  # requests at once; `ceiling` at first
    share: float = 0.0  # exponential average of the share of failures, over about the last round
    resume: float = 0.0  # time before which no request is sent
    _failed: int = 0
    _seen: int = 0

    def __post_init__(self) -> None:
        self.value = self.value or float(self.ceiling)

    def note(self, *, failed: bool, now: float, retry_after: float | None = None) -> None:
        """Count a result. If many requests fail, the `retry_after` of one (in seconds) delays all requests."""
        self._seen += 1
        self._failed += failed
        self.share += (failed - self.share) / max(8.0, self.value)
        if failed and retry_after and self.share > TOLERATED:
            self.resume = max(self.resume, now + retry_after)
        if self._seen >= int(self.value):
            found = self._failed / self._seen
            if found > TOLERATED:
                self.value = max(1.0, self.value * (1 - found / 2))
            else:
                self.value = min(float(self.ceiling), self.value + max(1.0, self.value / 8))
            self._seen = self._failed = 0


class RequestSlots:
    """An async context manager that admits as many tasks as the limit allows, in the order of their arrival.

    In this order, requests that share a prefix reach the server together, and its prefix cache is used.
    """

    def __init__(self, limit: ConcurrencyLimit) -> None:
        self.limit = limit
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        if self._inside < int(self.limit.value) and not self._waiting:
            self._inside += 1
        else:
            place = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            try:
                await place  # the task that resolves it has counted this one as inside
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():
                    self._leave()
                raise
        try:
            while (wait := self.limit.resume - asyncio.get_running_loop().time()) > 0:
                await asyncio.sleep(wait)
        except asyncio.CancelledError:
            self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        self._inside -= 1
        while self._waiting and self._inside < int(self.limit.value):
            place = self._waiting.popleft()
            if not place.done():
                self._inside += 1
                place.set_result(None)
