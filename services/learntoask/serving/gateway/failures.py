"""What a failed attempt means: whose fault it was, and whether another server may do better."""

from __future__ import annotations

from enum import Enum, auto

import grpc

from learntoask.rpc.channels import GONE

Code = grpc.StatusCode


class FailureKind(Enum):
    CALLER = auto()
    """The request is at fault; every server would say the same."""
    BUSY = auto()
    """The server is sound and takes no more."""
    GONE = auto()
    """The server was not there, or went away while it was asked."""
    FAULT = auto()
    """The server tried and failed, or took too long."""


_CALLER = frozenset(
    {Code.INVALID_ARGUMENT, Code.FAILED_PRECONDITION, Code.OUT_OF_RANGE, Code.NOT_FOUND, Code.ALREADY_EXISTS}
)


def failure_kind(code: grpc.StatusCode) -> FailureKind:
    """A refused token counts as a fault: it is the gateway's own, never the caller's."""
    if code in _CALLER:
        return FailureKind.CALLER
    if code is Code.RESOURCE_EXHAUSTED:
        return FailureKind.BUSY
    if code in GONE:
        return FailureKind.GONE
    return FailureKind.FAULT
