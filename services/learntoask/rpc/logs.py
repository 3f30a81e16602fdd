"""Structured logs: one JSON object a line on standard error, written in batches by a thread of its own.

The thread that answers only puts a record into a list: formatting, and a system call for every line, would cost it more
than the rest of a call, and a reader that stops reading the pipe would hold it up for good.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from threading import Event, Thread
from typing import IO

from pydantic_core import PydanticSerializationError, to_json

LOGGER = logging.getLogger("learntoask.rpc")
_EVERY_SECONDS = 0.1
_LONGEST_BACKLOG = 100_000  # lines; beyond it the oldest are lost, rather than the memory


class JsonLines(logging.Formatter):
    """`extra={"fields": {...}}` of a record become keys beside time, level and message."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": f"{_second(int(record.created))}.{int(record.msecs):03d}+00:00",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        try:
            return to_json(line, fallback=str).decode()
        except PydanticSerializationError:  # a lone surrogate, say of a file's name that is no UTF-8
            return json.dumps(line, default=str)


@lru_cache(maxsize=2)
def _second(since_epoch: int) -> str:
    return datetime.fromtimestamp(since_epoch, UTC).replace(tzinfo=None).isoformat()


class _CallRecord(logging.LogRecord):
    """Does not find out its thread, process and line of code, which nobody reads and which cost ten times as much."""

    _SAME = vars(LOGGER.makeRecord(LOGGER.name, logging.INFO, __file__, 0, "call", (), None))

    def __init__(self, fields: dict[str, object]) -> None:
        created = time.time()
        self.__dict__.update(self._SAME, created=created, msecs=created % 1 * 1000, fields=fields)


def log_call(fields: dict[str, object]) -> None:
    """The line of a call."""
    if LOGGER.isEnabledFor(logging.INFO):
        LOGGER.handle(_CallRecord(fields))


class _Batches(logging.Handler):
    def __init__(self, stream: IO[str]) -> None:
        super().__init__()
        self.setFormatter(JsonLines())
        self._stream = stream
        self._records: deque[logging.LogRecord] = deque(maxlen=_LONGEST_BACKLOG)
        self._wake = Event()
        self._ending = False
        self._thread = Thread(target=self._work, name="logs", daemon=True)
        self._thread.start()

    def handle(self, record: logging.LogRecord) -> bool:
        """Without the lock of all handlers: a deque needs none."""
        self._records.append(record)
        if record.levelno >= logging.ERROR:
            self._wake.set()  # it may be the last one
        return True

    def finish(self) -> None:
        """Write what is left. Not `close`: who configures logging anew, as vLLM does, closes every handler there is."""
        self._ending = True
        self._wake.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._ending:
            self._wake.wait(_EVERY_SECONDS)
            self._wake.clear()
            self._write()
        self._write()

    def _write(self) -> None:
        lines = [self.format(self._records.popleft()) for _ in range(len(self._records))]
        if lines:
            try:
                self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()
            except (OSError, ValueError):  # nobody reads any more; the server goes on
                return


@contextmanager
def structured_logs(*, level: str = "INFO", stream: IO[str] | None = None) -> Iterator[None]:
    """Send the service's logs to `stream` (standard error) until the block ends; then write what is left."""
    handler = _Batches(stream or sys.stderr)
    before = LOGGER.level, LOGGER.propagate
    LOGGER.setLevel(level)
    LOGGER.propagate = False
    LOGGER.addHandler(handler)
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        handler.finish()
        LOGGER.level, LOGGER.propagate = before
