"""Sends one request to one policy server after the other until one answers.

Asking several servers is safe, because a decision changes nothing at a server.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NamedTuple

import grpc

from learntoask.rpc import tracing
from learntoask.rpc.calls import REQUEST_ID, UpstreamError
from learntoask.rpc.channels import authorization
from learntoask.rpc.logs import LOGGER
from learntoask.serving.conversation import SERVICE
from learntoask.serving.gateway.backends import Backend, BackendPool
from learntoask.serving.gateway.failures import FailureKind, failure_kind
from learntoask.serving.gateway.metrics import GatewayMetrics
from learntoask.wire import ask_pb2 as wire

_DECIDE = f"{SERVICE}/Decide"
_RESERVE = 0.05  # share of the caller's time that is kept for answering with the fallback


class Unanswered(Exception):
    """No server answered; the message describes the last attempt."""


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Bounds on one request: seconds of one attempt, seconds to wait for a first server, servers that may fail.

    `faults` is small because the cause is probably in the request if several servers fail at it.
    """

    attempt: float
    patience: float
    faults: int


class Answer(NamedTuple):
    """A decision, the address of the server that made it, the attempts that failed before, and its seconds."""

    decision: wire.Decision
    server: str
    failures: int
    seconds: float


class BackendClient:
    """Asks the servers of a pool, with the gateway's own token."""

    def __init__(
        self, backends: BackendPool, *, policy: RetryPolicy, token: str | None, metrics: GatewayMetrics
    ) -> None:
        self._backends = backends
        self._policy = policy
        self._token = authorization(token)
        self._metrics = metrics

    @property
    def serves(self) -> bool:
        """Whether a server may answer."""
        return any(self._backends.serving())

    async def decide(
        self, request: wire.DecideRequest, *, conversation: str, request_id: str, seconds: float
    ) -> Answer:
        """Return the answer of one server, within `seconds`.

        Raises UpstreamError if the request is at fault, Unanswered if no server answered.
        """
        start = time.monotonic()
        end = start + seconds * (1 - _RESERVE)
        tried: set[str] = set()
        faults, last = 0, ""
        while (left := end - time.monotonic()) > 0 and faults < self._policy.faults:
            backend = await self._next_backend(conversation, tried, left)
            if backend is None:
                break
            if tried:
                self._metrics.retries.inc()
            tried.add(backend.address)
            left = min(end - time.monotonic(), self._policy.attempt)
            try:
                decision = await self._attempt(backend, request, request_id, left)
            except grpc.aio.AioRpcError as error:
                faults += self._record_failure(backend, error, request_id)
                last = f"{backend.address}: {error.code().name}: {error.details()}"
            else:
                return Answer(decision, backend.address, len(tried) - 1, time.monotonic() - start)
        raise Unanswered(last or self._nobody())

    async def info(self, *, request_id: str, seconds: float) -> wire.GetServerInfoResponse:
        """Return the information of one server. Raises as `decide` does."""
        backend = self._backends.choose(request_id, set())
        if backend is None:
            raise Unanswered(self._nobody())
        metadata = (*self._token, (REQUEST_ID, request_id))
        try:
            return await backend.asking.stub.GetServerInfo(
                wire.GetServerInfoRequest(), timeout=min(seconds, self._policy.attempt), metadata=metadata
            )
        except grpc.aio.AioRpcError as error:
            self._record_failure(backend, error, request_id)
            raise Unanswered(f"{backend.address}: {error.code().name}: {error.details()}") from error

    def _nobody(self) -> str:
        trouble = self._backends.trouble
        return f"no policy server serves ({trouble})" if trouble else "no policy server serves"

    async def _next_backend(self, conversation: str, tried: set[str], left: float) -> Backend | None:
        """Return the next server to ask. If no server serves, wait for one for up to `patience` seconds."""
        backend = self._backends.choose(conversation, tried)
        end = time.monotonic() + min(left, self._policy.patience)
        while backend is None and (pause := end - time.monotonic()) > 0 and not any(self._backends.serving()):
            await self._backends.change(pause)
            backend = self._backends.choose(conversation, set())
        return backend

    async def _attempt(
        self, backend: Backend, request: wire.DecideRequest, request_id: str, seconds: float
    ) -> wire.Decision:
        backend.begin()
        try:
            with tracing.calling(_DECIDE, server=backend.address) as headers:
                decision = await backend.asking.decide(
                    request, token=self._token, request_id=request_id, trace=headers, seconds=seconds
                )
        finally:
            backend.end()
        backend.record_success()
        self._metrics.count_attempt(backend.address, "OK")
        return decision

    def _record_failure(self, backend: Backend, error: grpc.aio.AioRpcError, request_id: str) -> int:
        """Count and log a failed attempt; return 1 if it is a FAULT, else 0. Raises UpstreamError for a bad request."""
        code, details = error.code(), error.details() or ""
        self._metrics.count_attempt(backend.address, code.name)
        kind = failure_kind(code)
        if kind is FailureKind.CALLER:
            raise UpstreamError(code, details) from error
        LOGGER.warning(
            "attempt failed",
            extra={
                "fields": {
                    "request_id": request_id,
                    "server": backend.address,
                    "code": code.name,
                    "details": details,
                }
            },
        )
        if kind is FailureKind.GONE:
            backend.record_unreachable()
        elif kind is FailureKind.FAULT:
            backend.record_failure()
        return int(kind is FailureKind.FAULT)
