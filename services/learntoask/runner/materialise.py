"""Bring the files of a publication to a folder."""

from __future__ import annotations

from pathlib import Path

from learntoask.core.stages.publication import Publication, PublishedFile
from learntoask.store.protocol import Store


def materialise(store: Store, publication: Publication, target: Path) -> Path:
    """Fetch every file of `publication` to the folder `target`, unless that was done before, and return the folder.

    Sizes are checked even then, because a loss of power may have truncated files.
    """
    complete = target / ".complete"
    if not complete.exists() or not all(_is_whole(target / file.path, file) for file in publication.files):
        for file in publication.files:
            store.fetch(file, target / file.path)
        target.mkdir(parents=True, exist_ok=True)
        complete.touch()
    return target


def _is_whole(path: Path, file: PublishedFile) -> bool:
    try:
        return path.stat().st_size == file.size
    except FileNotFoundError:
        return False
