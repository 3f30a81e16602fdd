"""The review of a run: its queue, when it ends, and the publication of its answers. Used by `local` and `pod`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from learntoask.core.json_lines import read_records, write_records
from learntoask.core.manifest import Calibrate
from learntoask.core.stages.graph import REVIEW
from learntoask.core.stages.publication import Publication
from learntoask.core.stages.review import ReviewStep, next_step
from learntoask.core.stages.warnings_file import publish_warnings
from learntoask.review.progress import QueueStatus
from learntoask.review.queue import ReviewQueue
from learntoask.review.records import (
    ANSWERS_FILE,
    CARRIED_FILE,
    EARLIER_FILE,
    ITEMS_FILE,
    RESERVE,
    ReviewItem,
)
from learntoask.review.settings import ReviewSettings
from learntoask.review.storage.factory import open_queue_storage
from learntoask.runner.materialise import materialise
from learntoask.store.address import StoreAddress
from learntoask.store.protocol import Store


@dataclass(frozen=True, kw_only=True)
class RunReview:
    """The review of a run. Its answers are published under `key`; `drawn` is the publication of its items."""

    queue: ReviewQueue
    items: Sequence[ReviewItem]
    settings: Calibrate
    key: str
    drawn: Publication
    store: Store

    def step(self, status: QueueStatus, *, now: float) -> ReviewStep:
        """Decide whether the review goes on."""
        return next_step(self.settings, drawn=self.drawn.finished, missing=status.missing, now=now)

    def publish(self, status: QueueStatus, *, now: float) -> Publication:
        """Publish the answers that stand. If another process was faster, its answers stay. Raises StoreError."""
        frozen = self.queue.freeze()
        earlier = self.queue.keep_freeze(frozen)
        warnings = [*status.notices, *_warnings(status)]
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / ANSWERS_FILE).write_bytes(frozen.content)
            if earlier:
                write_records(Path(folder) / EARLIER_FILE, earlier)
            carried = self.queue.carried()
            if carried:
                write_records(Path(folder) / CARRIED_FILE, carried)
            publish_warnings(Path(folder), warnings)
            files = tuple(self.store.put(path, path=path.name) for path in sorted(Path(folder).iterdir()))
        people = sorted({answer.reviewer for answer in frozen.answers})
        summary: dict[str, JsonValue] = {
            "answers": len(frozen.answers),
            "missing": status.missing,
            "reviewers": len(people),
            "cannot_say": status.cannot_say,
            "warnings": [*warnings],
        }
        return self.store.publish(
            Publication(
                stage=REVIEW,
                key=self.key,
                files=files,
                summary=summary,
                inputs={"draw": self.drawn.output},
                started=self.drawn.finished,
                finished=now,
            )
        )


def open_review(
    *,
    name: str,
    at: StoreAddress,
    settings: Calibrate,
    key: str,
    drawn: Publication,
    store: Store,
    folder: Path,
) -> RunReview:
    """Open the queue `name` at the address `at` with the items that were drawn, which are fetched to `folder`.

    A queue belongs to a run, so the answers to items that are drawn again count again. Raises StoreError.
    """
    path = materialise(store, drawn, folder) / ITEMS_FILE
    # The reserve is drawn so that a larger budget asks more of the same questions.
    items = [item for item in read_records(path, ReviewItem) if not item.stratum.startswith(RESERVE)]
    queue = ReviewQueue(
        open_queue_storage(at, name),
        name=name,
        settings=ReviewSettings(
            double_share=settings.overlap_share,
            gate_items=0,  # the gate counts fields of questions, which the stage calibrate does
            decides="The answers decide whether labels and graders may be trusted, and correct labels.",
        ),
        only={item.digest for item in items},
    )
    queue.add(items)
    return RunReview(queue=queue, items=items, settings=settings, key=key, drawn=drawn, store=store)


def _warnings(status: QueueStatus) -> list[str]:
    """Return what a reader of the report should know about the reviewers and about missing answers."""
    found = [f"{reviewer.name}: {flag.message}" for reviewer in status.reviewers for flag in reviewer.flags]
    if status.missing:
        found.append(f"the review ended with {status.missing} of {status.needed} answers missing")
    return found
