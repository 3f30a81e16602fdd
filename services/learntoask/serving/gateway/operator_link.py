"""Tells the operator which policy servers this gateway sees, and learns from it where servers are.

A new server is so known at once, and by a look-up only seconds later. While no operator answers, the gateway does
without.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from pathlib import Path

import grpc

from learntoask.core.backoff import Backoff
from learntoask.core.errors import InputError
from learntoask.rpc.channels import LASTING, authorization, open_channel
from learntoask.rpc.config import token_in
from learntoask.rpc.logs import LOGGER
from learntoask.serving.gateway.backends import BackendPool
from learntoask.wire import gateway_pb2
from learntoask.wire.gateway_pb2_grpc import GatewayServiceStub

_BACKOFF = Backoff(first=0.5, longest=10.0)
_LOOK_SECONDS = 1.0  # between two looks at the servers, should a change not have been heard
_OPTIONS = (*LASTING, ("grpc.max_reconnect_backoff_ms", 5000))


class OperatorLink:
    """The stream to the operator at `address`, of a gateway of `endpoint`. `start` it, then `close` it.

    `token` is the file of the projected token; it is read for every stream, because the kubelet renews it.
    """

    def __init__(self, address: str, *, token: Path, endpoint: str, backends: BackendPool) -> None:
        self._address, self._token, self._endpoint = address, token, endpoint
        self._backends = backends
        self._failures = 0  # in a row
        self._following: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect, and connect again whenever the stream ends. Raises InputError as `open_channel` does."""
        channel = open_channel(self._address, tls=None, options=_OPTIONS)
        self._following = asyncio.create_task(self._follow(channel))

    async def close(self) -> None:
        """End the stream."""
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following

    async def _follow(self, channel: grpc.aio.Channel) -> None:
        async with channel:
            stub = GatewayServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
            while True:
                try:
                    await self._talk(stub)
                    reason = "the operator ended the stream"
                except grpc.aio.AioRpcError as error:
                    reason = f"{error.code().name}: {error.details()}"
                except InputError as error:
                    reason = str(error)
                self._backends.told_no_more()
                self._failures += 1
                if self._failures == 1:
                    fields = {"operator": self._address, "reason": reason}
                    LOGGER.warning("operator away, servers are looked up", extra={"fields": fields})
                await asyncio.sleep(_BACKOFF.delay(self._failures, draw=random.random()))

    async def _talk(self, stub: GatewayServiceStub) -> None:
        """Exchange what both sides know until the stream ends."""
        call = stub.Follow(metadata=authorization(token_in(self._token)))
        telling = asyncio.create_task(self._tell(call))
        try:
            async for servers in call:
                self._failures = 0
                self._backends.told(servers.addresses)
        finally:
            telling.cancel()
            call.cancel()
            await asyncio.gather(telling, return_exceptions=True)

    async def _tell(self, call: grpc.aio.StreamStreamCall) -> None:
        """Tell how many servers serve, now and at each change."""
        told = None
        while True:
            serving = sum(self._backends.serving())
            if serving == told:
                await self._backends.change(_LOOK_SECONDS)
                continue
            await call.write(gateway_pb2.GatewayView(endpoint=self._endpoint, serving=serving))
            told = serving
