"""The estimated remaining time of a step."""

from __future__ import annotations

import time
from collections.abc import Callable


class RemainingTime:
    """Estimated time remaining of the current step, extrapolated from its progress so far."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._step: tuple[str, float] | None = None
        self._began = (0.0, 0.0)

    def remaining(self, done: float, total: float, message: str) -> float | None:
        """Return seconds; None before the step `message` has made progress."""
        if (message, total) != self._step or done < self._began[1]:
            self._step, self._began = (message, total), (self._now(), done)
        seconds, units = self._now() - self._began[0], done - self._began[1]
        return seconds / units * (total - done) if units > 0 and total >= done else None
