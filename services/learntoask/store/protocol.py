"""What a store can do; the folder of a laptop and an object store behave alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from learntoask.core.stages.publication import Publication, PublishedFile


@dataclass(frozen=True, kw_only=True)
class StoredItem:
    """Something that lies in a store, for the collection of what nobody needs.

    `name`: digest of a blob, key of a publication, or what a leftover is called in this store. A leftover is what a
    killed writer or a damaged disk left; nobody reads it. `size` in bytes; `used`: when it was last written or asked
    for by a publisher, in seconds since the epoch.
    """

    kind: Literal["blob", "publication", "leftover"]
    name: str
    size: int
    used: float


class Store(Protocol):
    """All methods raise StoreError, saying what could not be read or written and what to do."""

    address: str

    def put(self, source: Path, *, path: str) -> PublishedFile:
        """Keep the content of `source` as a blob. One that is there is not sent again, but counts as just used: it
        is safe from collection until its publication is written."""

    def fetch(self, file: PublishedFile, target: Path) -> None:
        """Bring a blob to `target` (read only), its digest verified."""

    def publish(self, publication: Publication) -> Publication:
        """Make the publication exist, last of all. The first whole one of a key stays: the one that stands is
        returned, and its output never changes for those who read it."""

    def find(self, key: str) -> Publication | None:
        """The publication of `key`, or None; one whose blobs are not all there counts as absent."""

    def publications(self) -> Iterator[Publication]:
        """Every publication, in no particular order."""

    def items(self) -> Iterator[StoredItem]:
        """Everything that lies here."""

    def manifest_texts(self) -> Iterator[tuple[str, str]]:
        """Key and raw text of every manifest, readable as a publication or not."""

    def remove(self, item: StoredItem, *, unused_since: float) -> bool:
        """Remove `item` unless it was used after `unused_since`; whether it was removed."""


class Publications(Mapping[str, Publication]):
    """Publications by stage key, for the planner: found ones are remembered, absent ones are looked up again."""

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
