"""Progress that is passed on at most ten times a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

_INTERVAL = 0.1  # seconds


class ThrottledProgress:
    """Implements core.stages.contract.Progress. `send` receives `{"done", "total", "message", "metrics"}`.

    The end of a step is always sent.
    """

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send = send
        self._last = 0.0

    def update(self, done: float, total: float, message: str = "", **metrics: float) -> None:
        now = time.monotonic()
        if now - self._last < _INTERVAL and done < total:
            return
        self._last = now
        self._send({"done": done, "total": total, "message": message, "metrics": metrics})
