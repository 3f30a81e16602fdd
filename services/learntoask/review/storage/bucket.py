"""A queue in a bucket of an S3 service, below `reviews/QUEUE/`.

    items.jsonl                   ReviewItems, replaced only by a writer that saw the latest version
    retired.jsonl                 Retirements, the same
    freezes.jsonl                 Freezes, the same
    ITEM/REVIEWER/000007          an Event, written if absent and never changed
    snapshot.jsonl                Events in one object, for a fast start; the objects above decide

The service must support conditional writes (If-None-Match and If-Match), as Amazon S3, MinIO and Ceph do. Without them
two servers could replace each other's events.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from urllib.parse import quote

from pydantic import ValidationError

from learntoask.core.digest import digest_of
from learntoask.core.documents.messages import problem, where_of
from learntoask.core.errors import StoreError
from learntoask.core.records import Record
from learntoask.review.records import Event, Freeze, Retirement, ReviewItem
from learntoask.review.storage.protocol import Changes
from learntoask.review.storage.unions import with_freeze, with_items, with_retirements
from learntoask.store.s3.bucket import Bucket

RecordType = TypeVar("RecordType", bound=Record)
_EVENT = re.compile(r"[0-9a-f]{64}/[^/]+/\d{6}")
_ATTEMPTS = 20  # to replace a file that other processes replace at the same time
_READERS = 8  # requests at the same time
_PAGE = 1000  # objects that are listed in one request
_SNAPSHOT_AFTER = 1000  # events that a new server would have to read one by one
_LONGEST_NAME = 120  # of a part of a key; file systems below MinIO allow 255


class BucketStorage:
    """A QueueStorage in `bucket` below `prefix`, which ends with a slash.

    A call of `changes` lists one page of keys, continuing where the last one ended, so that it takes the same time for
    any number of events.
    """

    poll_seconds = 2.0

    def __init__(self, bucket: Bucket, *, prefix: str) -> None:
        self._bucket, self._prefix = bucket, prefix
        self.address = bucket.place.of(prefix).rstrip("/")
        self._lock = threading.Lock()
        self._stored: dict[str, Event] = {}  # by key below the prefix
        self._by_item: dict[str, list[Event]] = {}
        self._unreported: list[Event] = []
        self._snapshot: dict[str, Event] | None = None  # events of the snapshot that were not listed yet
        self._in_snapshot = 0
        self._after: str | None = None
        self._versions: dict[str, str] = {}

    def add_items(self, items: Sequence[ReviewItem]) -> None:
        self._replace("items.jsonl", ReviewItem, lambda known: with_items(known, items))

    def retire(self, retirements: Sequence[Retirement]) -> None:
        self._replace("retired.jsonl", Retirement, lambda known: with_retirements(known, retirements))

    def keep_freeze(self, freeze: Freeze) -> None:
        self._replace("freezes.jsonl", Freeze, lambda known: with_freeze(known, freeze))

    def freezes(self) -> Sequence[Freeze]:
        return self._read("freezes.jsonl", Freeze)

    def append(self, event: Event) -> Event:
        key = _key(event)
        for _ in range(_ATTEMPTS):
            # A repeated request whose first answer was lost finds the event that it has written itself.
            if self._bucket.write_first(
                self._prefix + key, event.model_dump_json().encode(), instead_of=None
            ):
                self._note({key: event})
                return event
            stored = self._read_event(key)
            if stored is not None:
                self._note({key: stored})
                return stored
        raise StoreError(f"{self._bucket.place.of(self._prefix + key)} is being written by others; try again")

    def changes(self, *, complete: bool = False) -> Changes:
        if self._snapshot is None or complete:
            self._list_all()
        else:
            self._list_page()
        self._write_snapshot()
        return Changes(
            items=self._read_if_changed("items.jsonl", ReviewItem),
            retirements=self._read_if_changed("retired.jsonl", Retirement),
            events=self._report(),
        )

    def events_of(self, item: str) -> Sequence[Event]:
        self._fetch(entry.key for entry in self._bucket.entries(f"{self._prefix}{item}/"))
        with self._lock:
            return list(self._by_item.get(item, ()))

    def _list_all(self) -> None:
        if self._snapshot is None:
            events = self._read("snapshot.jsonl", Event)
            with self._lock:
                self._snapshot = {_key(event): event for event in events}
                self._in_snapshot = len(events)
        self._fetch(entry.key for entry in self._bucket.entries(self._prefix))

    def _list_page(self) -> None:
        page = list(self._bucket.entries(self._prefix, after=self._after, most=_PAGE))
        self._after = page[-1].key if len(page) == _PAGE else None
        self._fetch(entry.key for entry in page)

    def _fetch(self, keys: Iterable[str]) -> None:
        """Read the events with these keys that are not known."""
        below = [key.removeprefix(self._prefix) for key in keys]
        with self._lock:
            missing = [key for key in below if _EVENT.fullmatch(key) and key not in self._stored]
            ready = {key: (self._snapshot or {}).pop(key) for key in missing if key in (self._snapshot or {})}
        self._note(ready)
        to_read = [key for key in missing if key not in ready]
        if not to_read:
            return
        with ThreadPoolExecutor(min(_READERS, len(to_read))) as pool:
            events = list(pool.map(self._read_event, to_read))
        self._note({key: event for key, event in zip(to_read, events, strict=True) if event})

    def _note(self, events: dict[str, Event]) -> None:
        with self._lock:
            for key, event in events.items():
                if key not in self._stored:
                    self._stored[key] = event
                    self._unreported.append(event)
                    self._by_item.setdefault(event.item, []).append(event)

    def _report(self) -> list[Event]:
        with self._lock:
            events, self._unreported = self._unreported, []
            return events

    def _read_event(self, key: str) -> Event | None:
        there = self._bucket.read(self._prefix + key)
        return self._records(key, there[0], Event)[0] if there else None

    def _write_snapshot(self) -> None:
        with self._lock:
            if len(self._stored) - self._in_snapshot < _SNAPSHOT_AFTER:
                return
            self._in_snapshot = len(self._stored)
            content = "".join(event.model_dump_json() + "\n" for event in self._stored.values())
        self._bucket.write(f"{self._prefix}snapshot.jsonl", content.encode())

    def _replace(
        self,
        name: str,
        kind: type[RecordType],
        change: Callable[[Sequence[RecordType]], Sequence[RecordType]],
    ) -> None:
        for _ in range(_ATTEMPTS):
            there = self._bucket.read(self._prefix + name)
            known = self._records(name, there[0], kind) if there else []
            wanted = change(known)
            content = "".join(record.model_dump_json() + "\n" for record in wanted).encode()
            if len(wanted) == len(known) or self._bucket.write_first(
                self._prefix + name, content, instead_of=there[1] if there else None
            ):
                return
        raise StoreError(
            f"{self._bucket.place.of(self._prefix + name)} is being written by others; try again"
        )

    def _read_if_changed(self, name: str, kind: type[RecordType]) -> list[RecordType]:
        found = self._bucket.stat(self._prefix + name)
        if found is None or self._versions.get(name) == found.etag:
            return []
        there = self._bucket.read(self._prefix + name)
        if there is None:
            return []
        records = self._records(name, there[0], kind)
        self._versions[name] = there[1]
        return records

    def _read(self, name: str, kind: type[RecordType]) -> list[RecordType]:
        there = self._bucket.read(self._prefix + name)
        return self._records(name, there[0], kind) if there else []

    def _records(self, name: str, content: bytes, kind: type[RecordType]) -> list[RecordType]:
        records = []
        for number, line in enumerate(content.splitlines(), 1):
            try:
                records.append(kind.model_validate_json(line))
            except ValidationError as error:
                first = error.errors()[0]
                raise StoreError(
                    f"{self._bucket.place.of(self._prefix + name)}, line {number} is not a {kind.__name__} "
                    f"({where_of(first, 'line')}: {problem(first)}); restore the object from a backup",
                    retryable=False,
                ) from error
        if not records:
            raise StoreError(
                f"{self._bucket.place.of(self._prefix + name)} is empty; restore it from a backup",
                retryable=False,
            )
        return records


def _key(event: Event) -> str:
    name = quote(event.reviewer, safe="@+")
    return f"{event.item}/{name if len(name) <= _LONGEST_NAME else digest_of(event.reviewer)}/{event.n:06d}"
