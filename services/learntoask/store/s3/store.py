"""A store in a bucket of MinIO or another S3 service. `layout` describes its keys.

Two limits of S3 make claims necessary: the time of an object cannot be renewed without copying it, and MinIO only lists
pending uploads for a whole key. A claim records when a blob was last needed, so that the garbage collection leaves a
blob that is about to be published and finds the upload of a killed publisher.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import ValidationError

from learntoask.core.errors import StoreError
from learntoask.core.stages.publication import Publication, PublishedFile
from learntoask.store.atomic_files import Snapshot, file_digest
from learntoask.store.protocol import StoredItem
from learntoask.store.s3 import inventory
from learntoask.store.s3.bucket import Bucket
from learntoask.store.s3.layout import CORRUPT, Layout, name_of
from learntoask.store.s3.transfer import PART_BYTES, download, upload

logger = logging.getLogger(__name__)
_ATTEMPTS = 5  # attempts to write a manifest that other processes write at the same time
_LOOKUPS = 8  # concurrent lookups of blobs; each is a round trip


class S3Store:
    """A Store in a bucket, below `prefix`."""

    def __init__(self, bucket: Bucket, *, prefix: str = "") -> None:
        self._bucket = bucket
        self._layout = Layout(prefix=f"{prefix}/" if prefix else "")
        self.address = bucket.place.of(prefix).rstrip("/")

    def put(self, source: Path, *, path: str) -> PublishedFile:
        seen = Snapshot.of(source)
        file = PublishedFile(path=path, digest=file_digest(source), size=seen.size)
        if self._is_whole(file):
            self._claim(file)
            if self._is_whole(file):  # the garbage collection did not remove it before the claim
                return file
        blob = self._layout.blob(file.digest)
        if seen.size > PART_BYTES:
            self._claim(file)
            upload(self._bucket, blob, seen)
        else:
            content = source.read_bytes()
            seen.verify()
            self._bucket.write(blob, content)
        return file

    def fetch(self, file: PublishedFile, target: Path) -> None:
        blob = self._layout.blob(file.digest)
        where = f"{self._bucket.place.of(blob)}: the content of {file.path}"
        there = self._bucket.stat(blob)
        if there is None:
            raise StoreError(f"{where} is missing; run again")
        if there.size == file.size:
            for _ in range(2):  # a second download succeeds if the content was only damaged in transit
                if download(self._bucket, blob, file, target):
                    return
        self._bucket.rename(blob, blob + CORRUPT)  # kept for inspection
        raise StoreError(
            f"{where} is corrupt (digest is not {file.digest[:12]}); it was renamed to *{CORRUPT}. Run again: the "
            "stage that makes it is repeated"
        )

    def publish(self, publication: Publication) -> Publication:
        manifest = self._layout.manifest(publication.key)
        where, content = self._bucket.place.of(manifest), publication.model_dump_json(indent=1).encode()
        for _ in range(_ATTEMPTS):
            there = self._bucket.read(manifest)
            standing = self._publication(where, there[0]) if there else None
            if standing:
                return standing
            if self._bucket.write_first(manifest, content, instead_of=there[1] if there else None):
                break
        else:
            raise StoreError(f"{where} is being written by other processes; run again")
        written = self.find(publication.key)
        if written is None:
            raise StoreError(f"{where} lost a blob while being published; run again")
        return written

    def find(self, key: str) -> Publication | None:
        manifest = self._layout.manifest(key)
        there = self._bucket.read(manifest)
        return self._publication(self._bucket.place.of(manifest), there[0]) if there else None

    def publications(self) -> Iterator[Publication]:
        for entry in self._bucket.entries(self._layout.manifests):
            publication = self.find(name_of(entry.key))
            if publication:
                yield publication

    def manifest_texts(self) -> Iterator[tuple[str, str]]:
        for entry in self._bucket.entries(self._layout.manifests):
            there = self._bucket.read(entry.key)
            if there:
                yield name_of(entry.key), there[0].decode("utf-8", errors="replace")

    def items(self) -> Iterator[StoredItem]:
        return inventory.list_items(self._bucket, self._layout)

    def remove(self, item: StoredItem, *, unused_since: float) -> bool:
        return inventory.remove(self._bucket, self._layout, item, unused_since=unused_since)

    def _publication(self, where: str, content: bytes) -> Publication | None:
        try:
            publication = Publication.model_validate_json(content)
        except ValidationError as error:
            logger.warning("%s is not readable (%s): the stage counts as not published", where, error)
            return None
        with ThreadPoolExecutor(_LOOKUPS) as pool:
            whole = list(pool.map(self._is_whole, publication.files))
        absent = [file.path for file, there in zip(publication.files, whole, strict=True) if not there]
        if absent:
            logger.warning("%s (%s) lacks %s: it is computed again", where, publication.stage, absent)
            return None
        return publication

    def _is_whole(self, file: PublishedFile) -> bool:
        there = self._bucket.stat(self._layout.blob(file.digest))
        return there is not None and there.size == file.size

    def _claim(self, file: PublishedFile) -> None:
        self._bucket.write(self._layout.claim(file.digest), b"")
