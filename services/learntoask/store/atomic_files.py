"""Files that appear under their name only when they are complete."""

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
    """A file to write that becomes `path` at the end; a killed writer leaves `*.partial`, which nobody reads.

    With `only_first` a file that is there already stays. Without `durable` a loss of power may take it: for copies of
    what is elsewhere. Raises FileExistsError for `only_first`, StoreError for a full disk or a refused write.
    """
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}{PARTIAL}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as out:
            yield out
            out.flush()
            if durable:
                os.fsync(out.fileno())
        if not (only_first and _linked(partial, path)):
            partial.replace(path)
    except FileExistsError:
        raise
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


@dataclass(frozen=True)
class Snapshot:
    """A file as it was when its digest was taken; what is stored under that digest must be that."""

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
        """Raises StoreError when the file was written to since."""
        if Snapshot.of(self.path) != self:
            raise StoreError(f"{self.path} was written to while it was being stored; run again")


def _linked(partial: Path, path: Path) -> bool:
    """Whether `partial` got the name `path`, which no other file had: links, unlike renames, never replace."""
    try:
        os.link(partial, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        return False
    return True


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
