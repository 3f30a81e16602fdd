"""What a store can do; the folder of a laptop and an object store behave alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from learntoask.core.publication import Publication, PublishedFile


class Store(Protocol):
    """All methods raise StoreError, saying what could not be read or written and what to do."""

    def put(self, source: Path, *, path: str) -> PublishedFile:
        """Keep the content of `source` as a blob; does nothing when a blob of that digest is there."""

    def fetch(self, file: PublishedFile, target: Path) -> None:
        """Bring a blob to `target` (read only), its digest verified."""

    def publish(self, publication: Publication) -> None:
        """Make the publication exist. Of two publishers of one key either result is whole."""

    def find(self, key: str) -> Publication | None:
        """The publication of `key`, or None; one whose blobs are not all there counts as absent."""

    def publications(self) -> Iterator[Publication]:
        """Every publication, in no particular order."""


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
