"""One request to as many policy servers as it takes. A decision changes nothing, so asking twice is safe."""

from __future__ import annotations

import time
from dataclasses import dataclass

import grpc

from learntoask.rpc.calls import REQUEST_ID, Relayed
from learntoask.rpc.channels import authorization
from learntoask.rpc.logs import LOGGER
from learntoask.serving.gateway.metrics import Metrics
from learntoask.serving.gateway.servers import Server, Servers
from learntoask.serving.gateway.verdicts import Verdict, verdict_of
from learntoask.wire import ask_pb2 as wire

_RESERVE = 0.05  # share of the time, kept for saying the fallback before the caller stops listening


class Unanswered(Exception):
    """No server answered; the message says what was tried last."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Seconds, and how many servers may fail at one request: what makes three of them fail is in the request."""

    attempt: float
    patience: float
    faults: int


class Asker:
    def __init__(self, servers: Servers, *, bounds: Bounds, token: str | None, metrics: Metrics) -> None:
        self._servers = servers
        self._bounds = bounds
        self._token = authorization(token)
        self._metrics = metrics

    async def decide(
        self, request: wire.DecideRequest, *, conversation: str, request_id: str, seconds: float
    ) -> tuple[wire.Decision, str]:
        """The decision and the address of the server that made it, within `seconds`.

        Raises Relayed where the request is at fault, Unanswered where no server answered.
        """
        end = time.monotonic() + seconds * (1 - _RESERVE)
        metadata = (*self._token, (REQUEST_ID, request_id))
        tried: set[str] = set()
        faults, last = 0, "no policy server serves"
        while (left := end - time.monotonic()) > 0 and faults < self._bounds.faults:
            server = await self._next(conversation, tried, left)
            if server is None:
                break
            if tried:
                self._metrics.retries.inc()
            tried.add(server.address)
            left = min(end - time.monotonic(), self._bounds.attempt)
            try:
                response = await self._asked(server, request, metadata, left)
            except grpc.aio.AioRpcError as error:
                faults += self._failed(server, error, request_id)
                last = f"{server.address}: {error.code().name}: {error.details()}"
            else:
                return response.decision, server.address
        raise Unanswered(last)

    async def info(self, *, request_id: str, seconds: float) -> wire.GetServerInfoResponse:
        """What any server says about itself. Raises Unanswered."""
        server = self._servers.choose(request_id, set())
        if server is None:
            raise Unanswered("no policy server serves")
        metadata = (*self._token, (REQUEST_ID, request_id))
        try:
            return await server.stub.GetServerInfo(
                wire.GetServerInfoRequest(), timeout=min(seconds, self._bounds.attempt), metadata=metadata
            )
        except grpc.aio.AioRpcError as error:
            self._failed(server, error, request_id)
            raise Unanswered(f"{server.address}: {error.code().name}: {error.details()}") from error

    async def _next(self, conversation: str, tried: set[str], left: float) -> Server | None:
        """The next server; where none has been asked and none serves, one is waited for a little."""
        server = self._servers.choose(conversation, tried)
        end = time.monotonic() + min(left, self._bounds.patience)
        while server is None and (pause := end - time.monotonic()) > 0 and not any(self._servers.states()):
            await self._servers.change(pause)
            server = self._servers.choose(conversation, set())
        return server

    async def _asked(
        self,
        server: Server,
        request: wire.DecideRequest,
        metadata: tuple[tuple[str, str], ...],
        seconds: float,
    ) -> wire.DecideResponse:
        server.begin()
        try:
            response = await server.stub.Decide(request, timeout=seconds, metadata=metadata)
        finally:
            server.end()
        server.succeeded()
        self._metrics.attempted(server.address, "OK")
        return response

    def _failed(self, server: Server, error: grpc.aio.AioRpcError, request_id: str) -> int:
        """Take note; how many faults it counts for. Raises Relayed where the request is at fault."""
        code, details = error.code(), error.details() or ""
        self._metrics.attempted(server.address, code.name)
        verdict = verdict_of(code)
        if verdict is Verdict.CALLER:
            raise Relayed(code, details) from error
        LOGGER.warning(
            "attempt failed",
            extra={
                "fields": {
                    "request_id": request_id,
                    "server": server.address,
                    "code": code.name,
                    "details": details,
                }
            },
        )
        if verdict is Verdict.GONE:
            server.gone()
        elif verdict is Verdict.FAULT:
            server.failed()
        return int(verdict is Verdict.FAULT)
