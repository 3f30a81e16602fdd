"""Agreement between people, and of a person with herself. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from learntoask.core.records import Record
from learntoask.review.records import CANNOT_SAY, Answer, ReviewItem
from learntoask.review.state import QueueState
from learntoask.statistics.kappa import kappa

Pair = tuple[ReviewItem, Answer, Answer]


class Agreement(Record):
    """Cohen's κ of `items` items that two answers were given to (None without items), and how many answers are
    equal."""

    items: int
    same: int
    kappa: float | None


def agreement(pairs: Iterable[Pair]) -> Agreement:
    """Return the agreement of pairs of answers.

    κ is computed for each kind of item, and the mean is weighted by items. Where several choices are allowed, it is
    about (item, choice) pairs, which are chosen or not, as the graders' is about (question, field) pairs.
    """
    found = list(pairs)
    kinds = sorted({item.kind for item, _, _ in found})
    by_kind = [[pair for pair in found if pair[0].kind == kind] for kind in kinds]
    return Agreement(
        items=len(found),
        same=sum(1 for _, first, second in found if first == second),
        kappa=sum(len(of_kind) * _kappa(_labels(of_kind)) for of_kind in by_kind) / len(found)
        if found
        else None,
    )


def between_people(state: QueueState) -> Agreement:
    """Return the agreement of different people on the items that several answered blind; surplus answers count."""
    pairs: list[Pair] = []
    for digest in state.answered_twice:
        if not state.required(digest):  # retired, known or repeated
            continue
        answers = [
            response.answer if response.blind is None else response.blind
            for _, response in sorted(state.responses(digest).items())
            if response.answer is not None and not response.adjudicated
        ]
        pairs += [
            (state.items[digest], first, second)
            for place, first in enumerate(answers)
            for second in answers[place + 1 :]
            if first is not None and second is not None
        ]
    return agreement(pairs)


def _labels(pairs: Sequence[Pair]) -> list[tuple[str, str]]:
    labels = []
    for item, first, second in pairs:
        if item.several and CANNOT_SAY not in (first, second):
            labels += [(str(choice.key in first), str(choice.key in second)) for choice in item.choices]
        else:
            labels.append((" ".join(first), " ".join(second)))
    return labels


def _kappa(labels: Sequence[tuple[str, str]]) -> float:
    index = {label: place for place, label in enumerate(sorted({each for pair in labels for each in pair}))}
    table = np.zeros((len(index), len(index)))
    for first, second in labels:
        # People are interchangeable, so that each pair counts in both orders.
        table[index[first], index[second]] += 0.5
        table[index[second], index[first]] += 0.5
    return float(kappa(table))
