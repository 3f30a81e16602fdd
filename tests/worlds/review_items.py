"""Items of a review with a known truth, and simulated reviewers."""

from __future__ import annotations

import random
from collections.abc import Callable

from learntoask.core.records import Message
from learntoask.review.queue import ReviewQueue
from learntoask.review.records import Answer, Choice, Origin, ReviewItem, Vote
from learntoask.review.settings import ReviewSettings
from learntoask.review.storage.protocol import QueueStorage

YES_NO = (Choice(key="yes", text="yes"), Choice(key="no", text="no"))
FIELDS = tuple(Choice(key=key, text=key) for key in ("age", "duration", "allergies"))


def item(number: int, **fields: object) -> ReviewItem:
    """Return an item that differs from those with other numbers."""
    message = Message(role="assistant", content=f"How long has it lasted, number {number}?", author="expert")
    return ReviewItem.model_validate(
        {
            "kind": "still_needed",
            "task": "remedy",
            "question": "Is the duration still to be asked?",
            "messages": (message,),
            "start": 0,
            "end": 1,
            "choices": YES_NO,
            "origin": Origin(run="r", stage="label", output="0" * 64, session_id=str(number), turn=0),
            "stratum": "all",
            "inclusion": 1.0,
            "split": "search",
            "why": "audit",
        }
        | fields
    )


def votes(*answers: str) -> tuple[Vote, ...]:
    return tuple(Vote(judge=f"judge {n}", answer=(answer,)) for n, answer in enumerate(answers))


class Truth:
    """Items and their right answers. Half of the items were drawn because the judges disagree."""

    def __init__(
        self, count: int, *, known: int = 0, seed: int = 0, judge_errors: float = 0.15, anchors: float = 0.5
    ) -> None:
        draw = random.Random(seed)
        self.items: list[ReviewItem] = []
        self.right: dict[str, Answer] = {}
        while len(self.items) < count + known:
            number = len(self.items)
            right = draw.choice(("yes", "no"))
            wrong = "no" if right == "yes" else "yes"
            answers = [wrong if draw.random() < judge_errors else right for _ in range(3)]
            disputed = number < count and number % 2 == 0
            if disputed and len(set(answers)) == 1:
                continue
            made = item(
                number + 1_000_000 * seed,
                votes=votes(*answers),
                why="known" if number >= count else "disagreement" if disputed else "audit",
                expected=(right,) if number >= count else None,
                split="anchor" if draw.random() < anchors else "search",
            )
            self.items.append(made)
            self.right[made.digest] = (right,)

    def answer(self, queue: ReviewQueue, digest: str) -> Answer:
        """Return the right answer to an item, which may be a repeat."""
        found = queue.item(digest)
        assert found is not None
        return self.right[found.repeats or digest]


def open_queue(
    storage: QueueStorage, *, clock: Callable[[], float] = lambda: 1_800_000_000.0, **settings: object
) -> ReviewQueue:
    return ReviewQueue(storage, name="clinic", settings=ReviewSettings.model_validate(settings), clock=clock)


class Clock:
    """A clock that a test sets; seconds since the epoch."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now
