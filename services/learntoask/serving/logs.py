"""Structured logs: one JSON object a line on standard error, written by a thread of its own.

A reader that stops reading the pipe then blocks that thread and never the event loop.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from logging.handlers import QueueHandler, QueueListener
from queue import SimpleQueue
from typing import IO

LOGGER = logging.getLogger("learntoask.serving")


class JsonLines(logging.Formatter):
    """`extra={"fields": {...}}` of a record become keys beside time, level and message."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class _Handover(QueueHandler):
    """Hands records over as they are: they stay in this process, so nothing has to be formatted for pickling."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        self.queue.put_nowait(record)


@contextmanager
def structured_logs(*, level: str = "INFO", stream: IO[str] | None = None) -> Iterator[None]:
    """Send the service's logs to `stream` (standard error) until the block ends; then write what is queued."""
    writer = logging.StreamHandler(stream or sys.stderr)
    writer.setFormatter(JsonLines())
    queue: SimpleQueue[logging.LogRecord] = SimpleQueue()
    handover = _Handover(queue)
    listener = QueueListener(queue, writer)
    before = LOGGER.level, LOGGER.propagate
    LOGGER.setLevel(level)
    LOGGER.propagate = False
    LOGGER.addHandler(handover)
    listener.start()
    try:
        yield
    finally:
        LOGGER.removeHandler(handover)
        listener.stop()
        LOGGER.level, LOGGER.propagate = before
