"""The policy server: wires engine, service and listener together, and drains them in order."""

from __future__ import annotations

from learntoask.core.stages import pack_digests
from learntoask.rpc.listener import Listener
from learntoask.serving.config import ServeConfig
from learntoask.serving.deciding import Decider
from learntoask.serving.metrics import Metrics
from learntoask.serving.parts import Parts
from learntoask.serving.recording import Recording
from learntoask.serving.records import RecordLog, redaction
from learntoask.serving.service import SERVICE, AskService, Identity, handlers


class PolicyServer:
    """`start`, then `drain` once. Make it inside the event loop that serves it."""

    def __init__(self, config: ServeConfig, parts: Parts) -> None:
        self.config = config
        self.metrics = Metrics()
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
        service = AskService(
            decider, identity=identity, config=config, metrics=self.metrics, recording=self._recording
        )
        self._listener = Listener(
            config, service, name=SERVICE, handlers=handlers(service), registry=self.metrics.registry
        )

    async def start(self) -> None:
        await self._listener.start()

    @property
    def address(self) -> str:
        return self._listener.address

    @property
    def port(self) -> int:
        return self._listener.port

    @property
    def metrics_port(self) -> int | None:
        return self._listener.metrics_port

    async def drain(self) -> None:
        """Not serving, no new calls, running answers finish, records are written, the engine stops. Once."""
        await self._listener.drain(close=self._close)

    async def _close(self) -> None:
        if self._recording:
            await self._recording.close()
        await self._engine.close()

    def _recording_of(self, parts: Parts) -> Recording:
        config = self.config
        assert config.records is not None
        log = RecordLog(
            config.records,
            pack=parts.pack,
            redact=redaction(config.redact, config.redact_hook),
        )
        return Recording(log, self.metrics)
