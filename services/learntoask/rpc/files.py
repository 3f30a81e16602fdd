"""Files that others replace while a process runs, such as certificates that the kubelet mounts."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from learntoask.core.errors import InputError

Versions = tuple[tuple[int, int, int], ...]


def read_file(path: Path, name: str) -> bytes:
    """Return the content of the file that the setting `name` names. Raises InputError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{name}: {path} cannot be read: {error}") from error


def file_versions(paths: Iterable[Path | None]) -> Versions:
    """Return what tells versions of the files apart; nothing for a file that is missing."""
    seen = []
    for path in paths:
        with suppress(OSError):
            if path is not None:
                found = path.stat()
                seen.append((found.st_mtime_ns, found.st_ino, found.st_size))
    return tuple(seen)
