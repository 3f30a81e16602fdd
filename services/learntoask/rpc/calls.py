"""Handling common to all calls: request id, status code of a failure, metrics and log line."""

from __future__ import annotations

import asyncio
import random
import time
from types import TracebackType
from typing import TYPE_CHECKING

import grpc

from learntoask.core.errors import InputError
from learntoask.rpc import tracing
from learntoask.rpc.logs import LOGGER, log_call
from learntoask.rpc.metrics import CallMetrics
from learntoask.rpc.requests import MAX_ID_LENGTH, InvalidRequest

if TYPE_CHECKING:
    from learntoask.rpc.spans import LiveSpan

REQUEST_ID = "x-request-id"
# What a span keeps of a call's log line, besides the request's id: nothing that a caller wrote.
_SPAN_FIELDS = frozenset(
    {
        "action",
        "answers",
        "cached_tokens",
        "cases",
        "completion_tokens",
        "messages",
        "origin",
        "policy_revision",
        "prompt_tokens",
        "server",
        "stop_probability",
    }
)
Code = grpc.StatusCode


class Draining(Exception):
    """The server is shutting down and takes no more calls. The message says what to do at another server."""


class Overloaded(Exception):
    """The server runs as much work as it takes."""


class UpstreamError(Exception):
    """The status of a server behind this one, to be passed on to the caller."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def status_of(error: BaseException, *, request_id: str) -> tuple[grpc.StatusCode, str]:
    """Return the status code and message for the caller of a call that raised `error`; the message says what to do."""
    match error:
        case UpstreamError():
            return error.code, str(error)
        case InvalidRequest() | InputError():
            return Code.INVALID_ARGUMENT, str(error)
        case Overloaded():
            return Code.RESOURCE_EXHAUSTED, f"{error}; retry later or elsewhere"
        case TimeoutError():
            return (
                Code.DEADLINE_EXCEEDED,
                "no answer before the deadline; the server is busy or the deadline too short",
            )
        case Draining():
            return Code.UNAVAILABLE, f"the server drains; {error}"
        case asyncio.CancelledError():
            return Code.CANCELLED, "cancelled by the caller"
        case _:
            return (
                Code.INTERNAL,
                f"a fault of the server; its log has the details under request id {request_id}",
            )


class Call:
    """Context manager around the making of one answer: an exception inside aborts the call with its status.

    `fields` become keys of the call's log line. `within` is the call of the stream that this answer belongs to.
    """

    __slots__ = ("_context", "_metrics", "_span", "_started", "_within", "fields", "method", "request_id")

    def __init__(
        self,
        method: str,
        context: grpc.aio.ServicerContext,
        metrics: CallMetrics,
        *,
        request_id: str = "",
        within: Call | None = None,
    ) -> None:
        self._started = time.perf_counter()
        self._context = context
        self._metrics = metrics
        self.method = method
        self.request_id = request_id or _request_id(context)
        self.fields: dict[str, object] = {}
        self._within = within
        self._span: LiveSpan | None = None

    async def __aenter__(self) -> Call:
        self._span = tracing.serving(
            self._metrics.service,
            self.method,
            self._context,
            within=None if self._within is None else self._within._span,
        )
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if error is None:
            self._finish(Code.OK)
            return
        if isinstance(
            error, grpc.aio.AbortError
        ):  # an answer inside this stream has aborted the call already
            self._finish(Code(self._context.code()))
            return
        code, message = status_of(error, request_id=self.request_id)
        self._finish(code, error=error, message=message)
        self._context.set_trailing_metadata(((REQUEST_ID, self.request_id),))
        if not isinstance(error, asyncio.CancelledError):
            await self._context.abort(code, message)

    def _finish(
        self, code: grpc.StatusCode, *, error: BaseException | None = None, message: str = ""
    ) -> None:
        seconds = time.perf_counter() - self._started
        self._metrics.calls[self.method, code.name] += 1
        self._metrics.seconds.observe((self.method,), seconds)
        fields = {
            "method": self.method,
            "request_id": self.request_id,
            "code": code.name,
            "ms": round(seconds * 1000, 3),
            **self.fields,
        }
        if message:
            fields["status_message"] = message
        if code is Code.INTERNAL:
            LOGGER.error("call", exc_info=error, extra={"fields": fields})
        else:
            log_call(fields)
        if self._span is not None:
            kept = {
                f"learntoask.{name}": value
                for name, value in self.fields.items()
                if name in _SPAN_FIELDS and isinstance(value, (str, int, float))
            }
            self._span.set({"learntoask.request_id": self.request_id, **kept})
            self._span.end_call(code.name, error)


def _request_id(context: grpc.aio.ServicerContext) -> str:
    """Return the caller's request id or a new one. Decisions carry it; errors carry it as trailing metadata."""
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID and isinstance(value, str) and 0 < len(value) <= MAX_ID_LENGTH:
            return value
    return f"{random.getrandbits(64):016x}"  # not a secret, and the system's random source costs 50 µs
