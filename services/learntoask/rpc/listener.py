"""A listening server: credentials, token, health, reflection and metrics around one service, drained in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import CollectorRegistry

from learntoask.core.errors import InputError
from learntoask.rpc.config import ListenConfig, bearer_token
from learntoask.rpc.logs import LOGGER
from learntoask.rpc.metrics import expose
from learntoask.rpc.security import BearerToken, server_credentials

_LAST_BYTES_SECONDS = 2.0  # for answers that are made but not sent yet, and calls whose turn has not come


class Service(Protocol):
    def drain(self) -> None:
        """Take nothing new; finish what is at work."""

    @property
    def busy(self) -> bool:
        """Whether anything is at work."""


class Listener:
    """`start`, then `drain` once. Make it inside the event loop that serves it."""

    def __init__(
        self,
        config: ListenConfig,
        service: Service,
        *,
        name: str,
        handlers: grpc.GenericRpcHandler,
        registry: CollectorRegistry,
    ) -> None:
        """`name` is the full name of the service in its .proto. Raises InputError where it cannot listen."""
        self.metrics_port: int | None = None
        self._config = config
        self._service = service
        self._registry = registry
        self._health = health.aio.HealthServicer()
        self._health_of = (name, health.OVERALL_HEALTH)
        self._server = self._made(handlers, name)
        self.port = self._bound()
        self._drained: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        host = self._config.host
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    async def start(self) -> None:
        for service in self._health_of:
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        if self._config.metrics_port is not None:
            self._start_metrics(self._config.metrics_port)
        await self._server.start()
        LOGGER.info("serving", extra={"fields": {"address": self.address, "metrics_port": self.metrics_port}})

    async def drain(self, *, close: Callable[[], Awaitable[None]]) -> None:
        """Not serving, no new calls, running answers finish, then `close` what made them. Once."""
        if self._drained is None:
            self._drained = asyncio.create_task(self._drain(close))
        await asyncio.shield(self._drained)

    async def _drain(self, close: Callable[[], Awaitable[None]]) -> None:
        LOGGER.info("draining")
        for service in self._health_of:
            await self._health.set(service, health_pb2.HealthCheckResponse.NOT_SERVING)
        self._service.drain()
        await asyncio.sleep(self._config.drain_delay_seconds)
        await self._stop(self._config.drain_seconds)
        await close()
        if self.metrics_port is not None:
            self._metrics_server.shutdown()
            self._metrics_server.server_close()
        LOGGER.info("drained")

    async def _stop(self, seconds: float) -> None:
        """Refuse new calls and wait until the service's own are done; watchers of the health are not."""
        refusing = asyncio.create_task(self._server.stop(seconds))
        while self._service.busy and not refusing.done():
            await asyncio.sleep(0.02)
        await self._server.stop(min(seconds, _LAST_BYTES_SECONDS))
        await refusing

    def _made(self, handlers: grpc.GenericRpcHandler, name: str) -> grpc.aio.Server:
        token = bearer_token(self._config)
        age = self._config.max_connection_seconds
        renewal = [("grpc.max_connection_age_ms", round(age * 1000))] if age else []
        server = grpc.aio.server(
            interceptors=[BearerToken(token)] if token else [],
            options=[
                ("grpc.max_receive_message_length", self._config.max_request_bytes),
                (
                    "grpc.so_reuseport",
                    0,
                ),  # a port in use is an error, never a share of another server's calls
                ("grpc.keepalive_time_ms", 60_000),  # finds streams whose client is gone
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # it is that of received ones
                ("grpc.keepalive_permit_without_calls", 1),  # else two pings without one end the connection
                *renewal,
            ],
        )
        server.add_generic_rpc_handlers((handlers,))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection((name, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        return server

    def _bound(self) -> int:
        credentials = server_credentials(self._config)
        address = f"{self._config.host}:{self._config.port}"
        try:
            if credentials is None:
                return int(self._server.add_insecure_port(address))
            return int(self._server.add_secure_port(address, credentials))
        except RuntimeError as error:
            raise InputError(f"cannot listen on {address}: {error}; is the port in use?") from error

    def _start_metrics(self, port: int) -> None:
        try:
            self._metrics_server, _ = expose(self._registry, host=self._config.host, port=port)
        except OSError as error:
            raise InputError(f"metrics_port {port}: {error}") from error
        self.metrics_port = self._metrics_server.server_port
