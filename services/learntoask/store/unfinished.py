"""Unfinished work of stages that are not published yet: checkpoints, and the outputs of single shards.

A pod loses its disk when it ends, so that the next attempt can only continue from the store. Unfinished work is kept in
a second store with the same layout, in the folder `unfinished/` of the first one. There it can be replaced and removed
without any effect on published stages.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from learntoask.core.digest import digest_of
from learntoask.core.stages.contract import Shard
from learntoask.core.stages.publication import Publication
from learntoask.store.address import StoreAddress
from learntoask.store.protocol import Store, StoredItem

logger = logging.getLogger(__name__)
_SLOTS = (0, 1)


def unfinished_address(address: StoreAddress) -> StoreAddress:
    """Return the address of the unfinished work of the stages in the store at `address`."""
    return address.model_copy(update={"uri": f"{address.uri}/unfinished"})


def share_key(key: str, shard: Shard) -> str:
    """Return the key under which the output of one shard of the stage `key` is stored."""
    return digest_of({"share of": key, "index": shard.index, "count": shard.count})


def abandoned_keys(store: Store, *, published: Store, unused_since: float) -> set[str]:
    """Return the keys of the unfinished work in `store` that will not be read any more.

    Its stage is published, or it was last written before `unused_since` (seconds since the epoch).
    """
    return {
        found.key
        for found in store.publications()
        if found.finished < unused_since or published.find(str(found.summary.get("of"))) is not None
    }


class Checkpoints:
    """The latest checkpoint of a stage. Two slots alternate, so that the former checkpoint stays until the next one is
    complete. `key` is the key of the stage or of one of its shards, and `of` the key of the stage."""

    def __init__(self, store: Store, *, stage: str, key: str, of: str) -> None:
        self._store = store
        self._stage, self._of = stage, of
        self._slots = [digest_of({"checkpoint of": key, "slot": slot}) for slot in _SLOTS]

    def save(self, files: Mapping[str, Path]) -> None:
        """Save `files` (path below the work folder → local file) as the latest checkpoint. Raises StoreError."""
        before = self._latest()
        number = _number(before) + 1 if before else 0
        slot = self._slots[number % len(_SLOTS)]
        kept = tuple(self._store.put(file, path=path) for path, file in sorted(files.items()))
        self._remove(slot)  # a killed writer may have left its checkpoint here
        self._store.publish(
            Publication(
                stage=self._stage,
                key=slot,
                files=kept,
                summary={"of": self._of, "number": number},
                finished=time.time(),
            )
        )
        if before is not None:
            discard(self._store, before, but={file.digest for file in kept})

    def restore(self, work: Path) -> int:
        """Copy the latest checkpoint into the folder `work` and return its bytes, or 0 if there is none."""
        found = self._latest()
        if found is None:
            return 0
        coming = work / "checkpoint.coming"
        for file in found.files:
            self._store.fetch(file, coming)
            (work / file.path).parent.mkdir(parents=True, exist_ok=True)
            _own(coming, work / file.path)
        return sum(file.size for file in found.files)

    def forget(self) -> None:
        """Remove all checkpoints, once the stage is published."""
        for slot in self._slots:
            found = self._store.find(slot)
            if found is not None:
                discard(self._store, found)

    def _latest(self) -> Publication | None:
        found = (self._store.find(slot) for slot in self._slots)
        return max((checkpoint for checkpoint in found if checkpoint), key=_number, default=None)

    def _remove(self, slot: str) -> None:
        self._store.remove(StoredItem(kind="publication", name=slot, size=0, used=0.0), unused_since=math.inf)


def discard(store: Store, found: Publication, *, but: Collection[str] = ()) -> None:
    """Remove unfinished work and its blobs, except the blobs whose digests are in `but`.

    If another publication in the same store shares one of the blobs (rare), that publication then counts as missing,
    and its stage runs again.
    """
    store.remove(StoredItem(kind="publication", name=found.key, size=0, used=0.0), unused_since=math.inf)
    for digest in {file.digest for file in found.files} - set(but):
        store.remove(StoredItem(kind="blob", name=digest, size=0, used=0.0), unused_since=math.inf)


def _number(found: Publication) -> int:
    number = found.summary.get("number")
    return number if isinstance(number, int) else 0


def _own(coming: Path, target: Path) -> None:
    """Move the fetched file to `target` as a writable file. A folder store fetches by linking to its read-only blob."""
    if coming.stat().st_nlink > 1:
        shutil.copyfile(coming, target)
        coming.unlink()
    else:
        os.replace(coming, target)
    target.chmod(0o644)
