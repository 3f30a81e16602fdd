"""A lock on a stage's key, so that runs of one home folder compute an output once, and not at the same time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO, Self

from learntoask.core.digest import digest_of


class StageLock:
    """Held from `acquire` to `release`. The system releases the lock of a process that was killed."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path, self._file = path, file

    @classmethod
    def acquire(cls, home: Path, *, key: str, store: str) -> Self | None:
        """Take the lock on computing `key` for the store at the address `store`; None if another run holds it."""
        folder = home / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / digest_of({"key": key, "store": store})[:32]
        while True:
            file = path.open("ab")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                return None
            if _is_at(path, file):
                return cls(path, file)
            file.close()  # its owner removed it while this process opened it

    def release(self) -> None:
        self._path.unlink(missing_ok=True)
        self._file.close()


def _is_at(path: Path, file: IO[bytes]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
