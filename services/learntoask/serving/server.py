"""The policy server: wires engine, service and listener together, and drains them in order."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from learntoask.core.errors import InputError, LearnToAskError
from learntoask.core.model_digest import folder_digest
from learntoask.core.pack import Pack, load_pack
from learntoask.core.stages.graph import pack_digests
from learntoask.rpc.listener import Listener
from learntoask.rpc.logs import LOGGER
from learntoask.serving.config import ServeConfig
from learntoask.serving.decider import Decider
from learntoask.serving.demo import warm_up
from learntoask.serving.engines.protocol import Engine
from learntoask.serving.engines.weights import weights_shape
from learntoask.serving.metrics import Metrics
from learntoask.serving.records.log import RecordLog, redaction
from learntoask.serving.records.writer import Recording
from learntoask.serving.service import SERVICE, AskService, Identity, handlers


@dataclass(frozen=True, kw_only=True)
class ServedPolicy:
    """The policy that a server starts with, and the pack it was trained for.

    `revision` names the policy in every decision (see `policy_revision`). `shape` is the `weights_shape` that a policy
    must have to replace it by a reload.
    """

    engine: Engine
    pack: Pack
    revision: str
    shape: str


def policy_revision(model: Path) -> str:
    """Return the digest of the model folder, which the run's report and lineage name too. Raises InputError."""
    try:
        return folder_digest(model)
    except OSError as error:
        raise InputError(f"model folder {model} cannot be read: {error}") from error


class PolicyServer:
    """`start`, then `drain` once. Make it inside the event loop that serves it."""

    def __init__(self, config: ServeConfig, parts: ServedPolicy) -> None:
        self.config = config
        self.metrics = Metrics()
        self._recording = self._recording_of(parts) if config.records else None
        self._pack = parts.pack
        self._shape = parts.shape
        self._pack_digest = pack_digests(parts.pack)["whole"]
        decider = self._decider = Decider(
            parts.engine,
            revision=parts.revision,
            pack=parts.pack,
            metrics=self.metrics,
            capacity=config.max_concurrent + config.max_queue,
            deadline_seconds=config.deadline_seconds,
            may_stop=config.may_stop,
        )
        self.metrics.watch(in_flight=lambda: decider.in_flight, cache_bytes=decider.cache_bytes)
        identity = Identity(pack=parts.pack, pack_digest=self._pack_digest)
        service = AskService(
            decider, identity=identity, config=config, metrics=self.metrics, recording=self._recording
        )
        self._listener = Listener(
            config, service, name=SERVICE, handlers=handlers(service), registry=self.metrics.registry
        )

    async def start(self) -> None:
        """Raises StageError where the warm-up fails; nothing was listened to then."""
        if self.config.warm_up:
            try:
                answers = await warm_up(self._decider.engine, self._pack, may_stop=self.config.may_stop)
            except LearnToAskError:
                await self._close()  # engines have threads and processes of their own
                raise
            LOGGER.info("warm", extra={"fields": {"answers": answers}})
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

    async def reload(self, config: ServeConfig) -> None:
        """Serve the policy of `config.model` from now on, without losing a call.

        Raises InputError, and goes on as before, where it needs a server of its own: for another pack, architecture,
        tokenizer or threshold of stopping. After any other exception this server decides nothing any more.
        """
        pack, shape, revision = await asyncio.to_thread(
            lambda: (load_pack(config.pack), weights_shape(config.model), policy_revision(config.model))
        )
        if pack_digests(pack)["whole"] != self._pack_digest:
            raise InputError(f"{config.pack} is another pack than the one served; start a server with it")
        if shape != self._shape:
            raise InputError(
                f"{config.model} has another architecture or tokenizer than the policy served; start a server with it"
            )
        if config.stop_threshold != self.config.stop_threshold:
            raise InputError(
                f"the policy stops at probability {config.stop_threshold}, this server at "
                f"{self.config.stop_threshold}; start a server with it"
            )
        await self._decider.reload(config.model, revision=revision)
        LOGGER.info("serving another revision", extra={"fields": {"policy_revision": revision}})

    async def drain(self) -> None:
        """Not serving, no new calls, running answers finish, records are written, the engine stops. Once."""
        await self._listener.drain(close=self._close)

    async def _close(self) -> None:
        if self._recording:
            await self._recording.close()
        await self._decider.close()

    def _recording_of(self, parts: ServedPolicy) -> Recording:
        config = self.config
        assert config.records is not None
        log = RecordLog(
            config.records,
            pack=parts.pack,
            redact=redaction(config.redact, config.redact_hook),
        )
        return Recording(log, self.metrics)
