"""Classifies failed attempts: whose fault a failure is, and whether another server can do better."""

from __future__ import annotations

from enum import Enum, auto

import grpc

from learntoask.rpc.channels import GONE

Code = grpc.StatusCode


class FailureKind(Enum):
    """Cause of a failed attempt."""

    CALLER = auto()
    """The request is at fault; every server would refuse it."""
    BUSY = auto()
    """The server is healthy but takes no more requests."""
    GONE = auto()
    """The server was unreachable or went away during the attempt."""
    FAULT = auto()
    """The server tried and failed, or took too long."""


_CALLER = frozenset(
    {Code.INVALID_ARGUMENT, Code.FAILED_PRECONDITION, Code.OUT_OF_RANGE, Code.NOT_FOUND, Code.ALREADY_EXISTS}
)


def failure_kind(code: grpc.StatusCode) -> FailureKind:
    """Classify a status code. A refused token is a FAULT, because the token is the gateway's and not the caller's."""
    if code in _CALLER:
        return FailureKind.CALLER
    if code is Code.RESOURCE_EXHAUSTED:
        return FailureKind.BUSY
    if code in GONE:
        return FailureKind.GONE
    return FailureKind.FAULT
