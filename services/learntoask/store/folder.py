"""A store in a folder.

    blobs/ab/ab12…        content, named by its SHA-256, read only
    published/ab/ab34….json   publications, named by stage key

Every file is written beside its place, flushed to disk and renamed, so a killed writer leaves nothing that readers
take for whole; what it left (`*.partial`) is not read by anyone and is removed with the next collection.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from learntoask.core.errors import StoreError
from learntoask.core.publication import Publication, PublishedFile

logger = logging.getLogger(__name__)
_CHUNK = 1 << 20


class FolderStore:
    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, source: Path, *, path: str) -> PublishedFile:
        digest = file_digest(source)
        blob = self._blob(digest)
        if not blob.exists():
            with source.open("rb") as content, self._writing(blob) as out:
                shutil.copyfileobj(content, out, _CHUNK)
            blob.chmod(0o444)
        return PublishedFile(path=path, digest=digest, size=blob.stat().st_size)

    def fetch(self, file: PublishedFile, target: Path) -> None:
        blob = self._blob(file.digest)
        if not blob.exists():
            raise StoreError(
                f"{self.root}: the content of {file.path} ({file.digest[:12]}) is missing; run again"
            )
        if file_digest(blob) != file.digest:
            blob.rename(
                blob.with_name(f"{blob.name}.corrupt")
            )  # kept for a look; the stage that made it runs again
            raise StoreError(
                f"{self.root}: the content of {file.path} is corrupt (digest is not {file.digest[:12]}); it was set "
                "aside as *.corrupt. Run again: the stage that makes it is repeated"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            os.link(blob, target)
        except OSError:  # another file system, or one without links
            shutil.copyfile(blob, target)
            target.chmod(0o444)

    def publish(self, publication: Publication) -> None:
        text = publication.model_dump_json(indent=1)
        with self._writing(self._manifest(publication.key)) as out:
            out.write(text.encode())

    def find(self, key: str) -> Publication | None:
        manifest = self._manifest(key)
        try:
            publication = Publication.model_validate_json(manifest.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            logger.warning("%s is not readable (%s): the stage counts as not published", manifest, error)
            return None
        absent = [file.path for file in publication.files if not self._whole(file)]
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

    def _whole(self, file: PublishedFile) -> bool:
        try:
            return self._blob(file.digest).stat().st_size == file.size
        except FileNotFoundError:
            return False

    def _blob(self, digest: str) -> Path:
        return self.root / "blobs" / digest[:2] / digest

    def _manifest(self, key: str) -> Path:
        return self.root / "published" / key[:2] / f"{key}.json"

    @contextmanager
    def _writing(self, path: Path) -> Iterator[BinaryIO]:
        """A file that appears under its name only when it is complete and on disk."""
        partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as out:
                yield out
                out.flush()
                os.fsync(out.fileno())
            partial.replace(path)
        except OSError as error:
            raise _explained(error, path) from error
        finally:
            partial.unlink(missing_ok=True)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content. Raises StoreError when it cannot be read."""
    try:
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error}") from error


def _explained(error: OSError, path: Path) -> StoreError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(
            f"the disk is full: {path} could not be written. Free some space and run again", reason="DiskFull"
        )
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return StoreError(
            f"{path} may not be written ({error.strerror}). Check the owner of the store, or set LTA_STORE"
        )
    return StoreError(f"{path} could not be written: {error}")
