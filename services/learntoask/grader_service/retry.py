"""When a call is made again, and after how long: decisions only."""

from __future__ import annotations

from dataclasses import dataclass

import grpc

from learntoask.core.backoff import Backoff
from learntoask.rpc.channels import GONE

Code = grpc.StatusCode

RETRYABLE = GONE | {Code.RESOURCE_EXHAUSTED, Code.DEADLINE_EXCEEDED, Code.ABORTED}
"""The service is away, full or slow; grading twice changes nothing."""

REFUSALS = frozenset(
    {
        Code.INVALID_ARGUMENT,
        Code.UNAUTHENTICATED,
        Code.PERMISSION_DENIED,
        Code.UNIMPLEMENTED,
        Code.FAILED_PRECONDITION,
    }
)
"""The run and the service do not fit each other; no grade can ever be had this way."""

BACKOFF = Backoff(first=0.1, longest=5.0)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds. `timeout` bounds one call, `retry_for` an outage; after `hedge_after` without an answer the same call
    is made a second time, None never does."""

    timeout: float = 60.0
    retry_for: float = 180.0
    hedge_after: float | None = None
