"""A store in a folder.

    blobs/ab/ab12…            content, named by its SHA-256, read-only; its modification time is when it was last put
    published/ab/ab34….json   publications, named by stage key

Every file is written under a temporary name, flushed to disk and renamed, so that readers never find an incomplete one.
The temporary files of killed writers (`*.partial`) are removed by the garbage collection.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from learntoask.core.errors import StoreError
from learntoask.core.stages.publication import Publication, PublishedFile
from learntoask.store.atomic_files import Snapshot, atomic_write, file_digest
from learntoask.store.protocol import StoredItem

logger = logging.getLogger(__name__)
_CHUNK = 1 << 20
_DIGEST_LENGTH = 64


class FolderStore:
    """A Store in the folder `root`, which is created by the first write."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.address = str(root)

    def put(self, source: Path, *, path: str) -> PublishedFile:
        seen = Snapshot.of(source)
        file = PublishedFile(path=path, digest=file_digest(source), size=seen.size)
        if not self._renew(file):
            blob = self._blob(file.digest)
            with source.open("rb") as content, atomic_write(blob) as out:
                shutil.copyfileobj(content, out, _CHUNK)
                seen.verify()
            blob.chmod(0o444)
        return file

    def fetch(self, file: PublishedFile, target: Path) -> None:
        blob = self._blob(file.digest)
        if not blob.exists():
            raise StoreError(
                f"{self.root}: the content of {file.path} ({file.digest[:12]}) is missing; run again"
            )
        if file_digest(blob) != file.digest:
            blob.rename(blob.with_name(f"{blob.name}.corrupt"))  # kept for inspection
            raise StoreError(
                f"{self.root}: the content of {file.path} is corrupt (digest is not {file.digest[:12]}); it was "
                "renamed to *.corrupt. Run again: the stage that makes it is repeated"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            os.link(blob, target)
        except OSError:  # another file system, or one without links
            shutil.copyfile(blob, target)
            target.chmod(0o444)

    def publish(self, publication: Publication) -> Publication:
        content = publication.model_dump_json(indent=1).encode()
        manifest = self._manifest(publication.key)
        try:
            with atomic_write(manifest, only_first=True) as out:
                out.write(content)
        except FileExistsError:
            standing = self.find(publication.key)
            if standing is not None:
                return standing
            with atomic_write(manifest) as out:  # the existing manifest is unreadable or lacks blobs
                out.write(content)
        standing = self.find(publication.key)
        if standing is None:
            raise StoreError(f"{manifest} lost a blob while it was being published; run again")
        return standing

    def find(self, key: str) -> Publication | None:
        manifest = self._manifest(key)
        try:
            publication = Publication.model_validate_json(manifest.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            logger.warning("%s is not readable (%s): the stage counts as not published", manifest, error)
            return None
        absent = [file.path for file in publication.files if not self._is_whole(file)]
        if absent:
            logger.warning(
                "stage %s of %s lacks %s: it is computed again", publication.stage, key[:12], absent
            )
            return None
        return publication

    def publications(self) -> Iterator[Publication]:
        for manifest in sorted(self.root.glob("published/*/*.json")):
            publication = self.find(manifest.stem)
            if publication:
                yield publication

    def manifest_texts(self) -> Iterator[tuple[str, str]]:
        for manifest in sorted(self.root.glob("published/*/*.json")):
            try:
                yield manifest.stem, manifest.read_text(encoding="utf-8", errors="replace")
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StoreError(f"{manifest} cannot be read: {error}") from error

    def items(self) -> Iterator[StoredItem]:
        for path in sorted([*self.root.glob("blobs/*/*"), *self.root.glob("published/*/*")]):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            place = path.relative_to(self.root)
            if place.parts[0] == "blobs" and len(path.name) == _DIGEST_LENGTH:
                yield StoredItem(kind="blob", name=path.name, size=status.st_size, used=status.st_mtime)
            elif path.suffix == ".json":
                yield StoredItem(
                    kind="publication", name=path.stem, size=status.st_size, used=status.st_mtime
                )
            else:
                yield StoredItem(kind="leftover", name=str(place), size=status.st_size, used=status.st_mtime)

    def remove(self, item: StoredItem, *, unused_since: float) -> bool:
        places = {"blob": self._blob, "publication": self._manifest, "leftover": self.root.joinpath}
        path = places[item.kind](item.name)
        try:
            if path.stat().st_mtime > unused_since:
                return False
            path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StoreError(f"{path} cannot be removed: {error.strerror}") from error
        return True

    def _renew(self, file: PublishedFile) -> bool:
        """Set the time of use of the blob to now; return False if the blob is missing or incomplete."""
        if not self._is_whole(file):
            return False
        try:
            os.utime(self._blob(file.digest))
        except OSError:  # removed at this moment, or owned by another user: the caller writes it again
            return False
        return True

    def _is_whole(self, file: PublishedFile) -> bool:
        try:
            return self._blob(file.digest).stat().st_size == file.size
        except FileNotFoundError:
            return False

    def _blob(self, digest: str) -> Path:
        return self.root / "blobs" / digest[:2] / digest

    def _manifest(self, key: str) -> Path:
        return self.root / "published" / key[:2] / f"{key}.json"
