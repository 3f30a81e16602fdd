"""The reviews that a run on this machine waits for."""

from __future__ import annotations

from pathlib import Path

from learntoask.core.stages.graph import REVIEW
from learntoask.core.stages.planner import Plan, Review
from learntoask.core.stages.publication import Publication
from learntoask.core.stages.review import review_end, second_person, waiting_message
from learntoask.runner.inputs import Sources
from learntoask.runner.review import RunReview, open_review
from learntoask.runner.run_folder import RunFolder
from learntoask.store.address import StoreAddress
from learntoask.store.protocol import Publications, Store


class LocalReviews:
    """What the planner needs to know of a run's review. `by_key` is what is known so far."""

    def __init__(self, sources: Sources, folder: RunFolder, store: Store) -> None:
        self._sources, self._folder, self._store = sources, folder, store
        self._open: RunReview | None = None
        self.by_key: dict[str, Review] = {}

    def update(self, current: Plan, published: Publications, *, now: float, publish: bool) -> bool:
        """Look at the review that `current` waits for, if any, and `publish` its answers once it has ended.

        Return whether another plan may follow. Raises StoreError.
        """
        review = self.review_of(current, published)
        if review is None:
            return False
        status = review.queue.status()
        step = review.step(status, now=now)
        if step == "publish" and publish:
            review.publish(status, now=now)
            return True
        end = review_end(review.settings, drawn=review.drawn.finished)
        known = Review(
            message=waiting_message(
                missing=status.missing,
                needed=status.needed,
                remaining_seconds=status.minutes_left * 60,
                where=f"lta review {self._folder.name}",
                note=second_person(status.by_another),
            ),
            failed=step == "fail",
            wake_at=end if end is not None and now < end else None,
        )
        changed = self.by_key.get(review.key) != known
        self.by_key = {review.key: known}
        return changed

    def review_of(self, current: Plan, published: Publications) -> RunReview | None:
        """Return the review that `current` waits for, opened once."""
        waiting = next((status for status in current.stages if status.state == "Reviewing"), None)
        settings = self._sources.spec.calibrate
        if waiting is None or waiting.key is None or settings is None:
            return None
        if self._open is None or self._open.key != waiting.key:
            drawn = next(status.key for status in current.stages if status.name == "draw")
            self._open = review_in(
                self._folder, self._store, self._sources, key=waiting.key, drawn=published[drawn or ""]
            )
        return self._open


def review_in(
    folder: RunFolder,
    store: Store,
    sources: Sources,
    *,
    key: str,
    drawn: Publication,
    at: Path | None = None,
) -> RunReview:
    """Open the review of a run on this machine. Its answers lie in the folder `at`, by default that of the run."""
    settings = sources.spec.calibrate
    assert settings is not None, f"a run with the stage {REVIEW} has spec.calibrate"
    return open_review(
        name=folder.name,
        at=StoreAddress(uri=str((at or folder.path).resolve())),
        settings=settings,
        key=key,
        drawn=drawn,
        store=store,
        folder=folder.inputs(drawn.output),
    )
