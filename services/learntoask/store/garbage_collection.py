"""What of a store nobody needs any more, and its removal.

A blob is needed while any manifest mentions its digest, readable or not (one written by a newer version is not
readable here). Leftovers of killed writers are needed by nobody. A publication goes only where the user says which
runs to keep. And nothing goes that was written, or asked for by a publisher, within the grace time: a stage may be
about to publish it.
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
    """`removed`: what went, or would go in a dry run; `left`: everything else that lies in the store."""

    removed: tuple[StoredItem, ...]
    left: tuple[StoredItem, ...]


def collect(store: Store, *, unused_since: float, keep: Set[str] | None, dry_run: bool) -> CollectionResult:
    """Remove what nobody needs and nobody used after `unused_since` (seconds since the epoch).

    `keep`: keys of the publications that stay; None keeps all. Raises StoreError; what was removed until then was of
    no use, and the next collection goes on.
    """
    stored = list(store.items())  # listed before the manifests are read: what is published meanwhile is seen
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
    """What may go, publications first: were the removal to stop midway, no manifest would lack a blob."""
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
    """`keys` and those of every publication whose output was read, at any remove, to make them."""
    known = list(publications)
    kept, added = set(keys), set(keys)
    while added:
        outputs = {output for one in known if one.key in added for output in one.inputs.values()}
        added = {one.key for one in known if one.output in outputs} - kept
        kept |= added
    return kept
