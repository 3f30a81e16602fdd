"""Takes reported outcomes. One that counts at another gateway is passed on to it by the operator."""

from __future__ import annotations

import math
from collections import deque
from contextlib import suppress
from typing import Protocol

import grpc

from learntoask.rpc.calls import UpstreamError
from learntoask.rpc.requests import InvalidRequest, check_id
from learntoask.serving.gateway.metrics import GatewayMetrics
from learntoask.serving.rollout.ledger import Ledger
from learntoask.wire import ask_pb2 as wire

_LONGEST = 64  # characters of its name and of its label
_WAITING = 1000  # reports to be passed on; the oldest is dropped


class OutcomeRecords(Protocol):
    """Records of outcomes."""

    def outcome(self, conversation: str, name: str, value: str | float, /) -> None: ...


class Outcomes:
    """Outcomes that callers report to this gateway. `passed_on` are the reports that the operator is to be told."""

    def __init__(self, ledger: Ledger, *, records: OutcomeRecords | None, metrics: GatewayMetrics) -> None:
        self._ledger, self._records, self._metrics = ledger, records, metrics
        self.passed_on: deque[wire.ReportOutcomeRequest] = deque(maxlen=_WAITING)

    def report(self, report: wire.ReportOutcomeRequest) -> bool:
        """Take a caller's report; return whether it is the first. Raises InvalidRequest, UpstreamError."""
        check_id("conversation_id", report.conversation_id)
        value = _checked(report)
        carried = report.assignment if report.HasField("assignment") else None
        try:
            reported = self._ledger.report(report.conversation_id, report.name, value, carried)
        except ValueError as error:
            self._metrics.count_outcome("conflicting")
            raise UpstreamError(
                grpc.StatusCode.ALREADY_EXISTS, f"{error}; the first report counts"
            ) from error
        except LookupError as error:
            self._metrics.count_outcome("unknown")
            raise UpstreamError(
                grpc.StatusCode.NOT_FOUND,
                f"conversation_id: this gateway has not served {report.conversation_id!r}; send the assignment of "
                "its last decision too",
            ) from error
        self._metrics.count_outcome("recorded" if reported.first else "repeated")
        if reported.first and self._records:
            self._records.outcome(report.conversation_id, report.name, value)
        if reported.elsewhere:
            self.passed_on.append(report)
        return reported.first

    def heard(self, report: wire.ReportOutcomeRequest) -> None:
        """Take what another gateway has passed on; only the one where the conversation began counts it."""
        if self._ledger.began_here(report.conversation_id):
            with suppress(ValueError, InvalidRequest):
                self._ledger.report(report.conversation_id, report.name, _checked(report), None)


def _checked(report: wire.ReportOutcomeRequest) -> str | float:
    """Return the reported value. Raises InvalidRequest."""
    if not report.conversation_id:
        raise InvalidRequest("conversation_id", "name the conversation that the outcome belongs to")
    if not 0 < len(report.name) <= _LONGEST:
        raise InvalidRequest("name", f"give the outcome a name of 1 to {_LONGEST} characters")
    kind = report.WhichOneof("value")
    if kind == "number" and math.isfinite(report.number):
        return float(report.number)
    if kind == "label" and 0 < len(report.label) <= _LONGEST:
        return str(report.label)
    raise InvalidRequest("value", f"give a label of 1 to {_LONGEST} characters, or a finite number")
