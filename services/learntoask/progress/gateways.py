"""Talks with gateways in the operator: they tell which servers they see, and are told where servers are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import grpc

from learntoask.core.pod_contract import gateway_name
from learntoask.progress.callers import Verify, calling_pod
from learntoask.progress.tokens import PodIdentity
from learntoask.rpc.requests import InvalidRequest, Unparsable, require_parsed, tolerant_parser
from learntoask.wire import gateway_pb2

_SERVICE = gateway_pb2.DESCRIPTOR.services_by_name["GatewayService"].full_name
_Code = grpc.StatusCode


@dataclass(frozen=True, kw_only=True)
class GatewayView:
    """What the gateway in `pod` of an endpoint sees: it may ask `serving` policy servers now."""

    namespace: str
    endpoint: str
    pod: str
    serving: int


class Gateways(Protocol):
    """What the operator knows about gateways and tells them. It is called in the server's event loop."""

    def seen(self, view: GatewayView) -> None:
        """Take what a gateway sees; it must be quick."""

    def servers(self, namespace: str, endpoint: str) -> AsyncIterator[tuple[str, ...]]:
        """Iterate over the addresses of the endpoint's servers, as soon as they are known and after each change."""


def gateway_handlers(verify: Verify, gateways: Gateways) -> grpc.GenericRpcHandler:
    """Return the handlers of GatewayService. `verify` checks a pod's token."""
    follow = grpc.stream_stream_rpc_method_handler(
        _GatewayService(verify, gateways).follow,
        request_deserializer=tolerant_parser(gateway_pb2.GatewayView),
        response_serializer=gateway_pb2.PolicyServers.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(_SERVICE, {"Follow": follow})


class _GatewayService:
    def __init__(self, verify: Verify, gateways: Gateways) -> None:
        self._verify, self._gateways = verify, gateways

    async def follow(
        self,
        requests: AsyncIterator[gateway_pb2.GatewayView | Unparsable],
        context: grpc.aio.ServicerContext,
    ) -> None:
        identity = await calling_pod(context, self._verify)
        telling: asyncio.Task[None] | None = None
        try:
            async for request in requests:
                view = await self._view(request, identity, context)
                self._gateways.seen(view)
                telling = telling or asyncio.create_task(self._tell(view.endpoint, identity, context))
        finally:
            if telling is not None:
                telling.cancel()
                with suppress(asyncio.CancelledError):
                    await telling

    async def _view(
        self,
        request: gateway_pb2.GatewayView | Unparsable,
        identity: PodIdentity,
        context: grpc.aio.ServicerContext,
    ) -> GatewayView:
        """Read a message, or end the call with what is wrong about it."""
        try:
            told = require_parsed(request)
            if told.serving < 0:
                raise InvalidRequest("serving", f"{told.serving} servers; give 0 or more")
        except InvalidRequest as error:
            await context.abort(_Code.INVALID_ARGUMENT, str(error))
        if not told.endpoint or not identity.pod.startswith(f"{gateway_name(told.endpoint)}-"):
            await context.abort(
                _Code.PERMISSION_DENIED,
                f"pod {identity.namespace}/{identity.pod} is no gateway of endpoint {told.endpoint}",
            )
        return GatewayView(
            namespace=identity.namespace, endpoint=told.endpoint, pod=identity.pod, serving=told.serving
        )

    async def _tell(self, endpoint: str, identity: PodIdentity, context: grpc.aio.ServicerContext) -> None:
        async for addresses in self._gateways.servers(identity.namespace, endpoint):
            await context.write(gateway_pb2.PolicyServers(addresses=addresses))
