"""A queue in a folder.

    items.jsonl     ReviewItems, replaced as a whole when some are added
    retired.jsonl   Retirements, the same
    freezes.jsonl   Freezes, the same
    events.jsonl    Events, one a line, only ever added to
    lock            held by the process that writes

A writer flushes each event to disk before it says that it is stored, except leases, which may get lost. A writer that
is killed may leave a line without an end, which nobody was told of; the next writer removes it, and readers stop before
it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from learntoask.core.documents.messages import problem, where_of
from learntoask.core.errors import StoreError
from learntoask.core.json_lines import read_records
from learntoask.core.records import Record
from learntoask.review.records import Event, Freeze, Retirement, ReviewItem
from learntoask.review.storage.protocol import Changes, EventKey, key_of
from learntoask.review.storage.unions import with_freeze, with_items, with_retirements
from learntoask.store.atomic_files import atomic_write

logger = logging.getLogger(__name__)
RecordType = TypeVar("RecordType", bound=Record)


class FolderStorage:
    """A QueueStorage in `folder`, which is created by the first write."""

    poll_seconds = 0.0  # looking at the size of a file costs nothing

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = str(folder)
        self._events = folder / "events.jsonl"
        self._thread_lock = threading.RLock()
        self._stored: dict[EventKey, Event] = {}
        self._by_item: dict[str, list[Event]] = {}
        self._unreported: list[Event] = []
        self._offset = self._lines = 0
        self._versions: dict[Path, tuple[int, int, int]] = {}

    def add_items(self, items: Sequence[ReviewItem]) -> None:
        with self._writing():
            known = self._read("items.jsonl", ReviewItem)
            self._replace("items.jsonl", known, with_items(known, items))

    def retire(self, retirements: Sequence[Retirement]) -> None:
        with self._writing():
            known = self._read("retired.jsonl", Retirement)
            self._replace("retired.jsonl", known, with_retirements(known, retirements))

    def keep_freeze(self, freeze: Freeze) -> None:
        with self._writing():
            known = self._read("freezes.jsonl", Freeze)
            self._replace("freezes.jsonl", known, with_freeze(known, freeze))

    def freezes(self) -> Sequence[Freeze]:
        return self._read("freezes.jsonl", Freeze)

    def append(self, event: Event) -> Event:
        with self._writing():
            self._read_events()
            stored = self._stored.get(key_of(event))
            if stored is None:
                line = event.model_dump_json().encode() + b"\n"
                self._add_line(line, durable=event.kind not in ("leased", "released"))
                self._read_events()
            return stored or event

    def changes(self, *, complete: bool = False) -> Changes:
        with self._thread_lock:
            self._read_events()
            events, self._unreported = self._unreported, []
            return Changes(
                items=self._read_if_changed("items.jsonl", ReviewItem),
                retirements=self._read_if_changed("retired.jsonl", Retirement),
                events=events,
            )

    def events_of(self, item: str) -> Sequence[Event]:
        with self._thread_lock:
            self._read_events()
            return list(self._by_item.get(item, ()))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Exclude other threads and processes. The lock of a killed process ends with it."""
        with self._thread_lock:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                with (self.folder / "lock").open("a") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX)
                    yield
            except OSError as error:
                raise StoreError(f"{self.folder} could not be written: {error}") from error

    def _add_line(self, line: bytes, *, durable: bool) -> None:
        created = not self._events.exists()
        descriptor = os.open(self._events, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            end = os.fstat(descriptor).st_size
            if end > self._offset:  # what a killed writer left without an end of line
                logger.warning(
                    "%s: an unfinished line of %d bytes is removed", self._events, end - self._offset
                )
                os.ftruncate(descriptor, self._offset)
            try:
                self._write(descriptor, line)
            except OSError:  # such as a full disk; a line without an end was read by no one
                os.ftruncate(descriptor, self._offset)
                raise
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if created:
            _sync_folder(self.folder)

    def _write(self, descriptor: int, line: bytes) -> None:
        while line:
            line = line[os.write(descriptor, line) :]

    def _read_events(self) -> None:
        """Read the lines that were added since the last time, up to the last end of line."""
        try:
            with self._events.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._offset:
                    raise StoreError(
                        f"{self._events} became shorter: events were removed. Restore the file, then start again"
                    )
                file.seek(self._offset)
                added = file.read()
        except FileNotFoundError:
            if self._offset:
                raise StoreError(f"{self._events} was removed. Restore the file, then start again") from None
            return
        except OSError as error:
            raise StoreError(f"{self._events} cannot be read: {error}") from error
        for line in added[: added.rfind(b"\n") + 1].splitlines(keepends=True):
            event = self._event(line, self._lines + 1)
            self._offset += len(line)
            self._lines += 1
            if self._stored.setdefault(key_of(event), event) is event:
                self._unreported.append(event)
                self._by_item.setdefault(event.item, []).append(event)

    def _event(self, line: bytes, number: int) -> Event:
        try:
            return Event.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            raise StoreError(
                f"{self._events}, line {number} is not an event ({where_of(first, 'line')}: {problem(first)}). The "
                "other lines are intact: repair the line or remove it, then start again",
                retryable=False,
            ) from error

    def _read(self, name: str, kind: type[RecordType]) -> list[RecordType]:
        path = self.folder / name
        return list(read_records(path, kind)) if path.exists() else []

    def _read_if_changed(self, name: str, kind: type[RecordType]) -> list[RecordType]:
        path = self.folder / name
        try:
            status = path.stat()
        except FileNotFoundError:
            return []
        version = (status.st_ino, status.st_size, status.st_mtime_ns)
        if self._versions.get(path) == version:
            return []
        found = list(read_records(path, kind))
        self._versions[path] = version
        return found

    def _replace(self, name: str, known: Sequence[Record], records: Sequence[Record]) -> None:
        if len(records) == len(known):
            return
        with atomic_write(self.folder / name) as out:
            for record in records:
                out.write(record.model_dump_json().encode() + b"\n")
        _sync_folder(self.folder)


def _sync_folder(folder: Path) -> None:
    """Flush the names of a folder's files to disk, so that a new file survives a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
