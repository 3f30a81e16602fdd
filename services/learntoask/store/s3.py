"""A store in a bucket of MinIO or any other S3 service, below a prefix.

    blobs/ab/ab12…            content, named by its SHA-256; large ones are sent in parts
    published/ab/ab34….json   publications, named by stage key, written last
    claims/ab12…              empty; its time says when a publisher last asked for that blob or began to send it

An object's own time cannot be renewed without copying it, and pending uploads can be listed by whole keys only
(MinIO): a claim does for both, so a blob about to be published is not collected and a killed upload is found.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import ValidationError

from learntoask.core.errors import StoreError
from learntoask.core.publication import Publication, PublishedFile
from learntoask.store.bucket import Bucket
from learntoask.store.protocol import Stored
from learntoask.store.transfer import PART_BYTES, download, upload
from learntoask.store.writing import Snapshot, file_digest

logger = logging.getLogger(__name__)
_CORRUPT = ".corrupt"
_ATTEMPTS = 5  # to publish a key that others publish at the same time


class S3Store:
    def __init__(self, bucket: Bucket, *, prefix: str = "") -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self.address = bucket.place.of(prefix).rstrip("/")

    def put(self, source: Path, *, path: str) -> PublishedFile:
        seen = Snapshot.of(source)
        file = PublishedFile(path=path, digest=file_digest(source), size=seen.size)
        if self._whole(file):
            self._claim(file.digest)
            if self._whole(file):  # it was not collected before the claim
                return file
        if seen.size > PART_BYTES:
            self._claim(file.digest)
            upload(self._bucket, self._blob(file.digest), seen)
        else:
            content = source.read_bytes()
            seen.verify()
            self._bucket.write(self._blob(file.digest), content)
        return file

    def fetch(self, file: PublishedFile, target: Path) -> None:
        blob = self._blob(file.digest)
        there = self._bucket.stat(blob)
        if there is None:
            raise StoreError(
                f"{self._bucket.place.of(blob)}: the content of {file.path} is missing; run again"
            )
        if there.size == file.size:
            for _ in range(2):  # what was damaged on the way comes whole the second time
                if download(self._bucket, blob, file, target):
                    return
        self._bucket.rename(blob, blob + _CORRUPT)  # kept for a look; the stage that made it runs again
        raise StoreError(
            f"{self._bucket.place.of(blob)}: the content of {file.path} is corrupt (digest is not {file.digest[:12]}); "
            "it was set aside as *.corrupt. Run again: the stage that makes it is repeated"
        )

    def publish(self, publication: Publication) -> Publication:
        manifest = self._manifest(publication.key)
        content = publication.model_dump_json(indent=1).encode()
        for _ in range(_ATTEMPTS):
            standing = self._bucket.read(manifest)
            if standing:
                whole = self._publication(manifest, standing[0])
                if whole:
                    return whole
            if self._bucket.write_first(manifest, content, instead_of=standing[1] if standing else None):
                break
        else:
            raise StoreError(f"{self._bucket.place.of(manifest)} is being written by others; run again")
        written = self.find(publication.key)
        if written is None:
            raise StoreError(
                f"{self._bucket.place.of(manifest)} lost a blob while being published; run again"
            )
        return written

    def find(self, key: str) -> Publication | None:
        manifest = self._manifest(key)
        found = self._bucket.read(manifest)
        return self._publication(manifest, found[0]) if found else None

    def publications(self) -> Iterator[Publication]:
        for entry in self._bucket.entries(f"{self._prefix}published/"):
            publication = self.find(_name(entry.key).removesuffix(".json"))
            if publication:
                yield publication

    def manifest_texts(self) -> Iterator[tuple[str, str]]:
        for entry in self._bucket.entries(f"{self._prefix}published/"):
            found = self._bucket.read(entry.key)
            if found:
                yield _name(entry.key).removesuffix(".json"), found[0].decode("utf-8", errors="replace")

    def stored(self) -> Iterator[Stored]:
        claims = {
            _name(entry.key): entry.modified for entry in self._bucket.entries(f"{self._prefix}claims/")
        }
        for entry in self._bucket.entries(f"{self._prefix}published/"):
            key = _name(entry.key).removesuffix(".json")
            yield Stored(kind="publication", name=key, size=entry.size, used=entry.modified)
        for entry in self._bucket.entries(f"{self._prefix}blobs/"):
            name = _name(entry.key)
            if name.endswith(_CORRUPT):
                relative = entry.key.removeprefix(self._prefix)
                yield Stored(kind="leftover", name=relative, size=entry.size, used=entry.modified)
            else:
                used = max(entry.modified, claims.get(name, 0.0))
                yield Stored(kind="blob", name=name, size=entry.size, used=used)
        for digest, claimed in claims.items():
            yield self._claimed(digest, claimed)

    def remove(self, item: Stored, *, unused_since: float) -> bool:
        if item.kind == "publication":
            key, used = self._manifest(item.name), self._modified(self._manifest(item.name))
        elif item.kind == "blob":
            key = self._blob(item.name)
            used = max(self._modified(key), self._modified(self._claim_of(item.name)))
        else:
            key, used = self._prefix + item.name, self._modified(self._prefix + item.name)
            if item.name.startswith("claims/"):
                used = max(used, self._claimed(_name(item.name), 0.0).used)
        if used > unused_since:
            return False
        if item.name.startswith("claims/"):
            for pending in self._bucket.uploads(self._blob(_name(item.name))):
                self._bucket.abort(self._blob(_name(item.name)), pending)
        self._bucket.remove(key)
        return True

    def _publication(self, manifest: str, content: bytes) -> Publication | None:
        try:
            publication = Publication.model_validate_json(content)
        except ValidationError as error:
            place = self._bucket.place.of(manifest)
            logger.warning("%s is not readable (%s): the stage counts as not published", place, error)
            return None
        absent = self._absent(publication)
        if absent:
            key = publication.key[:12]
            logger.warning("stage %s of %s lacks %s: it is computed again", publication.stage, key, absent)
            return None
        return publication

    def _absent(self, publication: Publication) -> list[str]:
        with ThreadPoolExecutor(8) as pool:
            whole = list(pool.map(self._whole, publication.files))
        return [file.path for file, there in zip(publication.files, whole, strict=True) if not there]

    def _whole(self, file: PublishedFile) -> bool:
        there = self._bucket.stat(self._blob(file.digest))
        return there is not None and there.size == file.size

    def _claim(self, digest: str) -> None:
        self._bucket.write(self._claim_of(digest), b"")

    def _claimed(self, digest: str, claimed: float) -> Stored:
        """A claim with what was sent of its blob and never completed."""
        parts = [
            part
            for pending in self._bucket.uploads(self._blob(digest))
            for part in self._bucket.parts(self._blob(digest), pending) or []
        ]
        used = max([claimed, *(part.last_modified.timestamp() for part in parts if part.last_modified)])
        size = sum(part.size or 0 for part in parts)
        return Stored(kind="leftover", name=f"claims/{digest}", size=size, used=used)

    def _modified(self, key: str) -> float:
        found = self._bucket.stat(key)
        return found.modified if found else 0.0

    def _blob(self, digest: str) -> str:
        return f"{self._prefix}blobs/{digest[:2]}/{digest}"

    def _manifest(self, key: str) -> str:
        return f"{self._prefix}published/{key[:2]}/{key}.json"

    def _claim_of(self, digest: str) -> str:
        return f"{self._prefix}claims/{digest}"


def _name(key: str) -> str:
    return key.rpartition("/")[2]
