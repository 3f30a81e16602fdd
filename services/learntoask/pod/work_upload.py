"""Checkpoints and journals of the work folder, copied to the store while the stage works on.

A pod's disk ends with the pod. Whatever a killed stage would find in its work folder on a laptop, the next pod finds
there too, but for what was made since the last copy.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from learntoask.core.errors import StoreError
from learntoask.store.unfinished import Checkpoints

logger = logging.getLogger(__name__)
# Replaced as a whole, so that a second name for the file keeps its content; journals grow, and are copied.
_WHOLE = ("*.pt",)
_GROWING = ("*.jsonl", "tensorboard/*")
_REST = 9.0  # times as long as a copy took until the next: a tenth of the time at most

Seen = Mapping[str, tuple[int, int, int]]
"""Path below the work folder → inode, size and time of change."""


class WorkKeeper:
    """Copy the folder `work` while the context is open; `last` once more when the stage has ended."""

    def __init__(self, checkpoints: Checkpoints, work: Path, *, interval: float) -> None:
        self._checkpoints, self._work, self._interval = checkpoints, work, interval
        self._copy = work.with_name(f"{work.name}.kept")
        self._kept: Seen = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="keeping", daemon=True)

    def __enter__(self) -> Self:
        self._kept = look(self._work)  # brought from the store
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()

    def stop(self) -> None:
        """Copy nothing more; a copy under way is waited for."""
        self._over.set()
        self._thread.join()

    def last(self) -> None:
        """Copy what the ended stage left."""
        self.stop()
        self._once()

    def _keep(self) -> None:
        pause = self._interval
        while not self._over.wait(pause):
            began = time.monotonic()
            self._once()
            pause = max(self._interval, _REST * (time.monotonic() - began))

    def _once(self) -> None:
        try:
            seen, files = snapshot(self._work, self._copy)
            if files and seen != self._kept:
                self._checkpoints.keep(files)
                self._kept = seen
        except (StoreError, OSError) as error:  # the stage goes on; the next copy may succeed
            logger.warning("the checkpoint could not be copied to the store: %s", error)
        finally:
            shutil.rmtree(self._copy, ignore_errors=True)


def look(work: Path) -> Seen:
    """What of `work` is worth keeping, as it is now."""
    found = {}
    for pattern in (*_WHOLE, *_GROWING):
        for path in work.glob(pattern):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            if path.is_file():
                found[str(path.relative_to(work))] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found


def snapshot(work: Path, target: Path) -> tuple[Seen, dict[str, Path]]:
    """The files of `work` as they were together at one moment, in `target`: a checkpoint must not come with the best
    weights of an earlier one. Raises OSError."""
    while True:
        shutil.rmtree(target, ignore_errors=True)
        before = look(work)
        files = {}
        for name in before:
            copy = target / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            try:
                if any((work / name).match(pattern) for pattern in _WHOLE):
                    os.link(work / name, copy)
                else:
                    shutil.copyfile(work / name, copy)
            except FileNotFoundError:
                break
            files[name] = copy
        after = look(work)
        whole = [name for name in {**before, **after} if not _grows(name)]
        if len(files) == len(before) and all(before.get(name) == after.get(name) for name in whole):
            return before, files


def _grows(name: str) -> bool:
    return not any(Path(name).match(pattern) for pattern in _WHOLE)
