"""Digests of values and of folders: equal content, equal digest.

`folder_digest` identifies a model folder in a run's inputs, in evaluation reports and in served answers.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pydantic import JsonValue


def digest_of(value: JsonValue) -> str:
    """Return the SHA-256 (64 hex digits) of `value` as canonical JSON: the order of keys does not matter."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode("utf-8", errors="surrogatepass")).hexdigest()


def folder_digest(folder: Path) -> str:
    """Return the SHA-256 (64 hex digits) of relative paths and contents of all files below `folder`.

    The value is `digest_of` a mapping from each relative path to the SHA-256 of its content, as in
    `Publication.output`, so a copy of the folder has the same digest. Raises OSError for an unreadable file.
    """
    files = (path for path in folder.rglob("*") if path.is_file())
    return digest_of({path.relative_to(folder).as_posix(): _content_digest(path) for path in files})


def _content_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
