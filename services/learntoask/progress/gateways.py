"""Talks with gateways in the operator: they tell which servers they see, and are told where servers are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import grpc
from pydantic import ValidationError

from learntoask.core.pod_contract import gateway_name
from learntoask.core.status.rollout import RolloutCounts
from learntoask.progress.callers import Verify, calling_pod
from learntoask.progress.tokens import PodIdentity
from learntoask.rpc.requests import InvalidRequest, Unparsable, require_parsed, tolerant_parser
from learntoask.wire import ask_pb2 as wire
from learntoask.wire import gateway_pb2

_SERVICE = gateway_pb2.DESCRIPTOR.services_by_name["GatewayService"].full_name
_LONGEST_ID = 63
_MOST_COUNTS = 100_000  # characters
_MOST_TEXT = 300  # characters of what a gateway says about its trouble
_Code = grpc.StatusCode


@dataclass(frozen=True, kw_only=True)
class GatewayView:
    """What the gateway in `pod` of an endpoint sees: it may ask `serving` policy servers now.

    While there are none, `trouble` says why one could not be reached, if one is known. `outcomes` were reported to it,
    and count at another gateway.
    """

    namespace: str
    endpoint: str
    pod: str
    serving: int
    trouble: str = ""
    rollout: CountsView | None = None
    outcomes: tuple[wire.ReportOutcomeRequest, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CountsView:
    """What a gateway has counted of the rollout `id` since its `start`."""

    id: str
    start: str
    counts: RolloutCounts


@dataclass(frozen=True, kw_only=True)
class Servers:
    """What a gateway is told: addresses (`ip:port`) of servers, of those of a policy that is tried, its rollout, and
    `outcomes` that other gateways were told since the last message."""

    addresses: tuple[str, ...] = ()
    canary: tuple[str, ...] = ()
    rollout: str = ""
    outcomes: tuple[wire.ReportOutcomeRequest, ...] = ()


class Gateways(Protocol):
    """What the operator knows about gateways and tells them. It is called in the server's event loop."""

    def seen(self, view: GatewayView) -> None:
        """Take what a gateway sees; it must be quick."""

    def servers(self, namespace: str, endpoint: str) -> AsyncIterator[Servers]:
        """Iterate over the endpoint's servers, as soon as they are known and after each change."""


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
            rollout = _counts(told.rollout) if told.HasField("rollout") else None
        except InvalidRequest as error:
            await context.abort(_Code.INVALID_ARGUMENT, str(error))
        if not told.endpoint or not identity.pod.startswith(f"{gateway_name(told.endpoint)}-"):
            await context.abort(
                _Code.PERMISSION_DENIED,
                f"pod {identity.namespace}/{identity.pod} is no gateway of endpoint {told.endpoint}",
            )
        return GatewayView(
            namespace=identity.namespace,
            endpoint=told.endpoint,
            pod=identity.pod,
            serving=told.serving,
            trouble=told.trouble[:_MOST_TEXT],
            rollout=rollout,
            outcomes=tuple(told.outcomes),
        )

    async def _tell(self, endpoint: str, identity: PodIdentity, context: grpc.aio.ServicerContext) -> None:
        async for servers in self._gateways.servers(identity.namespace, endpoint):
            await context.write(
                gateway_pb2.PolicyServers(
                    addresses=servers.addresses,
                    canary_addresses=servers.canary,
                    rollout=servers.rollout,
                    outcomes=servers.outcomes,
                )
            )


def _counts(view: gateway_pb2.RolloutView) -> CountsView:
    """Read counts. Raises InvalidRequest."""
    if not 0 < len(view.id) <= _LONGEST_ID or not 0 < len(view.start) <= _LONGEST_ID:
        raise InvalidRequest("rollout", f"give id and start, of at most {_LONGEST_ID} characters")
    if len(view.counts) > _MOST_COUNTS:
        raise InvalidRequest(
            "rollout.counts", f"{len(view.counts)} characters, at most {_MOST_COUNTS} are read"
        )
    try:
        counts = RolloutCounts.model_validate_json(view.counts)
    except ValidationError as error:
        raise InvalidRequest("rollout.counts", f"{error.error_count()} values are no counts") from error
    return CountsView(id=view.id, start=view.start, counts=counts)
