"""Listing and removal of the items in a bucket, for the garbage collection."""

from __future__ import annotations

from collections.abc import Iterator

from learntoask.store.protocol import StoredItem
from learntoask.store.s3.bucket import Bucket
from learntoask.store.s3.layout import CORRUPT, Layout, name_of


def list_items(bucket: Bucket, layout: Layout) -> Iterator[StoredItem]:
    """Iterate over all items below the prefix.

    A blob counts as used when it was written or claimed. A claim, together with the parts of a pending upload, is a
    leftover.
    """
    claims = {name_of(entry.key): entry.modified for entry in bucket.entries(layout.claims)}
    for entry in bucket.entries(layout.manifests):
        yield StoredItem(kind="publication", name=name_of(entry.key), size=entry.size, used=entry.modified)
    for entry in bucket.entries(layout.blobs):
        name = name_of(entry.key)
        if name.endswith(CORRUPT):
            place = entry.key.removeprefix(layout.prefix)
            yield StoredItem(kind="leftover", name=place, size=entry.size, used=entry.modified)
        else:
            used = max(entry.modified, claims.get(name, 0.0))
            yield StoredItem(kind="blob", name=name, size=entry.size, used=used)
    for digest, claimed in claims.items():
        size, arrived = _pending(bucket, layout.blob(digest))
        place = layout.claim(digest).removeprefix(layout.prefix)
        yield StoredItem(kind="leftover", name=place, size=size, used=max(claimed, arrived))


def remove(bucket: Bucket, layout: Layout, item: StoredItem, *, unused_since: float) -> bool:
    """Remove `item` unless it was used after `unused_since` (seconds since the epoch); return whether it was
    removed."""
    places = {"blob": layout.blob, "publication": layout.manifest, "leftover": layout.prefix.__add__}
    key = places[item.kind](item.name)
    found = bucket.stat(key)
    claim = bucket.stat(layout.claim(item.name)) if item.kind == "blob" else None
    # The service truncates times to seconds; one second is added, so that no item is taken for older than it is.
    if found is None or max(entry.modified for entry in (found, claim) if entry) + 1.0 > unused_since:
        return False
    if key.startswith(layout.claims):
        blob = layout.blob(name_of(key))
        if _pending(bucket, blob)[1] > unused_since:
            return False
        for upload in bucket.uploads(blob):
            bucket.abort(blob, upload)
    bucket.remove(key)
    return True


def _pending(bucket: Bucket, blob: str) -> tuple[int, float]:
    """Return the bytes of the received parts of pending uploads of `blob`, and the time of the last part (0: none)."""
    parts = [part for upload in bucket.uploads(blob) for part in bucket.parts(blob, upload) or []]
    times = [part.last_modified.timestamp() for part in parts if part.last_modified]
    return sum(part.size or 0 for part in parts), max(times, default=0.0)
