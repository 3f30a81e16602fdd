"""Writes records without blocking the event loop: files are written from a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

from pydantic import JsonValue

from learntoask.core.prompt import Context
from learntoask.rpc.logs import LOGGER
from learntoask.serving.metrics import ConversationMetrics
from learntoask.serving.records.log import RecordedDecision, RecordLog


class RecordWriter:
    """Writes conversations to a log. A failure never fails an answer: it is logged, counted, and retried on `close`."""

    def __init__(self, log: RecordLog, metrics: ConversationMetrics) -> None:
        self._log = log
        self._metrics = metrics
        self._writing: set[asyncio.Task[None]] = set()

    def note(self, conversation: str, context: Context, decision: RecordedDecision) -> None:
        """Remember a decision on `context`, and write the conversations that have ended meanwhile."""
        self.end(*self._log.note(conversation, context, decision))

    def end(self, *conversations: str) -> None:
        """Write conversations that are over, in the background."""
        for conversation in conversations:
            self._start(conversation, partial(self._log.write, conversation))

    def outcome(self, conversation: str, name: str, value: str | float) -> None:
        """Write a reported outcome, in the background."""
        self._start(conversation, partial(self._log.write_outcome, conversation, name, value))

    def pair(self, conversation: str, pair: Mapping[str, JsonValue]) -> None:
        """Write two answers to one conversation, in the background."""
        self._start(conversation, partial(self._log.write_pair, pair))

    async def close(self) -> None:
        """Write all conversations that are still open."""
        self.end(*self._log.open_conversations())
        await asyncio.gather(*self._writing)

    def _start(self, conversation: str, write: Callable[[], None]) -> None:
        task = asyncio.create_task(self._write(conversation, write))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, conversation: str, write: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(write)
        except Exception as error:  # a full disk, or a redaction hook of the user's
            if not isinstance(error, OSError):
                self._log.drop(conversation)  # without redaction it must not be written, now or later
            self._metrics.record_failures.inc()
            LOGGER.error(
                "a conversation could not be recorded",
                extra={
                    "fields": {"conversation_id": conversation, "error": f"{type(error).__name__}: {error}"}
                },
            )
