"""Merge wordings of questions that ask for the same field, the most similar pair first.

Three signs are weighed:

- their texts mean the same: the cosine of their mean vectors;
- users answer them in the same way: the cosine of the mean vectors of the replies, which counts the more the more
  replies there are;
- an expert does not ask for a field twice in a session once it is answered: the share of the sessions with one wording,
  answered, in which the other one is asked and answered too, counts against them (cannot-link).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

REPLY_WEIGHT = 1.0
ENOUGH_REPLIES = 4  # replies at which they count half
TWICE_WEIGHT = 1.0
TWICE_AT_MOST = 0.12  # share of the sessions, from which two wordings are never merged
FEWEST_TWICE = 3  # such sessions
_DOUBTFUL = 0.2  # distance of a score from the threshold up to which a person could say otherwise
_NEVER = -np.inf

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Merge:
    """Two wordings, by row, whose groups were merged; `margin` is what spoke for it, above 0."""

    first: int
    second: int
    margin: float

    @property
    def is_doubtful(self) -> bool:
        """Whether a person could say otherwise."""
        return self.margin <= _DOUBTFUL


@dataclass
class Wordings:
    """Sums over the questions of each wording; merging adds them to the first one."""

    texts: Matrix  # [wordings, dimension]
    replies: Matrix  # [wordings, dimension]
    reply_counts: Matrix  # [wordings]
    asked: NDArray[np.float32]  # [wordings, sessions]: 1 where it was asked and answered
    alive: NDArray[np.bool_]  # [wordings]

    def merge_all(self, *, merge_from: float, like_replies: float) -> list[Merge]:
        """Merge what scores `merge_from` or more. Return the merges in order."""
        merges: list[Merge] = []
        if not len(self.alive):
            return merges
        scores = self.scores(like_replies)
        best = scores.argmax(axis=1)
        while True:
            tops = scores[np.arange(len(scores)), best]
            first = int(tops.argmax())
            margin = float(tops[first]) - merge_from
            if margin < 0:
                break
            first, second = sorted((first, int(best[first])))
            merges.append(Merge(first, second, margin))
            self._merge(first, second)
            scores[second] = scores[:, second] = _NEVER
            row = self._scores(first, like_replies)
            scores[first] = scores[:, first] = row
            best = scores.argmax(axis=1)
        return merges

    def scores(self, like_replies: float) -> Matrix:
        """Return how much speaks for merging each two wordings, [wordings, wordings]."""
        return np.array([self._scores(row, like_replies) for row in range(len(self.alive))])

    def _merge(self, first: int, second: int) -> None:
        """Add the wording `second` to `first`."""
        self.texts[first] += self.texts[second]
        self.replies[first] += self.replies[second]
        self.reply_counts[first] += self.reply_counts[second]
        self.asked[first] = np.maximum(self.asked[first], self.asked[second])
        self.alive[second] = False

    def _scores(self, row: int, like_replies: float) -> Matrix:
        """Return how much speaks for merging the wording `row` with each other one, [wordings]."""
        fewer = np.minimum(self.reply_counts, self.reply_counts[row])
        trust = fewer / (fewer + ENOUGH_REPLIES)
        alike = REPLY_WEIGHT * trust * (_cosines(self.replies, row) - like_replies)
        together = self.asked @ self.asked[row]
        asked = self.asked.sum(axis=1)
        twice = together / np.maximum(1, np.minimum(asked, asked[row]))
        scores: Matrix = _cosines(self.texts, row) + alike - TWICE_WEIGHT * twice
        scores[(together >= FEWEST_TWICE) & (twice > TWICE_AT_MOST)] = _NEVER
        scores[row] = _NEVER
        scores[~self.alive] = _NEVER
        return scores


def _cosines(vectors: Matrix, row: int) -> Matrix:
    lengths = np.linalg.norm(vectors, axis=1)
    found: Matrix = vectors @ vectors[row] / np.maximum(1e-9, lengths * lengths[row])
    return found
