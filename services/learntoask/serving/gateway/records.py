"""Records of a gateway: conversations are written to files, which are sent to a bucket at intervals."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import JsonValue

from learntoask.client.wire import ORIGINS
from learntoask.core.errors import StoreError
from learntoask.core.pack import Pack
from learntoask.core.prompt import Context
from learntoask.core.records import Message
from learntoask.rollout.assignment import pseudonym
from learntoask.rpc.logs import LOGGER
from learntoask.rpc.requests import InvalidRequest
from learntoask.serving.answer import PolicyAnswer
from learntoask.serving.gateway.config import GatewayConfig
from learntoask.serving.gateway.metrics import GatewayMetrics
from learntoask.serving.input_checks import ConversationLimits
from learntoask.serving.records.log import RecordedDecision, RecordedRollout, RecordLog
from learntoask.serving.records.redaction import redaction
from learntoask.serving.records.writer import RecordWriter
from learntoask.serving.rollout.progress import Progress
from learntoask.serving.wire import RequestReader
from learntoask.store.address import StoreAddress, bucket_and_key
from learntoask.store.factory import open_bucket
from learntoask.store.s3.retry import Patience
from learntoask.wire import ask_pb2 as wire

# A failed upload is tried again at the next interval, and a pod that ends must not wait for the store.
_PATIENCE = Patience(seconds=5.0)


class GatewayRecords:
    """Records conversations. `start` it, then `close` it. `service` is the object store of `config.records_uri`."""

    def __init__(
        self,
        folder: Path,
        pack: Pack,
        *,
        config: GatewayConfig,
        metrics: GatewayMetrics,
        service: StoreAddress | None,
    ) -> None:
        limits = ConversationLimits(
            config.max_messages, config.max_message_bytes, config.max_conversation_bytes
        )
        self._reader = RequestReader(pack, limits)
        self._log = RecordLog(folder, pack=pack, redact=redaction(config.redact, config.redact_hook))
        self._writer = RecordWriter(self._log, metrics)
        self._metrics = metrics
        self._every = config.records_seconds
        self._uploader = (
            RecordUploader(folder, config.records_uri, service) if config.records_uri and service else None
        )
        self._uploading: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to send files at intervals, if the records have an address."""
        if self._uploader:
            self._uploading = asyncio.create_task(self._upload_repeatedly())

    def record(
        self,
        asked: wire.DecideRequest,
        decision: wire.Decision,
        *,
        conversation: str,
        progress: Progress | None,
        failed: bool,
    ) -> None:
        """Record a decision and the conversation it was made on. A failure is logged and counted, never raised.

        `progress` is that of its rollout, and `failed` says whether a server of its arm failed.
        """
        name = conversation or decision.request_id
        try:
            messages: list[Message] = self._reader.messages("messages", asked.messages)
            subject = self._reader.context(messages, task=asked.task, goal=asked.goal)
        except InvalidRequest as error:  # for example a task that only a newer pack than the gateway's has
            self._metrics.record_failures.inc()
            LOGGER.error(
                "a conversation could not be recorded",
                extra={"fields": {"request_id": decision.request_id, "error": str(error)}},
            )
            return
        question = decision.ask.question if decision.HasField("ask") else None
        recorded = RecordedDecision(
            answer=PolicyAnswer(question, ORIGINS.get(decision.origin, "model")),
            stop_probability=decision.stop_probability,
            request_id=decision.request_id,
            policy_revision=decision.policy_revision,
            rollout=_rollout(progress, failed=failed, caller=asked.caller_id),
            missing=tuple(missing.field for missing in decision.missing),
        )
        self._writer.note(name, Context(subject.task, subject.goal, tuple(messages)), recorded)
        if not conversation:  # without an id no later call can belong to it
            self._writer.end(name)

    def outcome(self, conversation: str, name: str, value: str | float) -> None:
        """Record a reported outcome."""
        self._writer.outcome(conversation, name, value)

    def pair(self, conversation: str, pair: Mapping[str, JsonValue]) -> None:
        """Record how both policies answer one conversation."""
        self._writer.pair(conversation, pair)

    def end(self, conversation: str) -> None:
        """Write the record of a conversation that is over."""
        self._writer.end(conversation)

    async def close(self) -> None:
        """Write open conversations and send all files."""
        if self._uploading:
            self._uploading.cancel()
            with suppress(asyncio.CancelledError):
                await self._uploading
        await self._writer.close()
        await self._upload()

    async def _upload_repeatedly(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            await self._upload()

    async def _upload(self) -> None:
        if self._uploader is None:
            return
        self._log.rotate()
        try:
            self._metrics.records_sent.inc(await asyncio.to_thread(self._uploader.upload))
        except (StoreError, OSError) as error:  # the files stay in the folder until the next attempt
            self._metrics.sending_failures.inc()
            LOGGER.error("records could not be sent", extra={"fields": {"error": str(error)}})


def _rollout(progress: Progress | None, *, failed: bool, caller: str) -> RecordedRollout | None:
    if progress is None:
        return None
    return RecordedRollout(
        id=progress.rollout,
        arm=progress.arm,
        weight=progress.weight,
        born=progress.born,
        compared=not progress.adopted,
        moved=progress.moved,
        age=time.time() - progress.born,
        failed=failed,
        caller=pseudonym(caller, progress.rollout) if caller else "",
    )


class RecordUploader:
    """Uploads files of records from a folder to a bucket and removes each once it is there.

    An object's name begins with the day and contains the host name, which differs between the gateways of an endpoint.
    """

    def __init__(self, folder: Path, uri: str, service: StoreAddress) -> None:
        """Raises InputError for an invalid address."""
        name, self._prefix = bucket_and_key(uri, field="records_uri")
        self._folder = folder
        self._bucket = open_bucket(name, service, patience=_PATIENCE)
        self._host = socket.gethostname()

    def upload(self) -> int:
        """Upload all files and return their number. Raises StoreError, OSError."""
        files = sorted(
            path
            for kind in ("conversations", "outcomes", "pairs")
            for path in self._folder.glob(f"{kind}-*-{os.getpid()}.jsonl")
        )
        for path in files:
            day = datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime("%Y-%m-%d")
            key = "/".join(part for part in (self._prefix, day, f"{self._host}-{path.name}") if part)
            self._bucket.write(key, path.read_bytes())
            os.unlink(path)
        return len(files)
