"""The policy server: connects engine, decider, records and service, and reloads the policy."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import grpc

from learntoask.core.digest import folder_digest
from learntoask.core.errors import InputError, LearnToAskError
from learntoask.core.pack import Pack, load_pack
from learntoask.core.stages.graph import pack_digests
from learntoask.grading.cues import read_cues
from learntoask.rpc.logs import LOGGER
from learntoask.rpc.requests import tolerant_parser
from learntoask.rpc.server import GrpcServer
from learntoask.serving.config import ServeConfig
from learntoask.serving.conversation import SERVICE, handlers
from learntoask.serving.decider import Decider
from learntoask.serving.demo import warm_up
from learntoask.serving.engines.protocol import Engine
from learntoask.serving.engines.weights import weights_shape
from learntoask.serving.metrics import ServingMetrics
from learntoask.serving.records.log import RecordLog
from learntoask.serving.records.redaction import redaction
from learntoask.serving.records.writer import RecordWriter
from learntoask.serving.service import PolicyAskService
from learntoask.wire import ask_pb2 as wire


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


class PolicyServer(GrpcServer):
    """Answers AskService with a trained policy; on drain, records are written and the engine stops last."""

    def __init__(self, config: ServeConfig, policy: ServedPolicy) -> None:
        self.config = config
        self.metrics = ServingMetrics()
        self._records = _record_writer(config, policy, self.metrics)
        self._pack = policy.pack
        self._shape = policy.shape
        self._pack_digest = pack_digests(policy.pack)["whole"]
        decider = self._decider = Decider(
            policy.engine,
            revision=policy.revision,
            pack=policy.pack,
            metrics=self.metrics,
            capacity=config.max_concurrent + config.max_queue,
            deadline_seconds=config.deadline_seconds,
            may_stop=config.may_stop,
            stop_threshold=config.model_stop_threshold,
            stop_temperature=config.stop_temperature,
            avoid_repeats=config.repeat == "avoid",
            cues=read_cues(config.model),
        )
        self.metrics.watch(in_flight=lambda: decider.in_flight, cache_bytes=decider.cache_bytes)
        service = PolicyAskService(
            decider,
            pack=policy.pack,
            pack_digest=self._pack_digest,
            config=config,
            metrics=self.metrics,
            records=self._records,
        )
        super().__init__(
            config,
            service,
            name=SERVICE,
            handlers=handlers(
                service,
                DecideMany=grpc.stream_stream_rpc_method_handler(
                    service.decide_many,
                    tolerant_parser(wire.DecideManyRequest),
                    wire.DecideManyResponse.SerializeToString,
                ),
            ),
            registry=self.metrics.registry,
        )

    async def start(self) -> None:
        """Warm up if so configured, then take calls. Raises StageError if the warm-up fails; no call was taken then."""
        if self.config.warm_up:
            try:
                answers = await warm_up(self._decider.engine, self._pack, may_stop=self.config.may_stop)
            except LearnToAskError:
                await self.close()  # an engine has threads and processes that would keep running
                raise
            LOGGER.info("warm", extra={"fields": {"answers": answers}})
        await super().start()

    async def reload(self, config: ServeConfig) -> None:
        """Serve the policy of `config.model` from now on, without losing a call.

        Raises InputError and keeps the current policy if the new one has another pack, architecture, tokenizer, stop
        threshold or assessment, which need a new server. After any other exception this server can no longer decide.
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
        if config.model_stop_threshold != self.config.model_stop_threshold:
            raise InputError(
                f"the policy stops at probability {config.stop_threshold}, this server at "
                f"{self.config.stop_threshold}; start a server with it"
            )
        if config.assessment != self.config.assessment:
            raise InputError(
                f"the policy was trained with assessment {config.assessment}, this server reads answers with "
                f"{self.config.assessment}; start a server with it"
            )
        await self._decider.reload(config.model, revision=revision, stop_temperature=config.stop_temperature)
        LOGGER.info("serving another revision", extra={"fields": {"policy_revision": revision}})

    async def close(self) -> None:
        """Write the records of open conversations and stop the engine."""
        if self._records:
            await self._records.close()
        await self._decider.close()


def _record_writer(config: ServeConfig, policy: ServedPolicy, metrics: ServingMetrics) -> RecordWriter | None:
    if config.records is None:
        return None
    redact = redaction(config.redact, config.redact_hook)
    return RecordWriter(RecordLog(config.records, pack=policy.pack, redact=redact), metrics)
