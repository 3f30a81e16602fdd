"""Files that are written atomically, so that readers only find complete ones."""

from __future__ import annotations

import errno
import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from learntoask.core.errors import StoreError

PARTIAL = ".partial"


@contextmanager
def atomic_write(path: Path, *, only_first: bool = False, durable: bool = True) -> Iterator[BinaryIO]:
    """Open a temporary file for writing and rename it to `path` at the end of the `with` block.

    A killed writer leaves a file `*.partial`, which no reader opens. With `only_first` an existing file is not
    replaced, and FileExistsError is raised. Without `durable` the file is not flushed to disk, so that a power failure
    may lose it; this suits copies. Raises StoreError if the disk is full or the write is refused.
    """
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}{PARTIAL}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as out:
            yield out
            out.flush()
            if durable:
                os.fsync(out.fileno())
        if not (only_first and _link(partial, path)):
            partial.replace(path)
    except FileExistsError:
        raise
    except OSError as error:
        raise _store_error(error, path) from error
    finally:
        partial.unlink(missing_ok=True)


def file_digest(path: Path) -> str:
    """Return the SHA-256 (64 hex digits) of a file's content. Raises StoreError if the file cannot be read."""
    try:
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error}") from error


@dataclass(frozen=True)
class Snapshot:
    """Size and modification time of a file when its digest was computed.

    They show whether the file changed before its content was stored under that digest.
    """

    path: Path
    size: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> Snapshot:
        try:
            status = path.stat()
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error}") from error
        return cls(path, status.st_size, status.st_mtime_ns)

    def verify(self) -> None:
        """Raises StoreError if the file was changed since."""
        if Snapshot.of(self.path) != self:
            raise StoreError(f"{self.path} was written to while it was being stored; run again")


def _link(partial: Path, path: Path) -> bool:
    """Link `partial` to `path` and return whether that worked. A link, unlike a rename, never replaces a file.

    Raises FileExistsError if `path` exists.
    """
    try:
        os.link(partial, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        return False
    return True


def _store_error(error: OSError, path: Path) -> StoreError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(
            f"the disk is full: {path} could not be written. Free some space and run again", reason="DiskFull"
        )
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return StoreError(
            f"{path} may not be written ({error.strerror}). Check the owner of the store, or set LTA_STORE"
        )
    return StoreError(f"{path} could not be written: {error}")
