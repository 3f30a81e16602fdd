"""When a call is made again, and after how long: decisions only."""

from __future__ import annotations

from dataclasses import dataclass

import grpc

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

_FIRST_SECONDS = 0.1
_LONGEST_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds. `timeout` bounds one call, `retry_for` an outage; after `hedge_after` without an answer the same call
    is made a second time, None never does."""

    timeout: float = 60.0
    retry_for: float = 180.0
    hedge_after: float | None = None


def pause(attempt: int, *, draw: float) -> float:
    """Seconds before the attempt after `attempt` (from 1); `draw`, 0…1, is the jitter."""
    longest = min(_LONGEST_SECONDS, _FIRST_SECONDS * 2.0 ** min(attempt - 1, 30))
    return longest * (0.5 + draw / 2)
