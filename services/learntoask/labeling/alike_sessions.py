"""Large clusters of near-duplicate sessions. `lta data check` warns of them, since each is on one side of the split."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from learntoask.core.records import Session
from learntoask.labeling.logs.duplicates import SignatureFile, clusters, signature
from learntoask.labeling.logs.reader import LogReader
from learntoask.labeling.logs.shared_text import LARGE, without_shared_text

LARGE_SHARE = 0.05  # of all sessions; a larger cluster is warned of
_LISTED = 3  # clusters that are warned of one by one


class AlikeSessions:
    """Collects the sessions of a log and finds clusters as the stage prepare does. A context manager."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._folder = TemporaryDirectory(prefix="lta-check-")
        self._signatures = SignatureFile(Path(self._folder.name) / "signatures.bin")
        self._lines: list[int] = []

    def __enter__(self) -> AlikeSessions:
        return self

    def __exit__(self, *_: object) -> None:
        self._signatures.__exit__()
        self._folder.cleanup()

    def add(self, session: Session, line: int) -> None:
        """Add the session of line `line`."""
        self._signatures.append(signature(message.content for message in session.messages))
        self._lines.append(line)

    def warnings(self, reader: LogReader, path: Path) -> Iterator[str]:
        """Yield a warning for each of the largest clusters. Reads the file again if there may be large ones."""
        grouping = without_shared_text(
            clusters(self._signatures, threshold=self._threshold),
            lambda wanted: self._read_again(reader, path, wanted),
            threshold=self._threshold,
            signatures=Path(self._folder.name) / "rest.bin",
        )
        roots, sizes = np.unique(grouping.groups, return_counts=True)
        for cluster in np.argsort(-sizes, kind="stable")[:_LISTED].tolist():
            size, root = int(sizes[cluster]), int(roots[cluster])
            if size <= LARGE or size <= LARGE_SHARE * len(self._lines):
                break
            shared = f"; they share {grouping.shared[root]!r}" if grouping.shared.get(root) else ""
            yield (
                f"{size} of {len(self._lines)} sessions are nearly the same as that of line {self._lines[root]}{shared}"
                ". They are on one side of the split: leave copies out of the export, or raise dataset.nearDuplicate"
            )

    def _read_again(
        self, reader: LogReader, path: Path, wanted: NDArray[np.bool_]
    ) -> Iterator[tuple[int, list[str]]]:
        index_of = {self._lines[index]: index for index in np.flatnonzero(wanted).tolist()}
        for entry in reader.read(path):
            index = index_of.get(entry.line.number)
            if index is not None and entry.session is not None:
                yield index, [message.content for message in entry.session.messages]
