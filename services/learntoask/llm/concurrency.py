"""How many requests are under way at once, and when a failed one is tried again.

The limit follows the share of requests that fail, as DCTCP's window follows the share of marked packets (RFC 8257):
after every round of as many results as the limit, it shrinks by half that share where the share is above TOLERATED,
and grows by an eighth otherwise. Halving at every single failure, as TCP does, would bring 64 requests down to 4 on a
server that merely drops a tenth of them.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass

from learntoask.core.backoff import Backoff

TOLERATED = 0.2  # share of failures below which trying again costs less than asking more slowly
_RETRIES = Backoff(first=0.25, longest=30.0)


def retry_delay(attempt: int, *, retry_after: float | None = None) -> float:
    """Seconds to wait after failed attempt number `attempt` (from 1): doubling, with jitter, at least what the server
    asks for."""
    return max(_RETRIES.delay(attempt, draw=random.random()), retry_after or 0.0)


@dataclass
class ConcurrencyLimit:
    """The limit, as a function of the results so far; knows no clock but the one it is told."""

    ceiling: int
    limit: float = 0.0
    share: float = 0.0  # of failures, over about the last round
    resume: float = 0.0  # time before which nothing is sent
    _failed: int = 0
    _seen: int = 0

    def __post_init__(self) -> None:
        self.limit = self.limit or float(self.ceiling)

    def note(self, *, failed: bool, now: float, retry_after: float | None = None) -> None:
        """Count a result. A wait that the server asks for holds everybody up once many are refused."""
        self._seen += 1
        self._failed += failed
        self.share += (failed - self.share) / max(8.0, self.limit)
        if failed and retry_after and self.share > TOLERATED:
            self.resume = max(self.resume, now + retry_after)
        if self._seen >= int(self.limit):
            found = self._failed / self._seen
            if found > TOLERATED:
                self.limit = max(1.0, self.limit * (1 - found / 2))
            else:
                self.limit = min(float(self.ceiling), self.limit + max(1.0, self.limit / 8))
            self._seen = self._failed = 0


class RequestSlots:
    """Lets as many in as the pace allows, first come, first served: requests that share a prefix stay together."""

    def __init__(self, pace: ConcurrencyLimit) -> None:
        self.pace = pace
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        if self._inside < int(self.pace.limit) and not self._waiting:
            self._inside += 1
        else:
            place = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            try:
                await place  # whoever resolves it has counted us as inside
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():
                    self._leave()
                raise
        try:
            while (wait := self.pace.resume - asyncio.get_running_loop().time()) > 0:
                await asyncio.sleep(wait)
        except asyncio.CancelledError:
            self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        self._inside -= 1
        while self._waiting and self._inside < int(self.pace.limit):
            place = self._waiting.popleft()
            if not place.done():
                self._inside += 1
                place.set_result(None)
