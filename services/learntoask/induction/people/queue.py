"""The review queue of a suggestion. It lies in the folder of the pack, so that a later suggestion finds the answers."""

from __future__ import annotations

from pathlib import Path

from learntoask.calibration.answers import collect
from learntoask.induction.people.said import NOTHING_SAID, Said
from learntoask.review.queue import ReviewQueue
from learntoask.review.settings import ReviewSettings
from learntoask.review.storage.folder import FolderStorage

FOLDER = "review"
_DECIDES = (
    "The pack is made from your answers. Further questions may follow from them, so look again; if none do, the "
    "terminal goes on by itself."
)


def open_queue(folder: Path) -> ReviewQueue:
    """Return the queue beside the pack in `folder`. Each card is asked once. Raises StoreError."""
    settings = ReviewSettings(double_share=0.0, repeat_every=0, known_every=0, gate_items=0, decides=_DECIDES)
    return ReviewQueue(FolderStorage(folder / FOLDER), name="lta init", settings=settings)


def said_in(folder: Path) -> Said:
    """Return what people said beside the pack in `folder`. Raises StoreError if it cannot be read."""
    if not (folder / FOLDER).is_dir():
        return NOTHING_SAID
    queue = open_queue(folder)
    items = [item for _, item, _, _ in queue.responses()]
    return Said.of(collect(items, queue.freeze().answers).answered)
