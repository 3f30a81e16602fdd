"""Records at the gateway: conversations are noted as they are answered, and their files sent to a bucket in time."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from learntoask.core.errors import StoreError
from learntoask.core.pack import Pack
from learntoask.core.prompt import Context
from learntoask.core.records import Message
from learntoask.rpc.logs import LOGGER
from learntoask.rpc.requests import InvalidRequest
from learntoask.serving.answer import Answer, Origin
from learntoask.serving.gateway.config import GatewayConfig
from learntoask.serving.gateway.metrics import Metrics
from learntoask.serving.input_checks import Limits
from learntoask.serving.records.log import RecordedDecision, RecordLog, redaction
from learntoask.serving.records.writer import Recording
from learntoask.serving.wire import Reader
from learntoask.store.address import StoreAddress, bucket_and_key
from learntoask.store.factory import open_bucket
from learntoask.store.s3.retry import Patience
from learntoask.wire import ask_pb2 as wire

_PATIENCE = Patience(
    seconds=5.0
)  # the next sending comes soon enough, and a pod's end must not wait for a store
_ORIGINS: Mapping[int, Origin] = {
    wire.ORIGIN_REPAIRED: "repaired",
    wire.ORIGIN_FALLBACK: "fallback",
    wire.ORIGIN_NO_SERVER: "no_server",
}


class Keeper:
    """`start`, then `close`. `service` is where `config.records_uri` lies."""

    def __init__(
        self,
        folder: Path,
        pack: Pack,
        *,
        config: GatewayConfig,
        metrics: Metrics,
        service: StoreAddress | None,
    ) -> None:
        limits = Limits(config.max_messages, config.max_message_bytes, config.max_conversation_bytes)
        self._reader = Reader(pack, limits)
        self._log = RecordLog(folder, pack=pack, redact=redaction(config.redact, config.redact_hook))
        self._recording = Recording(self._log, metrics)
        self._metrics = metrics
        self._every = config.records_seconds
        self._shipment = (
            Shipment(folder, config.records_uri, service) if config.records_uri and service else None
        )
        self._sending: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._shipment:
            self._sending = asyncio.create_task(self._send_for_ever())

    def keep(self, asked: wire.DecideRequest, decision: wire.Decision, *, conversation: str) -> None:
        """A record never fails an answer: one that cannot be made is logged and counted."""
        name = conversation or decision.request_id
        try:
            messages: list[Message] = self._reader.messages("messages", asked.messages)
            subject = self._reader.subject(messages, task=asked.task, goal=asked.goal)
        except InvalidRequest as error:  # a task of a newer pack than the gateway's
            self._metrics.record_failures.inc()
            LOGGER.error(
                "a conversation could not be recorded",
                extra={"fields": {"request_id": decision.request_id, "error": str(error)}},
            )
            return
        question = decision.ask.question if decision.HasField("ask") else None
        recorded = RecordedDecision(
            answer=Answer(question, _ORIGINS.get(decision.origin, "model")),
            stop_probability=decision.stop_probability,
            request_id=decision.request_id,
            policy_revision=decision.policy_revision,
        )
        self._recording.note(name, Context(subject.task, subject.goal, tuple(messages)), recorded)
        if not conversation:  # nothing could ever be added to it
            self._recording.end([name])

    def end(self, conversation: str) -> None:
        self._recording.end([conversation])

    async def close(self) -> None:
        """Write and send everything that is left."""
        if self._sending:
            self._sending.cancel()
            with suppress(asyncio.CancelledError):
                await self._sending
        await self._recording.close()
        await self._send()

    async def _send_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            await self._send()

    async def _send(self) -> None:
        if self._shipment is None:
            return
        self._log.finish()
        try:
            self._metrics.records_sent.inc(await asyncio.to_thread(self._shipment.send))
        except (StoreError, OSError) as error:  # what is not sent stays in the folder for the next time
            self._metrics.sending_failures.inc()
            LOGGER.error("records could not be sent", extra={"fields": {"error": str(error)}})


class Shipment:
    """Files of records from a folder into a bucket, each removed here once it is there.

    The object's name begins with the day and carries the host, which keeps the gateways of an endpoint apart.
    """

    def __init__(self, folder: Path, uri: str, service: StoreAddress) -> None:
        """Raises InputError for a wrong address."""
        name, self._prefix = bucket_and_key(uri, field="records_uri")
        self._folder = folder
        self._bucket = open_bucket(name, service, patience=_PATIENCE)
        self._host = socket.gethostname()

    def send(self) -> int:
        """Send every file there is; how many they were. Raises StoreError, OSError."""
        files = sorted(self._folder.glob(f"conversations-*-{os.getpid()}.jsonl"))
        for path in files:
            day = datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime("%Y-%m-%d")
            key = "/".join(part for part in (self._prefix, day, f"{self._host}-{path.name}") if part)
            self._bucket.write(key, path.read_bytes())
            os.unlink(path)
        return len(files)
