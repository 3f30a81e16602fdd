"""Receives what pods tell the operator, over gRPC: progress of stages, and what gateways see."""

from __future__ import annotations

from collections.abc import Callable

import grpc
from prometheus_client import CollectorRegistry

from learntoask.progress.callers import Verify, calling_pod
from learntoask.progress.gateways import Gateways, gateway_handlers
from learntoask.progress.report import ProgressReport, from_wire, pod_of
from learntoask.progress.tokens import PodIdentity
from learntoask.rpc.config import ListenConfig
from learntoask.rpc.requests import InvalidRequest, require_parsed, tolerant_parser
from learntoask.rpc.server import GrpcServer
from learntoask.wire import progress_pb2

SERVICE = progress_pb2.DESCRIPTOR.services_by_name["ProgressService"].full_name
Code = grpc.StatusCode


class ProgressServer(GrpcServer):
    """Receives progress reports from the pods of stages, and talks with gateways.

    `verify` checks a pod's token. `on_report` is called in the server's event loop with each report about the pod's own
    stage and with the pod's identity; it must be quick. `gateways` is what gateways talk with. Raises InputError if the
    port cannot be bound.
    """

    def __init__(
        self,
        config: ListenConfig,
        *,
        verify: Verify,
        on_report: Callable[[ProgressReport, PodIdentity], None],
        gateways: Gateways,
    ) -> None:
        service = _ProgressService(verify, on_report)
        report = grpc.unary_unary_rpc_method_handler(
            service.report,
            request_deserializer=tolerant_parser(progress_pb2.ReportRequest),
            response_serializer=progress_pb2.ReportResponse.SerializeToString,
        )
        super().__init__(
            config,
            service,
            name=SERVICE,
            handlers=grpc.method_handlers_generic_handler(SERVICE, {"Report": report}),
            registry=CollectorRegistry(),
        )
        self._server.add_generic_rpc_handlers((gateway_handlers(verify, gateways),))


class _ProgressService:
    busy = False  # a report is handled at once, and a gateway looks for another operator

    def __init__(self, verify: Verify, on_report: Callable[[ProgressReport, PodIdentity], None]) -> None:
        self._verify, self._on_report = verify, on_report

    def drain(self) -> None:
        """There is nothing to finish."""

    async def report(
        self, request: progress_pb2.ReportRequest, context: grpc.aio.ServicerContext
    ) -> progress_pb2.ReportResponse:
        identity = await calling_pod(context, self._verify)
        try:
            report = from_wire(require_parsed(request))
        except InvalidRequest as error:
            await context.abort(Code.INVALID_ARGUMENT, str(error))
        if report.namespace != identity.namespace or not pod_of(report).match(identity.pod):
            await context.abort(
                Code.PERMISSION_DENIED,
                f"pod {identity.namespace}/{identity.pod} is not of attempt {report.attempt} of stage {report.stage} "
                f"of run {report.namespace}/{report.run}",
            )
        self._on_report(report, identity)
        return progress_pb2.ReportResponse()
