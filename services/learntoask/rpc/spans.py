"""Spans of this process, by OpenTelemetry's API alone. Only `tracing` and `otlp` import this module."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from opentelemetry import context, trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

Value = str | int | float | bool
_PROPAGATOR = TraceContextTextMapPropagator()
# Status codes that are a server's failure (semantic conventions of gRPC); the others are its caller's.
_FAULTS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})


class LiveSpan:
    """A span that has begun. With `current` it is the current span of this task until it ends."""

    def __init__(self, span: trace.Span, *, current: bool, serves: bool = False) -> None:
        """`serves` is True for the span of a call to this process."""
        self._span = span
        self._serves = serves
        self._token = context.attach(trace.set_span_in_context(span)) if current else None
        self.trace_id = f"{span.get_span_context().trace_id:032x}"

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Metadata of a call that continues the trace: traceparent, and tracestate if there is one."""
        return _headers(self.context)

    @property
    def traceparent(self) -> str:
        """The span as the W3C header."""
        return dict(self.headers).get("traceparent", "")

    @property
    def context(self) -> context.Context:
        """The context in which a child of this span begins."""
        return trace.set_span_in_context(self._span)

    def set(self, attributes: Mapping[str, Value]) -> None:
        """Add attributes."""
        self._span.set_attributes(attributes)

    def end_call(self, code: str, error: BaseException | None = None) -> None:
        """End the span of a call with its status code. Of `error` only the type is kept: a message may quote a text."""
        self._span.set_attribute("rpc.response.status_code", code)
        failed = code in _FAULTS if self._serves else code != "OK"
        fault = type(error).__name__ if code == "INTERNAL" and error is not None else None
        self.end(code if failed else None, fault)

    def end(self, failure: str | None = None, description: str | None = None) -> None:
        """End the span: as failed, if `failure` has the kind of error."""
        if failure is not None:
            self._span.set_attribute("error.type", failure)
            self._span.set_status(Status(StatusCode.ERROR, description))
        self._span.end()
        if self._token is not None:
            context.detach(self._token)
            self._token = None


def call_span(tracer: trace.Tracer, method: str, kind: SpanKind, parent: context.Context) -> trace.Span:
    """Begin the span of the call of `method` (`package.Service/Method`)."""
    attributes = {"rpc.system.name": "grpc", "rpc.method": method}
    return tracer.start_span(method, parent, kind=kind, attributes=attributes)


def application_span(method: str, tracer: trace.Tracer | None) -> LiveSpan | None:
    """Begin the span of a call within the application's current span; None if it has none.

    `tracer` None takes the application's own.
    """
    if not trace.get_current_span().get_span_context().is_valid:
        return None
    made = call_span(tracer or trace.get_tracer("learntoask"), method, SpanKind.CLIENT, context.get_current())
    return LiveSpan(made, current=False)


def current_headers() -> tuple[tuple[str, str], ...]:
    """Return the metadata that continue the trace of the current span; none if there is no span."""
    return _headers(context.get_current())


def _headers(of: context.Context) -> tuple[tuple[str, str], ...]:
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, of)
    return tuple(carrier.items())


def incoming(metadata: Iterable[tuple[str, str | bytes]]) -> context.Context:
    """Return the context of the caller that sent `metadata`; that of a new trace if it sent none."""
    carrier = {key: value for key, value in metadata if isinstance(value, str)}
    return _PROPAGATOR.extract(carrier, context.Context())
