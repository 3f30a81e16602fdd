"""Which failed calls to a grader service are repeated, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

import grpc

from learntoask.core.backoff import Backoff
from learntoask.rpc.channels import GONE

Code = grpc.StatusCode

RETRYABLE = GONE | {Code.RESOURCE_EXHAUSTED, Code.DEADLINE_EXCEEDED, Code.ABORTED}
"""Codes of a service that is unreachable, full or slow. Repeating is safe, because grading twice changes nothing."""

REFUSALS = frozenset(
    {
        Code.INVALID_ARGUMENT,
        Code.UNAUTHENTICATED,
        Code.PERMISSION_DENIED,
        Code.UNIMPLEMENTED,
        Code.FAILED_PRECONDITION,
    }
)
"""Codes of a service that will never grade for this run, so that repeating is useless."""

BACKOFF = Backoff(first=0.1, longest=5.0)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Times in seconds: `timeout` bounds one call, `retry_for` an outage.

    After `hedge_after` seconds without an answer the same call is made a second time in parallel; None disables that.
    """

    timeout: float = 60.0
    retry_for: float = 180.0
    hedge_after: float | None = None
