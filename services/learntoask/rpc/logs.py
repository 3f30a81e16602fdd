"""Structured logs: one JSON object per line on standard error, written in batches by a background thread.

The thread that answers calls only appends a record to a queue. Formatting and a system call for every line would cost
more than the rest of a call, and a full pipe would block that thread for ever.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from threading import Event, Thread
from typing import IO

from pydantic_core import PydanticSerializationError, to_json

LOGGER = logging.getLogger("learntoask.rpc")
_EVERY_SECONDS = 0.1
_LONGEST_BACKLOG = 100_000  # lines; beyond it the oldest are dropped to bound memory


class JsonLines(logging.Formatter):
    """Formats a record as a JSON object: time, level, message, the keys of `fields`, and error after an exception."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": f"{_second(int(record.created))}.{int(record.msecs):03d}+00:00",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **self.fields(record),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        try:
            return to_json(line, fallback=str).decode()
        except PydanticSerializationError:  # a lone surrogate, e.g. in a file name that is not UTF-8
            return json.dumps(line, default=str)

    def fields(self, record: logging.LogRecord) -> Mapping[str, object]:
        """Return the keys that `record` adds to its line: those of `extra={"fields": {...}}`."""
        fields: Mapping[str, object] = getattr(record, "fields", {})
        return fields


@lru_cache(maxsize=2)
def _second(since_epoch: int) -> str:
    return datetime.fromtimestamp(since_epoch, UTC).replace(tzinfo=None).isoformat()


class _CallRecord(logging.LogRecord):
    """A record without thread, process and line of code: the log does not show them, and finding them out costs ten
    times as much as the rest."""

    _SAME = vars(LOGGER.makeRecord(LOGGER.name, logging.INFO, __file__, 0, "call", (), None))

    def __init__(self, fields: dict[str, object]) -> None:
        created = time.time()
        self.__dict__.update(self._SAME, created=created, msecs=created % 1 * 1000, fields=fields)


def log_call(fields: dict[str, object]) -> None:
    """Write the log line of a call with `fields`."""
    if LOGGER.isEnabledFor(logging.INFO):
        LOGGER.handle(_CallRecord(fields))


class _BatchingHandler(logging.Handler):
    """Queues records and writes them to `stream` from a thread, several at a time."""

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
        """Queue the record without the handler's lock, because appending to a deque is atomic."""
        self._records.append(record)
        if record.levelno >= logging.ERROR:
            self._wake.set()  # it may be the last record before a crash
        return True

    def finish(self) -> None:
        """Write the remaining records and end the thread.

        This is not `close`, because a library that reconfigures logging, as vLLM does, closes all handlers.
        """
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
            except (OSError, ValueError):  # the reader is gone; the server goes on
                return


@contextmanager
def structured_logs(*, level: str = "INFO", stream: IO[str] | None = None) -> Iterator[None]:
    """Send the logs of LOGGER to `stream` (default: standard error) until the block ends."""
    handler = _BatchingHandler(stream or sys.stderr)
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
