"""Which policy decides: a digest of the files of its model folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

from learntoask.core.digest import digest_of
from learntoask.core.errors import InputError


def model_revision(folder: Path) -> str:
    """SHA-256 (64 hex digits) over names and contents of the folder's files, wherever the folder lies."""
    try:
        return digest_of(
            {
                path.relative_to(folder).as_posix(): _file_digest(path)
                for path in folder.rglob("*")
                if path.is_file()
            }
        )
    except OSError as error:
        raise InputError(f"model folder {folder} cannot be read: {error}") from error


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
