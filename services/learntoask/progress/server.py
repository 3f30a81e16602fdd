"""Receives progress reports in the operator: `ProgressService` over gRPC, for pods that prove their identity."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import grpc
from prometheus_client import CollectorRegistry

from learntoask.progress.report import ProgressReport, from_wire, pod_of
from learntoask.progress.tokens import PodIdentity, TokenRefused
from learntoask.rpc.config import ListenConfig
from learntoask.rpc.logs import LOGGER
from learntoask.rpc.requests import InvalidRequest, require_parsed, tolerant_parser
from learntoask.rpc.server import GrpcServer
from learntoask.wire import progress_pb2

SERVICE = progress_pb2.DESCRIPTOR.services_by_name["ProgressService"].full_name
Code = grpc.StatusCode

Verify = Callable[[str], Awaitable[PodIdentity]]
"""Returns the pod that a token belongs to. Raises TokenRefused; any other exception means that checking failed."""


class ProgressServer(GrpcServer):
    """Receives progress reports from pods.

    `verify` checks a pod's token. `on_report` is called in the server's event loop with each report about the pod's own
    stage and with the pod's identity; it must be quick. Raises InputError if the port cannot be bound.
    """

    def __init__(
        self,
        config: ListenConfig,
        *,
        verify: Verify,
        on_report: Callable[[ProgressReport, PodIdentity], None],
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


class _ProgressService:
    busy = False  # a report is handled at once

    def __init__(self, verify: Verify, on_report: Callable[[ProgressReport, PodIdentity], None]) -> None:
        self._verify, self._on_report = verify, on_report

    def drain(self) -> None:
        """There is nothing to finish."""

    async def report(
        self, request: progress_pb2.ReportRequest, context: grpc.aio.ServicerContext
    ) -> progress_pb2.ReportResponse:
        identity = await self._caller(context)
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

    async def _caller(self, context: grpc.aio.ServicerContext) -> PodIdentity:
        token = _token(context)
        if not token:
            await context.abort(
                Code.UNAUTHENTICATED, "authorization: send metadata `authorization: Bearer TOKEN`"
            )
        try:
            return await self._verify(token)
        except TokenRefused as error:
            await context.abort(Code.UNAUTHENTICATED, f"authorization: {error}")
        except Exception as error:
            LOGGER.warning("the keys of the API server cannot be fetched: %s", error)
            await context.abort(
                Code.UNAVAILABLE,
                "the keys of the API server cannot be fetched now; send the report again later",
            )
        raise AssertionError("abort raises")


def _token(context: grpc.aio.ServicerContext) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == "authorization" and isinstance(value, str) and value.startswith("Bearer "):
            return value.removeprefix("Bearer ").strip()
    return ""
