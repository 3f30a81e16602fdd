"""Where the page of a review runs on this machine: a file with its address, locked while the page is served."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def recorded(path: Path, address: str) -> Iterator[None]:
    """Record the address of a page until the block ends. If another page is recorded, that record stays.

    The lock ends with the process, however that ends, so a record is never believed longer than it is true.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        if not _lock(file.fileno()):
            yield
            return
        file.truncate(0)
        file.write(f"{address}\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def running_address(path: Path) -> str | None:
    """Return the address of the page that is recorded in `path` and still served, or None."""
    try:
        with path.open() as file:
            return None if _lock(file.fileno()) else file.read().strip() or None
    except OSError:
        return None


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
