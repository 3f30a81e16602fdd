"""What a failed attempt means: whose fault it was, and whether another server may do better."""

from __future__ import annotations

from enum import Enum, auto

import grpc

from learntoask.rpc.channels import GONE

Code = grpc.StatusCode


class Verdict(Enum):
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


def verdict_of(code: grpc.StatusCode) -> Verdict:
    """A refused token counts as a fault: it is the gateway's own, never the caller's."""
    if code in _CALLER:
        return Verdict.CALLER
    if code is Code.RESOURCE_EXHAUSTED:
        return Verdict.BUSY
    if code in GONE:
        return Verdict.GONE
    return Verdict.FAULT
