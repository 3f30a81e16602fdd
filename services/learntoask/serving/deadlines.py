"""Deadlines of many waits on one timer of the event loop.

A timer for each wait would cost as much as reading the request.
"""

from __future__ import annotations

import asyncio
from math import inf


class Deadlines:
    """Ends waits at their deadlines. Construct it inside the event loop that runs it."""

    def __init__(self) -> None:
        self._due: dict[asyncio.Timeout, float] = {}
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.Handle | None = None
        self._next = inf

    def __len__(self) -> int:
        """The number of waits between `begin` and `end`."""
        return len(self._due)

    def begin(self, wait: asyncio.Timeout, *, seconds: float) -> None:
        """Make `async with wait` raise TimeoutError after `seconds`. `wait` is an entered `asyncio.timeout(None)`."""
        due = self._due[wait] = self._loop.time() + seconds
        if due < self._next:
            self._wake_at(due)

    def end(self, wait: asyncio.Timeout) -> None:
        """Forget a wait that is over."""
        del self._due[wait]

    def _wake_at(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = due
        self._timer = self._loop.call_at(due, self._expire)

    def _expire(self) -> None:
        self._timer, self._next = None, inf
        now = self._loop.time()
        for wait, due in self._due.items():
            if due <= now:
                wait.reschedule(now)
                self._due[wait] = inf  # do not cancel it a second time while it ends
        if (due := min(self._due.values(), default=inf)) < inf:
            self._wake_at(due)
