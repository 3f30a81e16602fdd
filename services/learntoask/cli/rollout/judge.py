"""Asks people on a page which of two policies answers better, without telling them whose answer is which."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from learntoask.core.errors import InputError
from learntoask.core.pack import Pack
from learntoask.core.status.rollout import JudgedPairs
from learntoask.review.page.access import Role, invited, read_key
from learntoask.review.page.app import ReviewPage
from learntoask.review.page.guideline import wording_of
from learntoask.review.page.server import bind, link_of, serve
from learntoask.review.queue import ReviewQueue
from learntoask.review.settings import ReviewSettings
from learntoask.review.storage.factory import open_queue_storage
from learntoask.serving.rollout.pairs import Pair, estimate, items_of, judged
from learntoask.statistics.prediction_powered import PredictionPoweredMean
from learntoask.store.address import StoreAddress

_VALID_DAYS = 30.0  # of a link


class PairQueue:
    """The questions about the `pairs` of a rollout, which are kept below `folder`."""

    def __init__(self, rollout: str, pairs: dict[str, list[Pair]], *, folder: Path) -> None:
        """Raises InputError if there is nothing to ask."""
        self._rollout, self._pairs, self._folder = rollout, pairs, folder
        self._items = items_of(pairs)
        if not self._items:
            raise InputError(
                f"the files hold no answers of rollout {rollout} that differ; give the pairs-….jsonl of its gateways "
                "(lta gateway --records)"
            )
        storage = open_queue_storage(StoreAddress(uri=str(folder.resolve())), f"rollout-{rollout}")
        settings = ReviewSettings(
            double_share=0.0, decides="Your answers decide whether users get a new policy."
        )
        self._queue = ReviewQueue(storage, name=f"rollout-{rollout}", settings=settings)
        self._queue.add(self._items)

    def ask(self, reviewers: Sequence[str], pack: Pack, *, host: str, port: int) -> None:
        """Serve the page until somebody ends it, and print a link for each reviewer. Raises InputError for a name."""
        people = [
            invited(name, role=Role.REVIEWER, queue=self._queue.name, days=_VALID_DAYS) for name in reviewers
        ]
        key = read_key(self._folder / "reviews" / "links.key", create=True)
        page = ReviewPage(self._queue, wording_of(pack, title=f"rollout {self._rollout}"), key)

        def ready(address: str) -> None:
            for person in people:
                click.echo(f"{person.name}\t{link_of(address, person, key)}")

        serve(page.app(), bind(host, port), ready=ready)

    def judged(self) -> tuple[JudgedPairs, PredictionPoweredMean | None]:
        """Return what people say about the conversations that they judged, and probably about all."""
        found, said = judged(self._rollout, self._items, self._queue.freeze().answers)
        return found, estimate(self._pairs, said)
