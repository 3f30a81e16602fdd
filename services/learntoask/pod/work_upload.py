"""Checkpoints and journals of the work folder, copied to the store while the stage runs.

A pod's disk ends with the pod. After a kill the next pod finds in the store what a laptop would find in its work
folder, except for what was written since the last copy.
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
_REPLACED = ("*.pt",)  # written by rename: a hard link keeps the content it had
_APPENDED = ("*.jsonl", "tensorboard/*")  # grow in place: they have to be copied
_REST = 9.0  # pause after a copy, in times of its duration: copying takes at most a tenth of the time

FileStates = Mapping[str, tuple[int, int, int]]
"""Path below the work folder → inode, size in bytes, time of the last change in nanoseconds."""


class WorkUploader:
    """Copies the folder `work` to `checkpoints` every `interval` seconds while the context is open.

    After the stage has ended, `upload_last` copies what it left, and `stop` only waits for a copy in progress.
    """

    def __init__(self, checkpoints: Checkpoints, work: Path, *, interval: float) -> None:
        self._checkpoints, self._work, self._interval = checkpoints, work, interval
        self._copy = work.with_name(f"{work.name}.kept")
        self._uploaded: FileStates = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._upload_repeatedly, name="work upload", daemon=True)

    def __enter__(self) -> Self:
        self._uploaded = file_states(self._work)  # these files came from the store
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended.set()

    def stop(self) -> None:
        """Start no more copies, and wait for one in progress."""
        self._ended.set()
        self._thread.join()

    def upload_last(self) -> None:
        """Copy what the ended stage left."""
        self.stop()
        self._upload()

    def _upload_repeatedly(self) -> None:
        pause = self._interval
        while not self._ended.wait(pause):
            began = time.monotonic()
            self._upload()
            pause = max(self._interval, _REST * (time.monotonic() - began))

    def _upload(self) -> None:
        try:
            states, files = snapshot(self._work, self._copy)
            if files and states != self._uploaded:
                self._checkpoints.save(files)
                self._uploaded = states
        except (StoreError, OSError) as error:  # the stage goes on; the next copy may succeed
            logger.warning("the checkpoint could not be copied to the store: %s", error)
        finally:
            shutil.rmtree(self._copy, ignore_errors=True)


def file_states(work: Path) -> FileStates:
    """The present state of all files of `work` that a later attempt needs."""
    found = {}
    for pattern in (*_REPLACED, *_APPENDED):
        for path in work.glob(pattern):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            if path.is_file():
                found[str(path.relative_to(work))] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found


def snapshot(work: Path, target: Path) -> tuple[FileStates, dict[str, Path]]:
    """Copy the files of `work` to `target` as they were together at one moment, so that a checkpoint never comes with
    the best weights of an earlier one. Return their states and the copy of each. Raises OSError."""
    while True:
        shutil.rmtree(target, ignore_errors=True)
        before = file_states(work)
        files = {}
        for name in before:
            copy = target / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            try:
                if _is_replaced(name):
                    os.link(work / name, copy)
                else:
                    shutil.copyfile(work / name, copy)
            except FileNotFoundError:
                break
            files[name] = copy
        after = file_states(work)
        replaced = [name for name in {**before, **after} if _is_replaced(name)]
        if len(files) == len(before) and all(before.get(name) == after.get(name) for name in replaced):
            return before, files


def _is_replaced(name: str) -> bool:
    return any(Path(name).match(pattern) for pattern in _REPLACED)
