"""Spans, and their export by OTLP, with OpenTelemetry's SDK. Only `tracing` imports this module."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from importlib.metadata import version
from urllib.parse import urlsplit

from opentelemetry import context, trace
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanKind

from learntoask.core.errors import InputError
from learntoask.core.network.proxy import proxy_for
from learntoask.rpc.channels import proxy_options
from learntoask.rpc.logs import LOGGER
from learntoask.rpc.spans import LiveSpan, Value, call_span, incoming

_LAST_SECONDS = 3.0  # for the spans that are left when the process ends
_SIGNAL, _ALL = "OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"
_next_trace: ContextVar[int | None] = ContextVar("_next_trace", default=None)


class Tracer:
    """Makes the spans of this process, and sends them from a thread."""

    def __init__(self, service: str) -> None:
        """Raises InputError, and what the library raises, for variables that make no sense."""
        self._exporter = _ToldOnce(_exporter(os.environ))
        self._provider = TracerProvider(
            resource=_resource(service), id_generator=_Ids(), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self.tracer: trace.Tracer = self._provider.get_tracer("learntoask", version("learntoask"))
        self._ids = _TraceIds()
        LOGGER.addFilter(self._ids)

    def stop(self) -> None:
        """Send what is left, for at most `_LAST_SECONDS`."""
        LOGGER.removeFilter(self._ids)
        closing = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        closing.start()
        closing.join(_LAST_SECONDS)
        if closing.is_alive():
            self._exporter.shutdown()

    def serving(
        self, method: str, metadata: Iterable[tuple[str, str | bytes]], *, within: LiveSpan | None
    ) -> LiveSpan:
        """See `tracing.serving`."""
        parent = incoming(metadata) if within is None else within.context
        return LiveSpan(call_span(self.tracer, method, SpanKind.SERVER, parent), current=True, serves=True)

    def calling(self, method: str, *, server: str) -> LiveSpan:
        """See `tracing.calling`."""
        made = call_span(self.tracer, method, SpanKind.CLIENT, context.get_current())
        made.set_attribute("server.address", server)
        return LiveSpan(made, current=False)

    def working(self, name: str, attributes: Mapping[str, Value], *, trace: str, parent: str) -> LiveSpan:
        """See `tracing.working`."""
        before = incoming((("traceparent", parent),) if parent else ())
        token = _next_trace.set(int(trace, 16) if trace else None)
        try:
            made = self.tracer.start_span(name, before, attributes=attributes)
        finally:
            _next_trace.reset(token)
        return LiveSpan(made, current=True)


class _Ids(RandomIdGenerator):
    """Random ids, but the trace that `working` names."""

    def generate_trace_id(self) -> int:
        return _next_trace.get() or super().generate_trace_id()


class _TraceIds(logging.Filter):
    """Adds the ids of the current trace and span to the fields of a log line. It refuses no line."""

    def filter(self, record: logging.LogRecord) -> bool:
        found = trace.get_current_span().get_span_context()
        if found.is_valid:
            ids = {"trace_id": f"{found.trace_id:032x}", "span_id": f"{found.span_id:016x}"}
            record.fields = {**getattr(record, "fields", {}), **ids}
        return True


class _ToldOnce(SpanExporter):
    """An exporter that logs when spans can no longer be sent, and when they can again.

    The library would log every batch, in a form of its own.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._failing = False
        self._reasons = _Reasons()
        library = logging.getLogger("opentelemetry")
        library.handlers, library.propagate = [self._reasons], False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        failing = result is not SpanExportResult.SUCCESS
        if failing and not self._failing:
            LOGGER.warning("traces cannot be sent, spans are lost: %s", self._reasons.last)
        if self._failing and not failing:
            LOGGER.info("traces are sent again")
        self._failing = failing
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class _Reasons(logging.Handler):
    """Keeps the last message of the library."""

    last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()


def _resource(service: str) -> Resource:
    """Return what the spans of this process say about it. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win."""
    host = socket.gethostname()
    own = {
        "service.name": service,
        "service.version": version("learntoask"),
        "service.instance.id": f"{host}-{os.getpid()}",
        "host.name": host,
    }
    return Resource.create(own).merge(OTELResourceDetector().detect())


def _exporter(environment: Mapping[str, str]) -> SpanExporter:
    """Return the exporter of the protocol that the variables name. It reads the other variables itself."""
    given = {
        name: environment.get(_SIGNAL + name) or environment.get(_ALL + name) or ""
        for name in ("PROTOCOL", "ENDPOINT")
    }
    protocol, endpoint = given["PROTOCOL"].strip() or "grpc", given["ENDPOINT"].strip()
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415 - one of two
            OTLPSpanExporter,
        )

        address = urlsplit(endpoint).netloc or endpoint
        return OTLPSpanExporter(channel_options=proxy_options(address, environment))  # type: ignore[arg-type]
    if protocol == "http/protobuf":
        import requests  # noqa: PLC0415
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter as OverHttp,
        )

        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f"{_ALL}ENDPOINT: {endpoint!r} is not an http:// or https:// address")
        session = requests.Session()
        session.trust_env = False  # it knows no loopback and no Services of a cluster
        proxy = proxy_for(parts.scheme, parts.hostname, environment)
        session.proxies = {parts.scheme: proxy} if proxy else {}
        return OverHttp(session=session)
    raise InputError(f"{_ALL}PROTOCOL: {protocol!r} is not one of grpc, http/protobuf")
