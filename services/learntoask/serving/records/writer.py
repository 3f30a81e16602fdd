"""The asynchronous edge of records: decisions are noted at once, conversations written from a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

from prometheus_client import Counter

from learntoask.core.prompt import Context
from learntoask.rpc.logs import LOGGER
from learntoask.serving.records.log import RecordedDecision, RecordLog


class Counts(Protocol):
    record_failures: Counter


class Recording:
    """A record that cannot be written never fails an answer: it is logged, counted and tried again at the end."""

    def __init__(self, log: RecordLog, metrics: Counts) -> None:
        self._log = log
        self._metrics = metrics
        self._writing: set[asyncio.Task[None]] = set()

    def note(self, conversation: str, context: Context, decision: RecordedDecision) -> None:
        self.end(self._log.note(conversation, context, decision))

    def end(self, conversations: Iterable[str]) -> None:
        """Write conversations that are over, in the background."""
        for conversation in conversations:
            task = asyncio.create_task(self._write(conversation))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    async def close(self) -> None:
        """Write everything that is still open."""
        self.end(self._log.open_conversations())
        await asyncio.gather(*self._writing)

    async def _write(self, conversation: str) -> None:
        try:
            await asyncio.to_thread(self._log.write, conversation)
        except Exception as error:  # a full disk, or a redaction hook of the user's
            if not isinstance(error, OSError):
                self._log.drop(conversation)  # redaction failed: it must never be written, now or later
            self._metrics.record_failures.inc()
            LOGGER.error(
                "a conversation could not be recorded",
                extra={
                    "fields": {"conversation_id": conversation, "error": f"{type(error).__name__}: {error}"}
                },
            )
