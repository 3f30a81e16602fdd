"""The interface of a store, which a folder and an S3 bucket implement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from learntoask.core.stages.publication import Publication, PublishedFile


@dataclass(frozen=True, kw_only=True)
class StoredItem:
    """An item in a store, as the garbage collection sees it.

    `name` is the digest of a blob, the key of a publication, or the path or key of a leftover. A leftover is a file
    that a killed writer or a damaged disk left and that is never read. `size` is in bytes. `used` is the time (seconds
    since the epoch) when the item was last written or requested by a publisher.
    """

    kind: Literal["blob", "publication", "leftover"]
    name: str
    size: int
    used: float


class Store(Protocol):
    """A store. All methods raise StoreError, which says what could not be read or written and what to do."""

    address: str

    def put(self, source: Path, *, path: str) -> PublishedFile:
        """Store the content of `source` as a blob. `path` is its path in the output.

        An existing blob is not sent again. In both cases it counts as used now, so that the garbage collection leaves
        it until its publication is written.
        """

    def fetch(self, file: PublishedFile, target: Path) -> None:
        """Copy a blob to `target` (read-only) and verify its digest."""

    def publish(self, publication: Publication) -> Publication:
        """Write the manifest of `publication`, after all its blobs, and return the publication that is valid.

        If a complete publication of the same key exists, it stays valid, so that the output of a key never changes.
        """

    def find(self, key: str) -> Publication | None:
        """Return the publication of `key`, or None. A publication that lacks a blob counts as missing."""

    def publications(self) -> Iterator[Publication]:
        """Iterate over all publications, in no particular order."""

    def items(self) -> Iterator[StoredItem]:
        """Iterate over all items in the store."""

    def manifest_texts(self) -> Iterator[tuple[str, str]]:
        """Iterate over key and text of all manifests, including those that cannot be parsed."""

    def remove(self, item: StoredItem, *, unused_since: float) -> bool:
        """Remove `item` unless it was used after `unused_since` (seconds since the epoch); return whether it was
        removed."""


class Publications(Mapping[str, Publication]):
    """The publications of a store by stage key, for the planner. Only found ones are cached."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._found: dict[str, Publication] = {}

    def __getitem__(self, key: str) -> Publication:
        if key not in self._found:
            publication = self._store.find(key)
            if publication is None:
                raise KeyError(key)
            self._found[key] = publication
        return self._found[key]

    def __iter__(self) -> Iterator[str]:
        return (publication.key for publication in self._store.publications())

    def __len__(self) -> int:
        return sum(1 for _ in self)
