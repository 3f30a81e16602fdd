"""Retries of requests during an outage of the service."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from learntoask.core.backoff import Backoff

logger = logging.getLogger(__name__)
T = TypeVar("T")
_BACKOFF = Backoff(first=0.2, longest=5.0)


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a request is retried after its first failure. The default covers the restart of a server or the loss of
    a node, which take up to a minute; longer outages need a person."""

    seconds: float = 150.0


PATIENCE = Patience()


def call_with_retries(
    request: Callable[[], T],
    *,
    is_transient: Callable[[Exception], bool],
    patience: Patience,
    doing: str,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    draw: Callable[[], float] = random.random,
) -> T:
    """Call `request` until it succeeds and return its result.

    Raises its last error if `is_transient` is false for it, or if the time in `patience` is over. `doing` describes the
    request in the log. `now`, `sleep` and `draw` (random numbers from [0, 1)) are replaced in tests.
    """
    failures, deadline = 0, None
    while True:
        try:
            return request()
        except Exception as error:
            if not is_transient(error):
                raise
            if deadline is None:
                deadline = now() + patience.seconds
                logger.warning("%s: %s; trying again for %.0f s", doing, first_line(error), patience.seconds)
            failures += 1
            if now() + _BACKOFF.delay(failures) > deadline:
                raise
        sleep(_BACKOFF.delay(failures, draw=draw()))


def first_line(error: Exception) -> str:
    """Return the first line of an error message, without the Python object that urllib3 prints before it."""
    text = str(error).strip().partition("\n")[0]
    return (text.rpartition(">: ")[2] or type(error).__name__)[:300]
