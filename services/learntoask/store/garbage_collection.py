"""Garbage collection: which items of a store are not needed any more, and their removal.

- A blob is needed while any manifest mentions its digest. This includes manifests that cannot be parsed, because a
  newer version may have written them.
- A leftover of a killed writer is never needed.
- A publication is only removed if the user says which runs to keep.
- An item that was written or requested by a publisher within the grace period stays, because a stage may be about to
  publish it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Set
from dataclasses import dataclass

from learntoask.core.stages.publication import Publication
from learntoask.store.protocol import Store, StoredItem

_DIGEST = re.compile(r"\b[0-9a-f]{64}\b")


@dataclass(frozen=True, kw_only=True)
class CollectionResult:
    """The result of a collection: the removed items (in a dry run, those that would be removed), and all others."""

    removed: tuple[StoredItem, ...]
    left: tuple[StoredItem, ...]


def collect(store: Store, *, unused_since: float, keep: Set[str] | None, dry_run: bool) -> CollectionResult:
    """Remove the items that are not needed and were not used after `unused_since` (seconds since the epoch).

    `keep` are the keys of the publications that stay; None keeps all. Raises StoreError; the items removed until then
    were not needed, and the next collection continues.
    """
    # Listed before the manifests are read, so that the manifest of a stage that publishes meanwhile counts.
    stored = list(store.items())
    manifests = dict(store.manifest_texts())
    removed = [
        item
        for item in collectable_items(stored, manifests=manifests, keep=keep, unused_since=unused_since)
        if dry_run or store.remove(item, unused_since=unused_since)
    ]
    gone = set(removed)
    return CollectionResult(removed=tuple(removed), left=tuple(item for item in stored if item not in gone))


def collectable_items(
    stored: Iterable[StoredItem], *, manifests: dict[str, str], keep: Set[str] | None, unused_since: float
) -> list[StoredItem]:
    """Return the items that may be removed, publications first, so that no manifest ever lacks a blob."""
    old = [item for item in stored if item.used <= unused_since]
    going = {item.name for item in old if item.kind == "publication" and keep is not None} - (keep or set())
    needed = {
        digest for key, text in manifests.items() if key not in going for digest in _DIGEST.findall(text)
    }
    return [
        *(item for item in old if item.kind == "publication" and item.name in going),
        *(item for item in old if item.kind == "leftover"),
        *(item for item in old if item.kind == "blob" and item.name not in needed),
    ]


def with_lineage(keys: Collection[str], publications: Iterable[Publication]) -> set[str]:
    """Return `keys` and the keys of all publications that they were computed from, directly or indirectly."""
    known = list(publications)
    kept, added = set(keys), set(keys)
    while added:
        outputs = {
            output
            for publication in known
            if publication.key in added
            for output in publication.inputs.values()
        }
        added = {publication.key for publication in known if publication.output in outputs} - kept
        kept |= added
    return kept
