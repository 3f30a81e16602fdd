"""The policy server: wires engine, service, health, reflection and metrics together, and drains them in order."""

from __future__ import annotations

import asyncio

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from learntoask.core.errors import InputError
from learntoask.core.stages import pack_digests
from learntoask.serving.config import ServeConfig, bearer_token
from learntoask.serving.deciding import Decider
from learntoask.serving.logs import LOGGER
from learntoask.serving.metrics import Metrics, expose
from learntoask.serving.parts import Parts
from learntoask.serving.recording import Recording
from learntoask.serving.records import RecordLog, redaction
from learntoask.serving.security import BearerToken, server_credentials
from learntoask.serving.service import SERVICE, AskService, Identity, handlers

_SERVICES = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
_HEALTH_OF = (SERVICE, health.OVERALL_HEALTH)
_LAST_BYTES_SECONDS = 0.5  # for answers that are made but not sent yet


class PolicyServer:
    """`start`, then `drain` once. Make it inside the event loop that serves it."""

    def __init__(self, config: ServeConfig, parts: Parts) -> None:
        self.config = config
        self.metrics = Metrics()
        self.port = 0
        self.metrics_port: int | None = None
        self._engine = parts.engine
        self._recording = self._recording_of(parts) if config.records else None
        decider = Decider(
            parts.engine,
            pack=parts.pack,
            metrics=self.metrics,
            capacity=config.max_concurrent + config.max_queue,
            deadline_seconds=config.deadline_seconds,
            may_stop=config.may_stop,
        )
        self.metrics.watch(in_flight=lambda: decider.in_flight, cache_bytes=parts.engine.cache_bytes)
        identity = Identity(
            revision=parts.revision, pack=parts.pack, pack_digest=pack_digests(parts.pack)["whole"]
        )
        self._service = AskService(
            decider, identity=identity, config=config, metrics=self.metrics, recording=self._recording
        )
        self._health = health.aio.HealthServicer()
        self._server = self._listening(config)
        self._drained: asyncio.Task[None] | None = None

    async def start(self) -> None:
        for service in _HEALTH_OF:
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        if self.config.metrics_port is not None:
            self._start_metrics(self.config.metrics_port)
        await self._server.start()
        LOGGER.info("serving", extra={"fields": {"address": self.address, "metrics_port": self.metrics_port}})

    @property
    def address(self) -> str:
        host = self.config.host
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    async def drain(self) -> None:
        """Not serving, no new calls, running answers finish, records are written, the engine stops. Once."""
        if self._drained is None:
            self._drained = asyncio.create_task(self._drain())
        await asyncio.shield(self._drained)

    async def _drain(self) -> None:
        LOGGER.info("draining")
        for service in _HEALTH_OF:
            await self._health.set(service, health_pb2.HealthCheckResponse.NOT_SERVING)
        self._service.drain()
        await asyncio.sleep(self.config.drain_delay_seconds)
        await self._stop(self.config.drain_seconds)
        if self._recording:
            await self._recording.close()
        await self._engine.close()
        if self.metrics_port is not None:
            self._metrics_server.shutdown()
            self._metrics_server.server_close()
        LOGGER.info("drained")

    async def _stop(self, seconds: float) -> None:
        """Refuse new calls and wait until decisions and conversations are done; watchers of the health are not."""
        refusing = asyncio.create_task(self._server.stop(seconds))
        while self._service.busy and not refusing.done():
            await asyncio.sleep(0.02)
        await self._server.stop(min(seconds, _LAST_BYTES_SECONDS))
        await refusing

    def _listening(self, config: ServeConfig) -> grpc.aio.Server:
        token = bearer_token(config)
        server = grpc.aio.server(
            interceptors=[BearerToken(token)] if token else [],
            options=[
                ("grpc.max_receive_message_length", config.max_request_bytes),
                (
                    "grpc.so_reuseport",
                    0,
                ),  # a port in use is an error, never a share of another server's calls
                ("grpc.keepalive_time_ms", 60_000),  # finds streams whose client is gone
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
            ],
        )
        server.add_generic_rpc_handlers((handlers(self._service),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection(_SERVICES, server)
        credentials = server_credentials(config)
        address = f"{config.host}:{config.port}"
        try:
            if credentials is None:
                self.port = server.add_insecure_port(address)
            else:
                self.port = server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise InputError(f"cannot listen on {address}: {error}; is the port in use?") from error
        return server

    def _start_metrics(self, port: int) -> None:
        try:
            self._metrics_server, _ = expose(self.metrics, host=self.config.host, port=port)
        except OSError as error:
            raise InputError(f"metrics_port {port}: {error}") from error
        self.metrics_port = self._metrics_server.server_port

    def _recording_of(self, parts: Parts) -> Recording:
        config = self.config
        assert config.records is not None
        log = RecordLog(
            config.records,
            pack=parts.pack,
            revision=parts.revision,
            redact=redaction(config.redact, config.redact_hook),
        )
        return Recording(log, self.metrics)
