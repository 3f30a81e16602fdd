"""Waiting out an outage: a request is repeated until it succeeds, fails for good, or patience ends."""

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
    """`seconds`: how long after its first failure a request is still repeated. A server's restart or the loss of a
    node takes up to a minute; what is behind that is for a person to see to."""

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
    """The result of `request`. Raises what it raised last, once that is not `transient` or patience has ended."""
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
    """What went wrong in one line, without the object addresses that urllib3 puts before it."""
    text = str(error).strip().partition("\n")[0]
    return (text.rpartition(">: ")[2] or type(error).__name__)[:300]
