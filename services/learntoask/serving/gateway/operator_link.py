"""Tells the operator which policy servers this gateway sees, and learns from it where servers are.

A new server is so known at once, and by a look-up only seconds later. While no operator answers, the gateway does
without.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import grpc

from learntoask.core.backoff import Backoff
from learntoask.core.errors import InputError
from learntoask.rpc.channels import LASTING, Tls, authorization, open_channel
from learntoask.rpc.config import token_in
from learntoask.rpc.logs import LOGGER
from learntoask.serving.gateway.backends import BackendPool
from learntoask.wire import ask_pb2 as wire
from learntoask.wire import gateway_pb2
from learntoask.wire.gateway_pb2_grpc import GatewayServiceStub

_BACKOFF = Backoff(first=0.5, longest=10.0)
_LOOK_SECONDS = 1.0  # between two looks at the servers, should a change not have been heard
_MOST_PASSED = 100  # outcomes in one message
_LONGEST_TROUBLE = 300  # characters
_OPTIONS = (*LASTING, ("grpc.max_reconnect_backoff_ms", 5000))


class FollowedRollout(Protocol):
    """The rollout that the operator decides."""

    def take(self, rollout: str, /) -> None:
        """Take what the operator tells: a rollout as in its file, or nothing if there is none."""

    def view(self) -> gateway_pb2.RolloutView | None:
        """Return what was counted; None if there is no rollout."""


class PassedOutcomes(Protocol):
    """Reported outcomes that count at other gateways."""

    passed_on: deque[wire.ReportOutcomeRequest]

    def heard(self, report: wire.ReportOutcomeRequest, /) -> None:
        """Take what another gateway has passed on."""


class OperatorLink:
    """The stream to the operator at `address`, of a gateway of `endpoint`. `start` it, then `close` it.

    `token` is the file of the projected token; it is read for every stream, because the kubelet renews it, and so are
    the files of `tls`.
    """

    def __init__(
        self,
        address: str,
        *,
        token: Path,
        tls: Tls | None,
        endpoint: str,
        backends: BackendPool,
        canary: BackendPool | None,
        rollout: FollowedRollout | None,
        outcomes: PassedOutcomes,
    ) -> None:
        """`canary` are the servers of a policy that is tried, and `rollout` is told of its rollout."""
        self._address, self._token, self._tls, self._endpoint = address, token, tls, endpoint
        self._backends, self._canary, self._rollout = backends, canary, rollout
        self._outcomes = outcomes
        self._failures = 0  # in a row
        self._following: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect, and again whenever the stream ends. Raises InputError as `open_channel` does."""
        self._channel = self._open()
        self._following = asyncio.create_task(self._follow())

    async def close(self) -> None:
        """End the stream."""
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following
            self._following = None
            await self._channel.close()

    def _open(self) -> grpc.aio.Channel:
        tls = self._tls and self._tls.read()
        self._versions = tls.versions if tls else ()
        return open_channel(self._address, tls=tls, options=_OPTIONS)

    async def _follow(self) -> None:
        while True:
            try:
                if self._tls and self._tls.versions != self._versions:
                    renewed = self._open()
                    await self._channel.close()
                    self._channel = renewed
                await self._talk()
                reason = "the operator ended the stream"
            except grpc.aio.AioRpcError as error:
                reason = f"{error.code().name}: {error.details()}"
            except InputError as error:
                reason = str(error)
            self._backends.told_no_more()
            if self._canary is not None:
                self._canary.told_no_more()
            self._failures += 1
            if self._failures == 1:
                fields = {"operator": self._address, "reason": reason}
                LOGGER.warning("operator away, servers are looked up", extra={"fields": fields})
            await asyncio.sleep(_BACKOFF.delay(self._failures, draw=random.random()))

    async def _talk(self) -> None:
        """Exchange what both sides know until the stream ends."""
        stub = GatewayServiceStub(self._channel)  # type: ignore[no-untyped-call]  # generated
        call = stub.Follow(metadata=authorization(token_in(self._token)))
        telling = asyncio.create_task(self._tell(call))
        try:
            async for servers in call:
                self._failures = 0
                self._backends.told(servers.addresses)
                if self._canary is not None:
                    self._canary.told(servers.canary_addresses)
                if self._rollout is not None:
                    self._rollout.take(servers.rollout)
                for report in servers.outcomes:
                    self._outcomes.heard(report)
        finally:
            telling.cancel()
            call.cancel()
            await asyncio.gather(telling, return_exceptions=True)

    async def _tell(self, call: grpc.aio.StreamStreamCall) -> None:
        """Tell how many servers serve, why none does, and what was counted, now and at each change; and outcomes that
        count elsewhere, once each."""
        told: gateway_pb2.GatewayView | None = None
        while True:
            serving = sum(self._backends.serving())
            view = gateway_pb2.GatewayView(
                endpoint=self._endpoint,
                serving=serving,
                trouble="" if serving else self._backends.trouble[:_LONGEST_TROUBLE],
                rollout=self._rollout.view() if self._rollout is not None else None,
            )
            passed = list(itertools.islice(self._outcomes.passed_on, _MOST_PASSED))
            if view == told and not passed:
                await self._backends.change(_LOOK_SECONDS)
                continue
            told = gateway_pb2.GatewayView()
            told.CopyFrom(view)
            view.outcomes.extend(passed)
            await call.write(view)
            for report in passed:
                with suppress(ValueError):  # dropped meanwhile
                    self._outcomes.passed_on.remove(report)
