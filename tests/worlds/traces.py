"""A receiver of traces on loopback: a gRPC server of OpenTelemetry's own protocol."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

_PATIENCE = 60.0  # seconds; bounds a hang


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as it came over the wire, ids in hex, with its resource's attributes."""

    name: str
    kind: int
    trace: str
    span: str
    parent: str
    attributes: dict[str, Any]
    resource: dict[str, Any]
    failed: bool
    description: str

    @property
    def service(self) -> str:
        return str(self.resource["service.name"])


class TraceReceiver(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps all spans and the metadata of the calls that brought them."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.spans: list[ReceivedSpan] = []
        self.metadata: list[dict[str, Any]] = []
        self._changed = threading.Condition()

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.take(request, dict(context.invocation_metadata()))
        return trace_service_pb2.ExportTraceServiceResponse()

    def take(self, request: Any, metadata: dict[str, Any]) -> None:
        found = [
            ReceivedSpan(
                name=span.name,
                kind=span.kind,
                trace=span.trace_id.hex(),
                span=span.span_id.hex(),
                parent=span.parent_span_id.hex(),
                attributes=_values(span.attributes),
                resource=_values(every.resource.attributes),
                failed=span.status.code == span.status.STATUS_CODE_ERROR,
                description=span.status.message,
            )
            for every in request.resource_spans
            for scope in every.scope_spans
            for span in scope.spans
        ]
        with self._changed:
            self.spans += found
            self.metadata.append(metadata)
            self._changed.notify_all()

    def wait(self, count: int, **match: Any) -> list[ReceivedSpan]:
        """Wait until at least `count` spans whose fields are those of `match` have come, and return them."""

        def found() -> list[ReceivedSpan]:
            return [s for s in self.spans if all(getattr(s, name) == value for name, value in match.items())]

        with self._changed:
            assert self._changed.wait_for(lambda: len(found()) >= count, _PATIENCE), self.spans
            return found()


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


@contextmanager
def trace_receiver(port: int = 0) -> Iterator[TraceReceiver]:
    """A receiver of OTLP over gRPC, on a free port unless one is given."""
    receiver = TraceReceiver()
    server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(receiver, server)
    receiver.endpoint = f"http://127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}"
    server.start()
    try:
        yield receiver
    finally:
        server.stop(None).wait(30)
