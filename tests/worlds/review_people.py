"""Simulated reviewers of items with a known truth, and when they are flagged if somebody looks after every answer."""

from __future__ import annotations

import random
from collections.abc import Callable

from learntoask.review.choice_order import ordered_choices
from learntoask.review.flags import reviewer_flags
from learntoask.review.next_item import next_item
from learntoask.review.records import Answer, Event, ReviewItem
from learntoask.review.settings import ReviewSettings
from learntoask.review.state import QueueState
from learntoask.review.votes import machine_answer

from worlds.review_items import Truth

Person = Callable[[ReviewItem, Answer, random.Random], tuple[Answer, Answer]]
"""From an item and its right answer to the answers before and after the votes are shown."""
_PERSUADED = 0.2  # of the differences in which a careful reviewer takes over the machine's answer
_SECONDS = 8.0


def copies(item: ReviewItem, right: Answer, draw: random.Random) -> tuple[Answer, Answer]:
    """Answer what most judges say, before it is shown."""
    answer = machine_answer(item.votes) or right
    return answer, answer


def yields(item: ReviewItem, right: Answer, draw: random.Random) -> tuple[Answer, Answer]:
    """Answer with 10 % errors, and take over the machine's answer as soon as it is shown."""
    return _with_errors(item, right, 0.1, draw), machine_answer(item.votes) or right


def careful(errors: float) -> Person:
    """Return a reviewer with the error rate `errors`, who takes over a fifth of what the machine says else."""

    def answer(item: ReviewItem, right: Answer, draw: random.Random) -> tuple[Answer, Answer]:
        before, machine = _with_errors(item, right, errors, draw), machine_answer(item.votes) or right
        return before, machine if before != machine and draw.random() < _PERSUADED else before

    return answer


def presses_first(name: str) -> Person:
    """Return a reviewer who always presses 1."""

    def answer(item: ReviewItem, right: Answer, draw: random.Random) -> tuple[Answer, Answer]:
        first = (ordered_choices(item, name)[0].key,)
        return first, first

    return answer


def _with_errors(item: ReviewItem, right: Answer, errors: float, draw: random.Random) -> Answer:
    if draw.random() >= errors:
        return right
    return next((choice.key,) for choice in item.choices if choice.key not in right)


def first_flag(
    truth: Truth,
    person: Person,
    *,
    questions: int,
    name: str = "ann",
    seed: int = 0,
    seconds: float = _SECONDS,
    others: tuple[tuple[str, Person], ...] = (),
) -> tuple[int, str] | None:
    """Return after how many questions a reviewer is flagged and for what, or None. `others` answered all before."""
    state, draw = QueueState(ReviewSettings(overlap=1 + len(others))), random.Random(seed)
    state.add(truth.items)
    for other, judges in others:
        for item in truth.items:
            _answer(state, item.digest, other, judges(item, truth.right[item.digest], draw), 0.0, seconds)
    for number in range(1, questions + 1):
        now = 60.0 * number
        found = next_item(state, name, now=now)
        assert found is not None, "the queue is too short for the simulation"
        right = truth.right[found.item.repeats or found.digest]
        _answer(state, found.digest, name, person(found.item, right, draw), now, seconds)
        if flags := reviewer_flags(state, name):
            return number, flags[0].kind
    return None


def _answer(
    state: QueueState, digest: str, name: str, answers: tuple[Answer, Answer], now: float, seconds: float
) -> None:
    before, after = answers
    for n, answer in enumerate([before] if before == after else [before, after]):
        state.apply(
            Event(
                item=digest,
                reviewer=name,
                n=n,
                kind="answered",
                time=now,
                seconds=seconds,
                answer=answer,
                revealed=n > 0,
            )
        )
