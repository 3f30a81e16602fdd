"""A gRPC server around one service: credentials, health, reflection, metrics, and draining in order."""

from __future__ import annotations

import asyncio
from typing import Protocol

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import CollectorRegistry

from learntoask.core.errors import InputError
from learntoask.core.network.address import join_host_port
from learntoask.rpc.config import ListenConfig, bearer_token
from learntoask.rpc.logs import LOGGER
from learntoask.rpc.metrics import expose
from learntoask.rpc.security import BearerToken, server_credentials

_LAST_BYTES_SECONDS = 2.0  # for answers that are made but not yet sent, and calls not yet scheduled


class Service(Protocol):
    """What a server needs of its service to drain it."""

    def drain(self) -> None:
        """Take no new work and finish what runs."""

    @property
    def busy(self) -> bool:
        """Whether any work runs."""


class GrpcServer:
    """Serves one service. Construct it inside the event loop that runs it, `start` it, then `drain` it once.

    A subclass makes its service, passes it to this constructor and overrides `close` to release what the service uses.
    """

    def __init__(
        self,
        config: ListenConfig,
        service: Service,
        *,
        name: str,
        handlers: grpc.GenericRpcHandler,
        registry: CollectorRegistry,
    ) -> None:
        """Bind the port. `name` is the service's full name in its .proto file.

        Raises InputError if a credential cannot be read or the port cannot be bound.
        """
        self.metrics_port: int | None = None
        self._listen = config
        self._service = service
        self._registry = registry
        self._health = health.aio.HealthServicer()
        self._health_names = (name, health.OVERALL_HEALTH)
        self._server = self._make_server(handlers, name)
        self.port = self._bind()
        self.health_port: int | None = None
        self._probes = self._make_probes()
        self._draining: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """`host:port` that clients connect to."""
        return join_host_port(self._listen.host, self.port)

    async def start(self) -> None:
        """Report SERVING and take calls. Raises InputError if the metrics port cannot be bound."""
        for service in self._health_names:
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        if self._listen.metrics_port is not None:
            self._start_metrics(self._listen.metrics_port)
        await self._server.start()
        if self._probes is not None:
            await self._probes.start()
        LOGGER.info("serving", extra={"fields": {"address": self.address, "metrics_port": self.metrics_port}})

    async def drain(self) -> None:
        """Report NOT_SERVING, refuse new calls, let running calls finish, then `close`. It runs only once."""
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain())
        await asyncio.shield(self._draining)

    async def close(self) -> None:
        """Release what the service uses. `drain` calls this after the last call has ended."""

    async def _drain(self) -> None:
        LOGGER.info("draining")
        for service in self._health_names:
            await self._health.set(service, health_pb2.HealthCheckResponse.NOT_SERVING)
        self._service.drain()
        await asyncio.sleep(self._listen.drain_delay_seconds)
        await self._stop(self._listen.drain_seconds)
        await self.close()
        if self._probes is not None:
            await self._probes.stop(None)
        if self.metrics_port is not None:
            self._metrics_server.shutdown()
            self._metrics_server.server_close()
        LOGGER.info("drained")

    async def _stop(self, seconds: float) -> None:
        """Refuse new calls and wait until the service is idle. Calls that watch the health do not count as work."""
        stopping = asyncio.create_task(self._server.stop(seconds))
        while self._service.busy and not stopping.done():
            await asyncio.sleep(0.02)
        await self._server.stop(min(seconds, _LAST_BYTES_SECONDS))
        await stopping

    def _make_server(self, handlers: grpc.GenericRpcHandler, name: str) -> grpc.aio.Server:
        token = bearer_token(self._listen)
        age = self._listen.max_connection_seconds
        renewal = [("grpc.max_connection_age_ms", round(age * 1000))] if age else []
        server = grpc.aio.server(
            interceptors=[BearerToken(token)] if token else [],
            options=[
                ("grpc.max_receive_message_length", self._listen.max_request_bytes),
                # A port in use is an error; with port reuse, two servers would share its calls.
                ("grpc.so_reuseport", 0),
                ("grpc.keepalive_time_ms", 60_000),  # finds streams whose client is gone
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # between pings that clients send
                (
                    "grpc.keepalive_permit_without_calls",
                    1,
                ),  # else two pings without a call end the connection
                *renewal,
            ],
        )
        server.add_generic_rpc_handlers((handlers,))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection((name, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        return server

    def _make_probes(self) -> grpc.aio.Server | None:
        """A second server in plain text that only tells the health: the kubelet's probes speak no TLS."""
        if self._listen.health_port is None:
            return None
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        address = join_host_port(self._listen.host, self._listen.health_port)
        try:
            self.health_port = int(server.add_insecure_port(address))
        except RuntimeError as error:
            raise InputError(f"health_port: cannot listen on {address}: {error}") from error
        return server

    def _bind(self) -> int:
        credentials = server_credentials(self._listen)
        address = join_host_port(self._listen.host, self._listen.port)
        try:
            if credentials is None:
                return int(self._server.add_insecure_port(address))
            return int(self._server.add_secure_port(address, credentials))
        except RuntimeError as error:
            raise InputError(f"cannot listen on {address}: {error}; is the port in use?") from error

    def _start_metrics(self, port: int) -> None:
        try:
            self._metrics_server, _ = expose(
                self._registry,
                host=self._listen.host,
                port=port,
                token_file=self._listen.metrics_token_file,
            )
        except OSError as error:
            raise InputError(f"metrics_port {port}: {error}") from error
        self.metrics_port = self._metrics_server.server_port
