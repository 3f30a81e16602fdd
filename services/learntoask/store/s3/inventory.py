"""What lies in a bucket, and the removal of it, for collection."""

from __future__ import annotations

from collections.abc import Iterator

from learntoask.store.protocol import StoredItem
from learntoask.store.s3.bucket import Bucket
from learntoask.store.s3.layout import CORRUPT, Layout, name_of


def list_items(bucket: Bucket, layout: Layout) -> Iterator[StoredItem]:
    """Everything below the prefix. A blob counts as used when it was claimed; a claim, with the parts of an upload that
    was not completed, is a leftover."""
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
    """Remove `item` unless it was used after `unused_since`; whether it was removed."""
    places = {"blob": layout.blob, "publication": layout.manifest, "leftover": layout.prefix.__add__}
    key = places[item.kind](item.name)
    there = bucket.stat(key)
    claim = bucket.stat(layout.claim(item.name)) if item.kind == "blob" else None
    # Dates of answers are cut to seconds: nothing is to be taken for older than it is.
    if there is None or max(one.modified for one in (there, claim) if one) + 1.0 > unused_since:
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
    """Bytes that arrived of uploads of `blob` that were not completed, and when the last part did (0: none)."""
    parts = [part for upload in bucket.uploads(blob) for part in bucket.parts(blob, upload) or []]
    times = [part.last_modified.timestamp() for part in parts if part.last_modified]
    return sum(part.size or 0 for part in parts), max(times, default=0.0)
