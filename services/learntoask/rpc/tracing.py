"""Traces by OpenTelemetry: one of each call through client, gateway and policy server, one of each stage.

They are off unless the OTEL_… variables of OpenTelemetry name a receiver. Off, every function here costs a comparison;
`spans` and `otlp`, and with them the extra `tracing`, are imported only when they are on. Spans hold names, digests,
counts and status codes, never the text of a conversation.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from learntoask.rpc.logs import LOGGER

if TYPE_CHECKING:
    import grpc

    from learntoask.rpc.otlp import Tracer
    from learntoask.rpc.spans import LiveSpan

Headers = tuple[tuple[str, str], ...]
TRACEPARENT = "TRACEPARENT"
"""Variable with the W3C traceparent of the span that started a process."""
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_API = "opentelemetry.trace"
_OFF: AbstractContextManager[Headers] = nullcontext(())
_tracer: Tracer | None = None  # of this process


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Return whether the variables of OpenTelemetry name a receiver of traces and do not switch them off."""
    off = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    exporters = environment.get("OTEL_TRACES_EXPORTER") or "otlp"
    named = any(environment.get(name) for name in _ENDPOINTS)
    return named and not off and "otlp" in [name.strip() for name in exporters.split(",")]


@contextmanager
def tracing(service: str) -> Iterator[None]:
    """Export the spans of this process until the block ends, if the environment wants it; at the end wait 3 s for it.

    `service` names the process in the traces unless OTEL_SERVICE_NAME does. Traces never stop the work: what is wrong
    with the variables, or a package that is missing, is logged.
    """
    global _tracer  # noqa: PLW0603 - a property of the process
    if _tracer is not None or not is_wanted(os.environ):
        yield
        return
    _tracer = _start(service)
    try:
        yield
    finally:
        if _tracer is not None:
            _tracer.stop()
        _tracer = None


def _start(service: str) -> Tracer | None:
    try:
        from learntoask.rpc.otlp import Tracer  # noqa: PLC0415 - an extra

        return Tracer(service)
    except ModuleNotFoundError as error:
        LOGGER.warning(
            "no traces: the package %s is not installed; pip install 'learntoask[tracing]'", error.name
        )
    except Exception as error:  # the library has no common type for variables that make no sense
        LOGGER.warning("no traces: %s", error)
    return None


def serving(
    service: str, method: str, call: grpc.aio.ServicerContext, *, within: LiveSpan | None
) -> LiveSpan | None:
    """Begin the span of a call to this server, current in this task; None while traces are off.

    The parent is `within`, or else the span that the caller names in the call's metadata.
    """
    if _tracer is None:
        return None
    return _tracer.serving(f"{service}/{method}", call.invocation_metadata() or (), within=within)


def calling(method: str, *, server: str) -> AbstractContextManager[Headers]:
    """The span of a call of `method` (`package.Service/Method`) to `server`, within the current span.

    It gives the metadata by which the call continues the trace; none while traces are off.
    """
    return _OFF if _tracer is None else _outgoing(_tracer.calling(method, server=server))


def calling_from_application(method: str) -> AbstractContextManager[Headers]:
    """The same for a call of the client library: within the span of the application that uses it, if it has one.

    The application's own OpenTelemetry makes the span.
    """
    if _tracer is None and _API not in sys.modules:
        return _OFF
    from learntoask.rpc.spans import application_span  # noqa: PLC0415 - an extra

    span = application_span(method, _tracer.tracer if _tracer else None)
    return _OFF if span is None else _outgoing(span)


def headers_of_application() -> Headers:
    """Return metadata that continue the application's trace, for a stream that outlives its current span."""
    if _API not in sys.modules:
        return ()
    from learntoask.rpc.spans import current_headers  # noqa: PLC0415 - an extra

    return current_headers()


@contextmanager
def _outgoing(span: LiveSpan) -> Iterator[Headers]:
    import grpc  # noqa: PLC0415 - who calls this has imported it

    code = grpc.StatusCode.CANCELLED
    try:
        yield span.headers
        code = grpc.StatusCode.OK
    except grpc.RpcError as error:
        code = error.code()
        raise
    finally:
        span.end_call(code.name)


def working(
    name: str, *, attributes: Mapping[str, str | int], trace: str = "", parent: str = ""
) -> LiveSpan | None:
    """Begin the span of a piece of work that is no call; None while traces are off.

    `parent` is the traceparent of the span that it belongs to. Without one it begins the trace `trace` (32 hex digits).
    """
    return None if _tracer is None else _tracer.working(name, attributes, trace=trace, parent=parent)
