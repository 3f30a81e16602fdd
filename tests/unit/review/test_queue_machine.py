"""Two servers on one folder, killed at every write: what was acknowledged is there once, and all servers agree."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis.stateful import initialize
from learntoask.review.storage.folder import FolderStorage
from worlds.review_machine import Killed, ReviewMachine


class KillableFolder(FolderStorage):
    """A folder whose writer may be killed before, within and after the next write."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.kill: str | None = None

    def _write(self, descriptor: int, line: bytes) -> None:
        if self.kill == "within":
            super()._write(descriptor, line[: len(line) // 2])
        if self.kill == "after":
            super()._write(descriptor, line)
        if self.kill:
            raise Killed
        super()._write(descriptor, line)

    def _replace(self, name, known, records) -> None:
        if self.kill == "after":
            super()._replace(name, known, records)
        if self.kill:
            raise Killed
        super()._replace(name, known, records)


class FolderMachine(ReviewMachine):
    def new_storage(self) -> KillableFolder:
        return KillableFolder(self.folder)

    @initialize()
    def start(self) -> None:
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name)
        self.begin()

    def teardown(self) -> None:
        self.temporary.cleanup()


TestFolderMachine = FolderMachine.TestCase
TestFolderMachine.settings = settings(max_examples=60, stateful_step_count=30)
