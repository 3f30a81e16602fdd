"""What stages that are not published yet have made so far: checkpoints, and the shares of several pods.

It lies in a store of its own below the other (`unfinished/`, the same layout), so that it can be replaced and removed
without a thought for what is published. A pod's disk ends with the pod: what a later one is to go on from is here.
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
    """Where the unfinished work of the stages in the store at `address` lies."""
    return address.model_copy(update={"uri": f"{address.uri}/unfinished"})


def share_key(key: str, shard: Shard) -> str:
    """The key under which one share of the stage `key` is kept."""
    return digest_of({"share of": key, "index": shard.index, "count": shard.count})


def abandoned_keys(store: Store, *, published: Store, unused_since: float) -> set[str]:
    """Keys of the unfinished work in `store` that nobody will ask for: its stage is published, or it was not added to
    since `unused_since` (seconds since the epoch)."""
    return {
        found.key
        for found in store.publications()
        if found.finished < unused_since or published.find(str(found.summary.get("of"))) is not None
    }


class Checkpoints:
    """The newest checkpoint of one stage. Two slots take turns, so that the last whole one stays until the next is;
    `key` is that of the stage, or of a pod's share of it, and `of` the stage's."""

    def __init__(self, store: Store, *, stage: str, key: str, of: str) -> None:
        self._store = store
        self._stage, self._of = stage, of
        self._slots = [digest_of({"checkpoint of": key, "slot": slot}) for slot in _SLOTS]

    def save(self, files: Mapping[str, Path]) -> None:
        """Make `files` (path below the work folder → content) the newest checkpoint. Raises StoreError."""
        before = self._latest()
        number = _number(before) + 1 if before else 0
        slot = self._slots[number % len(_SLOTS)]
        kept = tuple(self._store.put(file, path=path) for path, file in sorted(files.items()))
        self._remove(slot)  # of a writer who was killed before he could
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
        """Bring the newest checkpoint into the folder `work`; returns the bytes, 0 where there is none."""
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
        """Remove every checkpoint: the stage is published."""
        for slot in self._slots:
            found = self._store.find(slot)
            if found is not None:
                discard(self._store, found)

    def _latest(self) -> Publication | None:
        found = [one for slot in self._slots if (one := self._store.find(slot)) is not None]
        return max(found, key=_number, default=None)

    def _remove(self, slot: str) -> None:
        self._store.remove(StoredItem(kind="publication", name=slot, size=0, used=0.0), unused_since=math.inf)


def discard(store: Store, found: Publication, *, but: Collection[str] = ()) -> None:
    """Remove unfinished work and its blobs, without those whose digest is in `but`. A blob that others keep too, which
    is rare, makes theirs count as absent."""
    store.remove(StoredItem(kind="publication", name=found.key, size=0, used=0.0), unused_since=math.inf)
    for digest in {file.digest for file in found.files} - set(but):
        store.remove(StoredItem(kind="blob", name=digest, size=0, used=0.0), unused_since=math.inf)


def _number(found: Publication) -> int:
    number = found.summary.get("number")
    return number if isinstance(number, int) else 0


def _own(coming: Path, target: Path) -> None:
    """Make the fetched file one that may be written to: a folder store hands out links to its own."""
    if coming.stat().st_nlink > 1:
        shutil.copyfile(coming, target)
        coming.unlink()
    else:
        os.replace(coming, target)
    target.chmod(0o644)
